// Runs one bench in a worker of a page, and sends the page what it prints.
import type { BenchOptions } from '../measure.ts';
import { PAGE_BACKENDS, PAGE_BENCHES } from './benches.ts';

/** What the page asks for. */
export interface PageRequest {
  readonly name: keyof typeof PAGE_BENCHES;
  readonly options: BenchOptions;
}

/** What comes back: lines, and an end, with an error if there was one. */
export type PageReport = { readonly line: string } | { readonly end: string | null };

const scope = globalThis as unknown as {
  postMessage(report: PageReport): void;
  onmessage: (event: { readonly data: PageRequest }) => void;
};

scope.onmessage = async ({ data: { name, options } }) => {
  console.log = (line) => scope.postMessage({ line: String(line) });
  try {
    const backend = await PAGE_BACKENDS[options.backendName](options);
    await PAGE_BENCHES[name](backend, options);
    console.log(`${backend.report.backend}: ${backend.report.executor}`);
    scope.postMessage({ end: null });
  } catch (error) {
    const { stack, cause } = error as Error;
    const because = cause === undefined ? '' : `\ncaused by ${(cause as Error).stack ?? cause}`;
    scope.postMessage({ end: `${stack ?? error}${because}` });
  }
};
