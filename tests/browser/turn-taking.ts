// A worker in the page itself, which takes its turns with it, so that neither is ahead of the other.
import type { EngineWorker } from '../../src/browser/index.ts';
import { type Port, serve } from '../../src/browser/serve.ts';

/** For `connect`. */
export function turnTaking(): EngineWorker {
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
  serve(port);
  return worker;
}
