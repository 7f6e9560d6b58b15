// The process that the memory bench looks at: it does what a program would that imports the package, and sends what it occupies
// after every step. Its first message says which model.
import { readFileSync } from 'node:fs';

/** What to do. */
export interface MemoryTask {
  readonly model: string;
  readonly threads: number | undefined;
  readonly contextLength: number;
  readonly promptTokens: number;
}

/** What the process occupies after a step, in bytes; `ownBytes` without the files it shares with others, where the system tells. */
interface MemoryStep {
  readonly step: string;
  readonly residentBytes: number;
  readonly ownBytes: number | null;
}

/** Everything that was seen, and what a text cannot do without. */
export interface MemoryReport {
  readonly steps: readonly MemoryStep[];
  readonly weightBytes: number;
  readonly cacheBytes: number;
}

const BUNDLE = new URL('../../dist/index.js', import.meta.url).href;

function occupied(step: string): MemoryStep {
  const { rss } = process.memoryUsage();
  try {
    const status = readFileSync('/proc/self/status', 'utf8');
    const own = /^RssAnon:\s+(\d+) kB$/m.exec(status);
    return { step, residentBytes: rss, ownBytes: own && 1024 * Number(own[1]) };
  } catch {
    return { step, residentBytes: rss, ownBytes: null };
  }
}

async function look({ model: path, threads, contextLength, promptTokens }: MemoryTask) {
  const steps = [occupied('Node')];
  const { generate, load, wasm } = (await import(BUNDLE)) as typeof import('../src/index.ts');
  steps.push(occupied('import'));
  let weightBytes = 0;
  const target = await load(path, {
    backend: wasm(threads === undefined ? {} : { threads }),
    contextLength,
    onProgress: ({ totalBytes }) => {
      weightBytes = totalBytes;
    },
  });
  steps.push(occupied('load'));
  const { layers, kvHeads, headDim, vocab } = target.model.config;
  const prompt = Array.from({ length: promptTokens }, (_, index) => (7 * index + 3) % vocab);
  const text = generate(target, prompt, {
    maxTokens: contextLength - promptTokens,
    ignoreEos: true,
  });
  let first = true;
  for await (const _ of text) {
    if (first) steps.push(occupied('prompt'));
    first = false;
  }
  steps.push(occupied('text'));
  // Of the positions that the text filled: the rows for drafts are memory that nothing has touched.
  const cacheBytes = 4 * 2 * layers * contextLength * kvHeads * headDim;
  return { steps, weightBytes, cacheBytes } satisfies MemoryReport;
}

process.once('message', async (task: MemoryTask) => {
  process.send!(await look(task));
  process.exit();
});
