// The threads of a backend: the caller is worker 0, the others are worker threads that wait inside WebAssembly. They join
// when they have started; a run uses those that are there, which changes its speed and never its bits.
import type { Memory } from './engine.ts';
import type { WasmMemory } from './memory.ts';

/** Words of the control block; assembly/team.ts has the same offsets in bytes. */
const GENERATION = 0;
const TAPE = 1;
const READY = 6;
const CLOSED = 7;
const STAMP = 8;
const CONTROL_BYTES = 256;

/** What the module exports. */
export interface Kernels {
  run(control: number): void;
  work(control: number): void;
}

/** Where a run reads its instructions, and where its workers keep what they need for themselves. */
export interface Run {
  readonly tape: number;
  readonly end: number;
  readonly scratch: number;
  /** Bytes of scratch a worker. */
  readonly stride: number;
  /** Workers at most. */
  readonly workers: number;
}

/** The part of node:worker_threads and node:os that is used. */
interface Host {
  startWorker(source: string, data: unknown): { terminate(): unknown };
  readonly cores: number;
}

/** Runs instructions on all threads that are ready. */
export interface Team {
  /** Threads it will have once all have started. */
  readonly threads: number;
  run(run: Run): void;
  close(): void;
}

/** Sleeping on a word of the control block. */
export const sleeper = (memory: Memory) => (address: number, old: number) => {
  Atomics.wait(new Int32Array(memory.buffer), address >> 2, old);
};

const WORKER = `
const { workerData: { module, memory, control } } = require('node:worker_threads');
const words = new Int32Array(memory.buffer);
const sleep = (address, old) => Atomics.wait(words, address >> 2, old);
const { exports } = new WebAssembly.Instance(module, { env: { memory, sleep } });
exports.work(control);
`;

/** One thread per core, at most eight, where there is nothing to say otherwise; one where threads cannot be had. */
export function defaultThreads(): number {
  return Math.min(8, hostOf()?.cores ?? 1);
}

/** Starts `threads - 1` workers. */
export function createTeam(
  memory: WasmMemory,
  { module, kernels }: { readonly module: object; readonly kernels: Kernels },
  threads: number,
): Team {
  const host = hostOf();
  const control = memory.allocate(CONTROL_BYTES);
  const data = { module, memory: memory.memory, control };
  const workers = Array.from({ length: host === null ? 0 : threads - 1 }, () =>
    host!.startWorker(WORKER, data),
  );
  const words = memory.view('i32', control, CONTROL_BYTES / 4) as Int32Array;
  return {
    threads: workers.length + 1,
    run({ tape, end, scratch, stride, workers }) {
      const ready = Atomics.load(words, READY);
      Atomics.store(words, STAMP, Atomics.load(words, GENERATION) + 1);
      const values = [tape, end, scratch, stride, Math.min(workers, ready + 1)];
      for (const [index, value] of values.entries()) Atomics.store(words, TAPE + index, value);
      kernels.run(control);
    },
    close() {
      Atomics.store(words, CLOSED, 1);
      Atomics.add(words, GENERATION, 1);
      Atomics.notify(words, GENERATION);
      // Those that have not started yet would wait for ever.
      for (const worker of workers) worker.terminate();
    },
  };
}

/** Node's threads; null in browsers. */
function hostOf(): Host | null {
  const builtin = globalThis.process?.getBuiltinModule;
  if (builtin === undefined) return null;
  const { Worker } = builtin('node:worker_threads');
  return {
    cores: builtin('node:os').availableParallelism(),
    startWorker(source, workerData) {
      const worker = new Worker(source, { eval: true, workerData });
      // Waiting for work is no reason to keep the process.
      worker.unref();
      return worker;
    },
  };
}
