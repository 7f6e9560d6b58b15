// What a process occupies beside the weights and the cache: one that imports the package, loads a model and fills its context.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { embedded } from './host.ts';
import { type BenchOptions, printJson, printTable } from './measure.ts';
import type { MemoryReport, MemoryTask } from './memory-child.ts';

const CONTEXT = 256;
const PROMPT = 128;

/** The bench: the embedded target, or `--model`. */
export async function memory(options: BenchOptions): Promise<void> {
  const child = fork(fileURLToPath(new URL('./memory-child.js', import.meta.url)), {
    // The standard output is for tables.
    stdio: ['ignore', 2, 2, 'ipc'],
  });
  const gone = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`memory: expected an answer, got the end of the process (${code ?? signal})`);
  });
  const task: MemoryTask = {
    model: options.model ?? embedded('target'),
    threads: options.threads,
    contextLength: CONTEXT,
    promptTokens: options.smoke ? CONTEXT - 4 : PROMPT,
  };
  child.send(task);
  const [report] = (await Promise.race([once(child, 'message'), gone])) as [MemoryReport];
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
