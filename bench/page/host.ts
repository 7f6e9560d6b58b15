// What a bench asks of where it runs, in a page; in place of bench/host.ts.
import type { FolderSource } from '../../src/tensor/source.ts';
import { urlSource } from '../../src/tensor/url-source.ts';

const { location, navigator, crossOriginIsolated } = globalThis as unknown as {
  readonly location: { readonly origin: string };
  readonly navigator: { readonly userAgent: string; readonly hardwareConcurrency: number };
  readonly crossOriginIsolated: boolean;
};

/** An embedded model: `target` or `draft`. */
export const embedded = (name: string): FolderSource => modelAt(`models/${name}`);

/** A model of the checkout. */
export const modelAt = (path: string): FolderSource => urlSource(`${location.origin}/${path}`);

/** The browser. */
export function machine(): Readonly<Record<string, unknown>> {
  const { userAgent, hardwareConcurrency } = navigator;
  return { browser: userAgent, cores: hardwareConcurrency, isolated: crossOriginIsolated };
}
