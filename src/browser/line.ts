// The page's end of the line to its worker.
import { OptionError } from '../kernels/errors.ts';
import { unpackError } from './errors.ts';
import type { Answer, CallName, Calls, Request } from './protocol.ts';

/** The part of a `Worker` that is used. */
export interface EngineWorker {
  postMessage(message: Request): void;
  terminate(): void;
  onmessage: ((event: { readonly data: Answer }) => void) | null;
  onerror: ((event: { readonly message?: string; preventDefault?(): void }) => void) | null;
}

/** Asks the worker. */
export type Ask = <Name extends CallName>(
  call: Name,
  params: Calls[Name]['params'],
  line?: {
    readonly onEvent?: ((event: Calls[Name]['event']) => void) | undefined;
    readonly signal?: AbortSignal | undefined;
  },
) => Promise<Calls[Name]['value']>;

interface Pending {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  onEvent?: ((event: never) => void) | undefined;
}

/** Requests with their answers, and one end for all when the worker is gone. */
export function createLine(worker: EngineWorker): { readonly ask: Ask; close(): void } {
  const pending = new Map<number, Pending>();
  let last = 0;
  let gone: Error | null = null;
  const end = (why: string) => {
    gone ??= new Error(`engine: ${why}; make a new one`);
    for (const { reject } of pending.values()) reject(gone);
    pending.clear();
    worker.terminate();
  };
  worker.onerror = (event) => {
    event.preventDefault?.();
    end(`the worker ended (${event.message || 'it could not be started'})`);
  };
  worker.onmessage = ({ data }) => {
    const call = pending.get(data.id);
    if (call === undefined) return;
    if ('event' in data) return call.onEvent?.(data.event as never);
    pending.delete(data.id);
    if ('error' in data) call.reject(unpackError(data.error));
    else call.resolve(data.value);
  };
  const ask: Ask = (call, params, { onEvent, signal } = {}) =>
    new Promise<never>((resolve, reject) => {
      if (gone !== null) throw gone;
      signal?.throwIfAborted();
      const id = ++last;
      try {
        worker.postMessage({ id, call, params });
      } catch (error) {
        throw new OptionError(
          `engine: ${call}: expected options that can be sent to a worker, got ${(error as Error).message}`,
        );
      }
      const abort = () => worker.postMessage({ id, abort: reasonOf(signal) });
      signal?.addEventListener('abort', abort, { once: true });
      const finish = () => signal?.removeEventListener('abort', abort);
      pending.set(id, {
        resolve(value) {
          finish();
          resolve(value as never);
        },
        reject(error) {
          finish();
          // The reason itself, not a copy.
          reject(signal?.aborted && error !== gone ? signal.reason : error);
        },
        onEvent,
      });
    });
  return { ask, close: () => end('it has been disposed') };
}

/** A reason that can be sent. */
function reasonOf(signal: AbortSignal | undefined): string {
  return signal?.reason instanceof Error ? signal.reason.message : String(signal?.reason);
}
