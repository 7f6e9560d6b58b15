// A worker in the page itself, which takes its turns with it, so that neither is ahead of the other.
import type { EngineWorker } from '../../src/browser/index.ts';
import { type Port, serve } from '../../src/browser/serve.ts';

/** For `connect`; with backends of one's own. */
export function turnTaking(backends?: Parameters<typeof serve>[1]): EngineWorker {
  const worker: EngineWorker = {
    postMessage: (data) => queueMicrotask(() => port.onmessage?.({ data: structuredClone(data) })),
    terminate() {},
    onmessage: null,
    onerror: null,
  };
  const port: Port = {
    postMessage: (data) =>
      queueMicrotask(() => worker.onmessage?.({ data: structuredClone(data) })),
    onmessage: null,
  };
  serve(port, backends);
  return worker;
}
