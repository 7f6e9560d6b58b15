// A generation as the page sees it: what the worker sends, awaited or iterated.
import { OptionError } from '../kernels/errors.ts';
import { deferred } from '../speculate/deferred.ts';
import type { GenerateResult, Generation, Token } from '../speculate/generate.ts';
import type { ResultData } from './protocol.ts';

/** The tokens as they come, and the result in the end; `start` is called by the first who wants either. */
export function remoteGeneration(
  start: (onEvent: (token: Token) => void, stop: AbortSignal) => Promise<ResultData>,
): Generation {
  const stop = new AbortController();
  const tokens: Token[] = [];
  let wake = () => {};
  const { promise: result, resolve: settle, reject: fail } = deferred<GenerateResult>();
  let over = false;
  let begun = false;
  const begin = () => {
    if (begun) return;
    begun = true;
    start((token) => {
      tokens.push(token);
      wake();
    }, stop.signal)
      .then(({ stats, explanation, ...rest }) =>
        settle({ ...rest, stats: { ...stats, explain: () => explanation } }),
      )
      .catch(fail)
      .finally(() => {
        over = true;
        wake();
      });
  };
  let iterated = false;
  return {
    result,
    // biome-ignore lint/suspicious/noThenProperty: awaitable and iterable by design
    then(onResult, onError) {
      begin();
      return result.then(onResult, onError);
    },
    async *[Symbol.asyncIterator]() {
      if (iterated)
        throw new OptionError('generate: expected one consumer, got a second iteration');
      iterated = true;
      begin();
      try {
        while (true) {
          const token = tokens.shift();
          if (token !== undefined) yield token;
          else if (over) break;
          else
            await new Promise<void>((done) => {
              wake = done;
            });
        }
        await result;
      } finally {
        if (!over) stop.abort(new Error('nobody listens any more'));
      }
    },
  };
}
