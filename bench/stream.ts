// What memory gives: 1 GiB read by loops that do nothing else, on one and two threads, in turns with forwards of one row by
// the wasm backend on as many. Weights that no cache holds cannot be multiplied faster than they can be read.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { engine } from '../src/kernels/wasm/engine.ts';
import { wasm } from '../src/kernels/wasm/index.ts';
import {
  type BenchDType,
  type BenchOptions,
  digits,
  measure,
  printJson,
  printTable,
  spread,
  type Task,
} from './measure.ts';
import { matrixBytes, randomModel, SMALL, TINY_LLAMA_SLICE } from './random-model.ts';

const PAGE = 65_536;
const PREFIX = 16;

/** Four sums, so that no addition waits for the one before. */
const SOURCE = `
export function sum(from: usize, to: usize): i64 {
  let a = i64x2.splat(0), b = a, c = a, d = a;
  for (; from < to; from += 64) {
    a = i64x2.add(a, v128.load(from));
    b = i64x2.add(b, v128.load(from, 16));
    c = i64x2.add(c, v128.load(from, 32));
    d = i64x2.add(d, v128.load(from, 48));
  }
  a = i64x2.add(i64x2.add(a, b), i64x2.add(c, d));
  return i64x2.extract_lane(a, 0) + i64x2.extract_lane(a, 1);
}`;

/** Reads its part whenever word 0 changes, and then adds 1 to word 1. */
const WORKER = `
const { workerData: { module, memory, from, to } } = require('node:worker_threads');
const { sum } = new WebAssembly.Instance(module, { env: { memory } }).exports;
const words = new Int32Array(memory.buffer);
for (let seen = 0; ; seen++) {
  Atomics.wait(words, 0, seen);
  sum(from, to);
  Atomics.add(words, 1, 1);
}`;

interface Measured extends Task {
  readonly bytes: number;
  readonly threads: number;
  stop(): void;
}

/** The bench. It opens its own backends, for both numbers of threads. */
export async function stream(options: BenchOptions): Promise<void> {
  const { smoke, givenDType, filter } = options;
  const counts = options.threads === undefined ? [1, 2] : [options.threads];
  const dtypes: readonly BenchDType[] = givenDType === undefined ? ['f32', 'bf16'] : [givenDType];
  const module = new engine.Module(assemble(SOURCE));
  const reads = counts.map((threads) => reader(module, smoke ? 2 ** 20 : 2 ** 30, threads));
  const tasks: Measured[] = [];
  for (const [index, threads] of counts.entries()) {
    tasks.push(reads[index]);
    for (const dtype of dtypes) tasks.push(await forward(dtype, threads, smoke));
  }
  const run = tasks.filter(({ name }) => name.includes(filter) || name.startsWith('read'));
  const timings = await measure(run, { rounds: smoke ? 1 : (options.rounds ?? 15) });
  const rate = ({ name, bytes }: Measured) => bytes / 1e6 / timings.get(name)!.median;
  const of = (task: Measured) =>
    rate(task) / rate(reads.find(({ threads }) => threads === task.threads)!);
  printTable([
    ['', 'MB', 'ms', 'GB/s', 'of a read'],
    ...run.map((task) => [
      task.name,
      (task.bytes / 1e6).toFixed(0),
      spread(timings.get(task.name)!),
      digits(rate(task)),
      `${Math.round(100 * of(task))} %`,
    ]),
  ]);
  const results = run.map((task) => [
    task.name,
    { ...timings.get(task.name)!, bytes: task.bytes, gigabytesPerSecond: rate(task), of: of(task) },
  ]);
  printJson('stream', { ...options, dtype: dtypes.join(' ') }, Object.fromEntries(results));
  for (const { stop } of tasks) stop();
}

/** Reads `bytes` of one memory in equal parts, this thread the first of them. */
function reader(module: object, bytes: number, threads: number): Measured {
  const pages = 1 + bytes / PAGE;
  const memory = new engine.Memory({ initial: pages, maximum: pages, shared: true });
  // Pages that were never written are all the same page of zeros.
  new Uint8Array(memory.buffer).fill(1, PAGE);
  const words = new Int32Array(memory.buffer, 0, 2);
  const part = (index: number) => PAGE + Math.floor((bytes * index) / threads / 64) * 64;
  const workers = Array.from({ length: threads - 1 }, (_, index) => {
    const workerData = { module, memory, from: part(index + 1), to: part(index + 2) };
    return new Worker(WORKER, { eval: true, workerData });
  });
  const { exports } = new engine.Instance(module, { env: { memory } as never });
  const { sum } = exports as { sum(from: number, to: number): bigint };
  return {
    name: `read, ${threads} thread${threads > 1 ? 's' : ''}`,
    bytes,
    threads,
    async run() {
      Atomics.store(words, 1, 0);
      Atomics.add(words, 0, 1);
      Atomics.notify(words, 0);
      const result = sum(part(0), part(1));
      while (Atomics.load(words, 1) < workers.length);
      return result;
    },
    stop() {
      for (const worker of workers) worker.terminate();
    },
  };
}

/** One row after a short prefix: every matrix but the embedding is read once. */
async function forward(dtype: BenchDType, threads: number, smoke: boolean): Promise<Measured> {
  const shape = smoke ? SMALL : TINY_LLAMA_SLICE;
  const backend = wasm({ threads });
  const model = randomModel(backend, shape, dtype, PREFIX + 32);
  const cache = model.createCache();
  const sequence = cache.sequence();
  await model.forward(cache, [{ sequence, tokens: Array.from({ length: PREFIX }, (_, i) => i) }]);
  return {
    name: `one row ${dtype}, ${threads} thread${threads > 1 ? 's' : ''}`,
    bytes: matrixBytes(shape, dtype),
    threads,
    run: () => model.forward(cache, [{ sequence, tokens: [], draft: { tokens: [5] } }]),
    stop() {
      model.dispose();
      backend.dispose();
    },
  };
}

/** AssemblyScript to WebAssembly, as scripts/assembly.mjs does it. */
function assemble(source: string): Uint8Array {
  const at = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
  writeFileSync(at('stream.as.ts'), source);
  const flags = ['--runtime', 'stub', '--importMemory', '--sharedMemory', '--noExportMemory'];
  const limits = ['--initialMemory', '1', '--maximumMemory', '65536'];
  execFileSync(process.execPath, [
    at('../node_modules/assemblyscript/bin/asc.js'),
    at('stream.as.ts'),
    ...['-O3', '--enable', 'simd,threads', ...flags, ...limits, '-o', at('stream.wasm')],
  ]);
  return readFileSync(at('stream.wasm'));
}
