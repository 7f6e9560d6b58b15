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
  /** Every forward that is waited for, and every later one, fails with this. */
  close(reason: Error): void;
}

/** A forward that is waited for. */
interface Call {
  readonly segments: readonly Segment[];
  readonly signal: AbortSignal | undefined;
  /** What else was in the forward. */
  shared(company: Company): void;
  resolve(result: ForwardResult): void;
  reject(error: unknown): void;
}

/** A gate at which `last`, caches of the target, wait for all others: a text that drafts late is judged with the others. */
export function createGate(last: Pick<ReadonlySet<Cache>, 'has'>): Gate {
  const waiting = new Map<Cache, { readonly model: Model; readonly calls: Call[] }>();
  let busy = 0;
  let running = false;
  let closed: Error | undefined;

  function settle(): void {
    if (busy > 0 || running) return;
    const [cache] = [...waiting.keys()].toSorted(
      (a, b) => Number(last.has(a)) - Number(last.has(b)),
    );
    if (cache === undefined) return;
    const { model, calls } = waiting.get(cache)!;
    waiting.delete(cache);
    running = true;
    run(model, cache, calls).finally(() => {
      running = false;
      settle();
    });
  }

  /** Ends the wait of a text, which goes on by itself. */
  function cancel(cache: Cache, call: Call, reason: unknown): void {
    const at = waiting.get(cache);
    const index = at?.calls.indexOf(call) ?? -1;
    if (at === undefined || index < 0) return;
    at.calls.splice(index, 1);
    if (at.calls.length === 0) waiting.delete(cache);
    busy += 1;
    call.reject(reason);
  }

  async function run(model: Model, cache: Cache, calls: readonly Call[]): Promise<void> {
    const rows = calls.map(({ segments }) => sumOf(segments, judgedRows));
    const all = rows.reduce((sum, count) => sum + count, 0);
    for (const [index, call] of calls.entries())
      call.shared({ texts: calls.length - 1, rows: all - rows[index] });
    const outcomes = await together(model, cache, calls);
    busy += calls.length;
    for (const [index, outcome] of outcomes.entries())
      if (outcome.status === 'fulfilled') calls[index].resolve(outcome.value);
      else calls[index].reject(outcome.reason);
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
        async forward(cache, segments, { signal } = {}) {
          if (closed !== undefined) throw closed;
          const { promise, resolve, reject } = deferred<ForwardResult>();
          const shared = (beside: Company) => {
            company = beside;
          };
          const call: Call = { segments, signal, shared, resolve, reject };
          const at = waiting.get(cache) ?? { model, calls: [] };
          waiting.set(cache, at);
          at.calls.push(call);
          busy -= 1;
          const abort = () => cancel(cache, call, signal!.reason);
          signal?.addEventListener('abort', abort, { once: true });
          if (signal?.aborted) abort();
          settle();
          try {
            return await promise;
          } finally {
            signal?.removeEventListener('abort', abort);
          }
        },
      };
    },
    close(reason) {
      closed = reason;
      for (const [cache, { calls }] of [...waiting])
        for (const call of [...calls]) cancel(cache, call, reason);
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
