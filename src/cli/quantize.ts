// `foretoken quantize`: a model as one GGUF file with its matrices in another type. What is unfinished has the name
// OUT.part, and goes when the command fails.
import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { exportGguf } from '../models/gguf/export.ts';
import { progressBar } from './display.ts';
import { type CliOptions, oneOf, UsageError } from './options.ts';

const TYPES = ['q8_0', 'q4_0', 'f16', 'bf16', 'f32'] as const;

/** Runs the command; returns the exit status. */
export async function quantize(
  paths: readonly string[],
  options: CliOptions,
  signal: AbortSignal,
): Promise<number> {
  const [from, to] = paths;
  if (paths.length !== 2)
    throw new UsageError(`quantize: expected IN and OUT, got ${JSON.stringify(paths.join(' '))}`);
  if (!/\.gguf$/i.test(to))
    throw new UsageError(`quantize: OUT: expected a path that ends in .gguf, got ${to}`);
  if (options.type === undefined)
    throw new UsageError(`--type: expected one of ${TYPES.join(', ')}, got none`);
  const type = oneOf('type', options.type, TYPES);
  if (existsSync(to) && !options.force)
    throw new UsageError(`quantize: ${to} exists; --force overwrites it`);
  const unfinished = `${to}.part`;
  const bar = progressBar(`writing ${to}`);
  try {
    const result = await exportGguf(from, unfinished, {
      type,
      signal,
      onProgress: ({ loadedBytes, totalBytes }) => bar.update(loadedBytes, totalBytes),
    });
    await rename(unfinished, to);
    bar.end();
    const types = Object.entries(result.types).map(([name, count]) => `${count} in ${name}`);
    console.log(
      `${to}: ${megabytes(result.bytes)}, from ${megabytes(result.sourceBytes)} of weights; tensors: ${types.join(', ')}`,
    );
    for (const note of result.notes) console.log(`note: ${note}`);
    return 0;
  } catch (error) {
    bar.end();
    await rm(unfinished, { force: true });
    throw error;
  }
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 0)} MB`;
