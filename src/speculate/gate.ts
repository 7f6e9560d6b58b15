// Forwards of several texts in one call. A text is busy while it computes something of its own; when none is, each of them waits for a
// forward, and those that wait for one cache get it together. Rows have the same bits in any company, so nothing but the time changes.
import type { Cache, ForwardResult, Model, Segment } from '../models/model.ts';
import type { Company } from './controller.ts';
import { deferred } from './deferred.ts';
import type { GateSeat } from './session.ts';

/** Where the texts of a batch meet. */
export interface Gate {
  /** A text begins to compute. Every text that is in has to come to a forward or leave, or the others wait for ever. */
  enter(): void;
  leave(): void;
  /**
   * A place for a session of `model`, whose forwards are run together with others. An abort ends the wait of one text, not the forward
   * of all.
   */
  seat(model: Model): GateSeat;
}

/** A forward that is waited for. */
interface Call {
  readonly segments: readonly Segment[];
  /** What else was in the forward. */
  shared(company: Company): void;
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
    const rows = stay.map(({ segments }) => sumOf(segments, judgedRows));
    const all = rows.reduce((sum, count) => sum + count, 0);
    for (const [index, call] of stay.entries())
      call.shared({ texts: stay.length - 1, rows: all - rows[index] });
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
    seat(model) {
      let company: Company = { texts: 0, rows: 0 };
      return {
        company: () => company,
        forward(cache, segments, options) {
          const { promise, resolve, reject } = deferred<ForwardResult>();
          const at = waiting.get(cache) ?? { model, calls: [] };
          waiting.set(cache, at);
          const shared = (beside: Company) => {
            company = beside;
          };
          at.calls.push({ segments, signal: options?.signal, shared, resolve, reject });
          busy -= 1;
          settle();
          return promise;
        },
      };
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
        const to = from + sumOf(segments, keptRows);
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
const keptRows = (segment: Segment): number => segment.keep?.length ?? judgedRows(segment);

/** The last token and the draft: those of a round that reads no prompt. */
const judgedRows = ({ tokens, draft }: Segment): number =>
  Math.min(1, tokens.length) + (draft?.tokens.length ?? 0);

const sumOf = (segments: readonly Segment[], of: (segment: Segment) => number): number =>
  segments.reduce((sum, segment) => sum + of(segment), 0);
