// Where threads come from: worker_threads in Node, Workers in a page or in another Worker. A thread waits inside WebAssembly
// until its team is closed, so it never returns to its event loop.

/** Words of the control block that a thread writes when it cannot go on, and how many characters it has for the reason. */
export interface LastWords {
  /** Byte address of the control block. */
  readonly control: number;
  readonly failed: number;
  readonly phase: number;
  readonly reason: number;
  readonly characters: number;
}

/** What a thread is started with. */
export interface ThreadData {
  readonly module: object;
  readonly memory: object;
  readonly last: LastWords;
}

/** A thread that has been asked for. */
export interface Thread {
  /** Hands over the memory of an annex; only where `Host.annexes`. */
  postMessage(message: unknown): void;
  terminate(): unknown;
}

/** How threads are started here. */
export interface Host {
  readonly cores: number;
  /** Whether a running thread can be given further memories. */
  readonly annexes: boolean;
  /**
   * `ended` is called with the reason when the thread is gone, whatever ended it; `missing` instead where the page does
   * not allow it to start, which is no failure: runs use the threads that are there.
   */
  startWorker(
    data: ThreadData,
    ends: { ended(reason: string): void; missing(reason: string): void },
  ): Thread;
}

/**
 * The thread. Growing by nothing makes it see how far another thread has grown a memory, also while this thread was starting.
 * `nextAnnex` gives the memory of the next annex.
 */
const THREAD = `
function start({ module, memory, last }, nextAnnex) {
  const words = new Int32Array(memory.buffer);
  const sleep = (address, old) => void Atomics.wait(words, address >> 2, old);
  const annexes = [];
  const annexOf = (number) => {
    while (annexes.length < number) {
      const memory = nextAnnex();
      const env = { memory, sleep, move, call };
      annexes.push({ memory, kernels: new WebAssembly.Instance(module, { env }).exports });
    }
    return annexes[number - 1];
  };
  const bytesOf = (memory, from, count) => {
    if ((from >>> 0) + count > memory.buffer.byteLength) memory.grow(0);
    return new Uint8Array(memory.buffer, from >>> 0, count);
  };
  const move = (annex, there, here, bytes, back) => {
    const outside = bytesOf(annexOf(annex).memory, there, bytes);
    const inside = bytesOf(memory, here, bytes);
    if (back) inside.set(outside);
    else outside.set(inside);
  };
  const call = (annex, ...args) => annexOf(annex).kernels.step(...args);
  const at = last.control >> 2;
  try {
    const env = { memory, sleep, move, call };
    const kernels = new WebAssembly.Instance(module, { env }).exports;
    memory.grow(0);
    kernels.work(last.control);
  } catch (error) {
    const why = String(error.message).slice(0, last.characters);
    for (let i = 0; i < why.length; i++) words[at + last.reason + i] = why.charCodeAt(i);
    Atomics.store(words, at + last.failed, 1);
    Atomics.add(words, at + last.phase, 1);
    Atomics.notify(words, at + last.phase);
    throw error;
  }
}
`;

/** A running thread of Node fetches its messages without its event loop. */
const IN_NODE = `
const { parentPort, receiveMessageOnPort, workerData } = require('node:worker_threads');
start(workerData, () => receiveMessageOnPort(parentPort).message);
`;

const IN_BROWSER = `
self.onmessage = ({ data }) => {
  self.postMessage('started');
  start(data);
};
`;

/** The threads of this engine, null where there are none. */
export function hostOf(): Host | null {
  return nodeHost() ?? browserHost();
}

function nodeHost(): Host | null {
  const builtin = globalThis.process?.getBuiltinModule;
  if (builtin === undefined) return null;
  const { Worker } = builtin('node:worker_threads');
  return {
    cores: builtin('node:os').availableParallelism(),
    annexes: true,
    startWorker(workerData, { ended }) {
      // Without the caller's flags: a loader for every thread would only cost time.
      const worker = new Worker(THREAD + IN_NODE, { eval: true, workerData, execArgv: [] });
      worker.on('error', (error) => ended((error as Error).message));
      worker.on('exit', (code) => ended(`exit status ${code}`));
      // Waiting for work is no reason to keep the process.
      worker.unref();
      return worker;
    },
  };
}

/** The part of the DOM that is used; its types would bring the rest of the browser with them. */
interface BrowserScope {
  readonly navigator: { readonly hardwareConcurrency: number };
  readonly Worker?: new (
    url: string,
    options: { readonly name: string },
  ) => Thread & {
    onmessage: (() => void) | null;
    onerror: ((event: { readonly message?: string; preventDefault?(): void }) => void) | null;
  };
}

function browserHost(): Host | null {
  const { Worker, navigator } = globalThis as unknown as BrowserScope;
  if (Worker === undefined) return null;
  return {
    cores: navigator.hardwareConcurrency,
    annexes: false,
    startWorker(data, { ended, missing }) {
      const url = URL.createObjectURL(new Blob([THREAD + IN_BROWSER], { type: 'text/javascript' }));
      const worker = new Worker(url, { name: 'foretoken kernels' });
      let started = false;
      worker.onmessage = () => {
        started = true;
        URL.revokeObjectURL(url);
      };
      worker.onerror = (event) => {
        event.preventDefault?.();
        URL.revokeObjectURL(url);
        if (started) ended(event.message ?? 'no reason given');
        else missing(event.message || 'the page allows no worker from a blob: URL');
      };
      worker.postMessage(data);
      return worker;
    },
  };
}
