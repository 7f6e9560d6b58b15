// The threads of a backend: the caller is worker 0, the others are worker threads that wait inside WebAssembly. They join
// when they have started; a run uses those that are there, which changes its speed and never its bits.
import type { Memory } from './engine.ts';
import { hostOf } from './host.ts';
import type { WasmMemory } from './memory.ts';

/** Words of the control block; assembly/team.ts has the same offsets in bytes. */
const TAPE = 0;
const READY = 5;
const CLOSED = 6;
const FAILED = 7;
const PHASE = 16;
const TOLD = 48;
const LINE = 16;
/** Characters of why a worker could not go on, one a word, kept after its last line. */
const REASON = 120;

/** What the module exports. */
export interface Kernels {
  run(control: number): void;
  work(control: number): void;
  step(op: number, args: number, worker: number, workers: number, scratch: number): void;
}

/** What the module imports beside its memory. */
export interface Imports {
  /** Sleeps while a word is `old`; `times` counts the calls of one wait. */
  sleep(address: number, old: number, worker: number, times: number): void;
  /** Copies bytes to an annex, or back. */
  move(annex: number, there: number, here: number, bytes: number, back: number): void;
  /** Runs an instruction by the instance of an annex. */
  call(
    annex: number,
    op: number,
    args: number,
    worker: number,
    workers: number,
    scratch: number,
  ): void;
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

/** Runs instructions on all threads that are ready. */
export interface Team {
  /** Threads it will have once all have started. */
  readonly threads: number;
  /** Threads that have started, the caller included; no run has more. */
  ready(): number;
  /** The number of workers that took part. Throws what `check` throws. */
  run(run: Run): number;
  /** Throws an Error when a worker has ended. */
  check(): void;
  /** What a user should know about the threads. */
  readonly notes: readonly string[];
  /** Makes an instance for another memory, on every thread; annexes are numbered from 1 in this order. */
  addAnnex(annex: WasmMemory): void;
  close(): void;
}

/** One thread per core, at most eight; one where there are no other threads. */
export function defaultThreads(): number {
  return Math.min(8, hostOf()?.cores ?? 1);
}

/** Whether there can be more than one thread. */
export function canStartThreads(): boolean {
  return hostOf() !== null;
}

/** Starts `threads - 1` workers; `instantiate` makes an instance for worker 0. */
export function createTeam(
  memory: WasmMemory,
  {
    module,
    instantiate,
    threads,
    patienceMs,
  }: {
    readonly module: object;
    readonly instantiate: (memory: Memory, imports: Imports) => Kernels;
    readonly threads: number;
    readonly patienceMs: number;
  },
): Team {
  const host = hostOf();
  const others = host === null ? 0 : threads - 1;
  const reasonAt = TOLD + LINE * threads;
  const control = memory.allocate(4 * (reasonAt + REASON));
  let made: Int32Array | undefined;
  /** The control block; made anew when the memory has grown. */
  const words = () => {
    if (made?.buffer !== memory.memory.buffer)
      made = memory.view('i32', control, reasonAt + REASON) as Int32Array;
    return made!;
  };
  let reason: string | null = null;
  let closed = false;

  const fail = (why: string) => {
    if (closed) return;
    reason ??= why;
    const view = words();
    Atomics.store(view, FAILED, 1);
    Atomics.add(view, PHASE, 1);
    Atomics.notify(view, PHASE);
  };
  const check = () => {
    if (reason !== null)
      throw new Error(
        `wasm: a worker thread ended (${reason}); dispose the backend and load again`,
      );
  };
  const annexes: { readonly memory: WasmMemory; readonly kernels: Kernels }[] = [];
  const imports: Imports = {
    sleep: sleeper(memory.memory, patienceMs, () => fail(`no answer in ${patienceMs} ms`)),
    move(annex, there, here, bytes, back) {
      const outside = annexes[annex - 1].memory.view('u8', there >>> 0, bytes);
      const inside = memory.view('u8', here >>> 0, bytes);
      if (back) inside.set(outside);
      else outside.set(inside);
    },
    call(annex, op, args, worker, workers, scratch) {
      annexes[annex - 1].kernels.step(op, args, worker, workers, scratch);
    },
  };
  const kernels = instantiate(memory.memory, imports);
  const last = { control, failed: FAILED, phase: PHASE, reason: reasonAt, characters: REASON };
  const data = { module, memory: memory.memory, last };
  const notes: string[] = [];
  const missing = (why: string) => {
    notes.push(`a thread less than asked for: ${why}`);
  };
  const workers = Array.from({ length: others }, () =>
    host!.startWorker(data, { ended: fail, missing }),
  );

  const ready = () => Atomics.load(words(), READY) + 1;
  return {
    threads: others + 1,
    ready,
    check,
    notes,
    addAnnex(annex) {
      annexes.push({ memory: annex, kernels: instantiate(annex.memory, imports) });
      if (host?.annexes) for (const worker of workers) worker.postMessage(annex.memory);
      else if (others > 0 && annexes.length === 1)
        notes.push('one thread: those of a browser cannot be given another memory');
    },
    run({ tape, end, scratch, stride, workers }) {
      check();
      const view = words();
      const alone = annexes.length > 0 && host?.annexes === false;
      const count = alone ? 1 : Math.min(workers, ready());
      // What stays as it was is not written: the others have the line in their caches.
      put(view, TAPE, tape);
      put(view, TAPE + 1, end);
      put(view, TAPE + 2, scratch);
      put(view, TAPE + 3, stride);
      put(view, TAPE + 4, count);
      try {
        kernels.run(control);
      } catch (error) {
        // The others wait for a share that never comes.
        fail((error as Error).message);
        throw error;
      }
      if (others > 0 && Atomics.load(view, FAILED) !== 0) {
        const why = view.subarray(reasonAt).filter((code) => code !== 0);
        fail(String.fromCharCode(...why) || 'it could not go on');
      }
      check();
      return count;
    },
    close() {
      if (closed) return;
      closed = true;
      const view = words();
      Atomics.store(view, CLOSED, 1);
      for (let worker = 1; worker <= others; worker++) {
        Atomics.add(view, TOLD + LINE * worker, 1);
        Atomics.notify(view, TOLD + LINE * worker);
      }
      // Those that have not started yet would wait for ever.
      for (const worker of workers) worker.terminate();
    },
  };
}

function put(words: Int32Array, at: number, word: number): void {
  if (words[at] !== (word | 0)) words[at] = word;
}

/** How often a sleeping caller looks whether it has waited long enough. */
const NAP_MS = 100;
/** Looks of a caller that may not sleep between two looks at the clock. */
const LOOKS = 1 << 12;

/** Sleep of worker 0, which may not last: calls `lost` when a wait takes longer than `patienceMs`. */
function sleeper(memory: Memory, patienceMs: number, lost: () => void): Imports['sleep'] {
  let startMs = 0;
  // The main thread of a page may not: it looks again and again, until the clock says that it is too late.
  let maySleep = true;
  return (address, old, _worker, times) => {
    if (!maySleep && times % LOOKS > 0) return;
    const now = performance.now();
    if (times === 0) startMs = now;
    if (now - startMs > patienceMs) return lost();
    try {
      if (maySleep) Atomics.wait(new Int32Array(memory.buffer), address >> 2, old, NAP_MS);
    } catch {
      maySleep = false;
    }
  };
}
