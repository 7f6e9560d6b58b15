// Tokens from one who makes them without waiting to one who may listen later, or never.
import { OptionError } from '../kernels/errors.ts';
import type { GenerateResult, Generation, Token } from './generate.ts';

/** A generation that runs by itself. */
export interface Relay {
  readonly generation: Generation;
  /** Whether the listener has gone away. */
  left(): boolean;
  push(token: Token): void;
  /** No more tokens; the listener gets `error`, if there is one, after those that it has not seen. */
  end(error?: { readonly reason: unknown }): void;
}

/** The listener's end is a `Generation` with this result; `onLeft` is called when the listener goes away. */
export function createRelay(result: Promise<GenerateResult>, onLeft: () => void): Relay {
  const unseen: Token[] = [];
  let ended: { readonly error?: { readonly reason: unknown } | undefined } | undefined;
  let sleepers: (() => void)[] = [];
  const wake = () => {
    for (const sleeper of sleepers) sleeper();
    sleepers = [];
  };
  let left = false;
  let listened = false;
  const iterator: AsyncIterator<Token, void> = {
    async next() {
      while (unseen.length === 0 && ended === undefined)
        await new Promise<void>((resolve) => {
          sleepers.push(resolve);
        });
      const token = unseen.shift();
      if (token !== undefined) return { done: false, value: token };
      const error = ended?.error;
      // Told once, as by a generator.
      ended = {};
      if (error !== undefined) throw error.reason;
      return { done: true, value: undefined };
    },
    async return() {
      left = true;
      unseen.length = 0;
      ended ??= {};
      wake();
      onLeft();
      return { done: true, value: undefined };
    },
  };
  return {
    generation: {
      result,
      // biome-ignore lint/suspicious/noThenProperty: awaitable and iterable by design
      then: (onResult, onError) => result.then(onResult, onError),
      [Symbol.asyncIterator]() {
        if (listened)
          throw new OptionError('generate: expected one consumer, got a second iteration');
        listened = true;
        return iterator;
      },
    },
    left: () => left,
    push(token) {
      if (!left) unseen.push(token);
      wake();
    },
    end(error) {
      ended ??= { error };
      wake();
    },
  };
}
