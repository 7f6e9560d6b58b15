// Forwards of several texts in one call. A text is busy while it computes something of its own; when none is, each of them waits for a
// forward, and those that wait for one cache get it together. Rows have the same bits in any company, so nothing but the time changes.
import type { Cache, ForwardResult, Model, Segment } from '../models/model.ts';
import { deferred } from './deferred.ts';

type Forward = Model['forward'];

/** Where the texts of a batch meet. */
export interface Gate {
  /** A text begins to compute. Every text that is in has to come to a forward or leave, or the others wait for ever. */
  enter(): void;
  leave(): void;
  /** As `model.forward`, together with others. An abort ends the wait of one text, not the forward of all. */
  forward(model: Model): Forward;
}

/** A forward that is waited for. */
interface Call {
  readonly segments: readonly Segment[];
  readonly signal: AbortSignal | undefined;
  resolve(result: ForwardResult): void;
  reject(error: unknown): void;
}

/** A gate at which `last`, the target's cache, waits for all others: a text that drafts late is judged with the others. */
export function createGate(last: Cache): Gate {
  const waiting = new Map<Cache, { readonly model: Model; readonly calls: Call[] }>();
  let busy = 0;
  let running = false;

  function settle(): void {
    if (busy > 0 || running) return;
    const [cache] = [...waiting.keys()].toSorted((a, b) => Number(a === last) - Number(b === last));
    if (cache === undefined) return;
    const { model, calls } = waiting.get(cache)!;
    waiting.delete(cache);
    running = true;
    run(model, cache, calls).finally(() => {
      running = false;
      settle();
    });
  }

  /** All of them are busy again before any is told, so that none goes ahead alone. */
  function release(calls: readonly Call[], tell: (call: Call, index: number) => void): void {
    busy += calls.length;
    for (const [index, call] of calls.entries()) tell(call, index);
  }

  async function run(model: Model, cache: Cache, calls: readonly Call[]): Promise<void> {
    const left = calls.filter(({ signal }) => signal?.aborted);
    const stay = calls.filter((call) => !left.includes(call));
    const outcomes = await together(model, cache, stay);
    release([...left, ...stay], (call, index) => {
      if (index < left.length) return call.reject(call.signal!.reason);
      const outcome = outcomes[index - left.length];
      if (outcome.status === 'fulfilled') call.resolve(outcome.value);
      else call.reject(outcome.reason);
    });
  }

  return {
    enter() {
      busy += 1;
    },
    leave() {
      busy -= 1;
      settle();
    },
    forward: (model) => (cache, segments, options) => {
      const { promise, resolve, reject } = deferred<ForwardResult>();
      const at = waiting.get(cache) ?? { model, calls: [] };
      waiting.set(cache, at);
      at.calls.push({ segments, signal: options?.signal, resolve, reject });
      busy -= 1;
      settle();
      return promise;
    },
  };
}

/** One forward for all; where it fails, one for each, so that a fault is told to the text that made it. */
async function together(
  model: Model,
  cache: Cache,
  calls: readonly Call[],
): Promise<PromiseSettledResult<ForwardResult>[]> {
  if (calls.length > 1) {
    try {
      const { logits, hidden } = await model.forward(
        cache,
        calls.flatMap(({ segments }) => segments),
      );
      let from = 0;
      return calls.map(({ segments }) => {
        const to = from + segments.reduce((sum, segment) => sum + keptRows(segment), 0);
        const value = { logits: logits.slice(from, to), hidden: hidden.slice(from, to) };
        from = to;
        return { status: 'fulfilled', value };
      });
    } catch {
      // Told below.
    }
  }
  const outcomes: PromiseSettledResult<ForwardResult>[] = [];
  for (const { segments, signal } of calls)
    outcomes.push(...(await Promise.allSettled([model.forward(cache, segments, { signal })])));
  return outcomes;
}

/** Rows of a segment that get logits; see `Segment.keep`. */
function keptRows({ tokens, draft, keep }: Segment): number {
  return keep?.length ?? Math.min(1, tokens.length) + (draft?.tokens.length ?? 0);
}
