// What a bench asks of where it runs, in Node; bench/page/host.ts is the same for a page, and takes its place there.
import { cpus, loadavg, platform, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { FolderSource } from '../src/tensor/source.ts';

/** Where a model is, for `load`. */
export type ModelPlace = string | FolderSource;

/** An embedded model: `target` or `draft`. */
export const embedded = (name: string): string =>
  fileURLToPath(new URL(`../../models/${name}`, import.meta.url));

/** A model by its path; a page takes one from the checkout. */
export const modelAt = (path: string): ModelPlace => path;

/** The machine as it is now, for the last line of a bench. */
export function machine(): Readonly<Record<string, unknown>> {
  const [first] = cpus();
  return {
    node: process.version,
    machine: {
      cpu: first?.model.trim(),
      cores: cpus().length,
      memoryBytes: totalmem(),
      platform: platform(),
    },
    load: loadavg().map((value) => Math.round(value * 100) / 100),
  };
}
