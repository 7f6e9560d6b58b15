// What a process occupies beside the weights and the cache: one that imports the package, loads a model and fills its context.
import { ask, startChild } from './child-process.ts';
import { embedded } from './host.ts';
import { type BenchOptions, printJson, printTable } from './measure.ts';
import type { MemoryReport, MemoryTask } from './memory-child.ts';

const CONTEXT = 256;
const PROMPT = 128;

/** The bench: the embedded target, or `--model`. */
export async function memory(options: BenchOptions): Promise<void> {
  const task: MemoryTask = {
    model: options.model ?? embedded('target'),
    threads: options.threads,
    contextLength: CONTEXT,
    promptTokens: options.smoke ? CONTEXT - 4 : PROMPT,
  };
  const child = startChild(new URL('./memory-child.js', import.meta.url));
  const report = await ask<MemoryReport>('memory', child, task);
  const { steps, weightBytes, cacheBytes } = report;
  const mb = (bytes: number | null) => (bytes === null ? '–' : (bytes / 1e6).toFixed(1));
  printTable([
    ['after', 'MB resident', 'of its own'],
    ...steps.map(({ step, residentBytes, ownBytes }) => [step, mb(residentBytes), mb(ownBytes)]),
  ]);
  const { residentBytes, ownBytes } = steps[steps.length - 1];
  const beside = (bytes: number | null) => bytes && bytes - weightBytes - cacheBytes;
  console.log(
    `beside ${mb(weightBytes)} MB of weights and ${mb(cacheBytes)} MB of cache: ${mb(beside(residentBytes))} MB, ${mb(beside(ownBytes))} MB of its own`,
  );
  printJson('memory', options, report);
}
