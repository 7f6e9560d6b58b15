// Hidden states on their way from the target to a drafter that asked for them.
import type { Draft, Drafter } from './drafter.ts';
import type { Fed, Session } from './session.ts';
import type { Verdict } from './verifier.ts';

/** The states of committed positions that a drafter has not been given. */
export interface States {
  /** A generation begins: what the session has cached and the drafter does not know is computed again. */
  begin(tokens: readonly number[]): void;
  /** Those for a draft of so many levels, which are given then. */
  take(tokens: readonly number[], levels: number): readonly Float32Array[];
  /** Keeps the states of the rows that stay: those of the text, then those of the accepted path. */
  add(fed: Fed, draft: Draft, verdict: Verdict): void;
}

/** Of a drafter without taps there are none. */
export function createStates(drafter: Drafter, session: Session): States {
  const { taps = [] } = drafter;
  if (taps.length === 0) return { begin() {}, take: () => [], add() {} };
  /** Position of the first of `states`. */
  let from = 0;
  let states: Float32Array[] = [];

  /** Goes back to `position`, from which on states are missing. */
  function rewind(position: number): void {
    session.rewind(position);
    from = session.cachedTokens.length;
    states = [];
  }

  return {
    begin(tokens) {
      rewind(drafter.known?.(tokens) ?? 0);
      // What differs is computed again anyway.
      const { cachedTokens } = session;
      let common = 0;
      while (common < cachedTokens.length && cachedTokens[common] === tokens[common]) common++;
      from = Math.min(common, tokens.length - 1);
    },
    take(tokens, levels) {
      if (levels === 0) return [];
      const known = drafter.known?.(tokens) ?? from;
      // It has drafted for another text in between.
      if (known < from) {
        rewind(known);
        return [];
      }
      // The last one always: a drafter without a cache reads no other.
      const given = states.slice(Math.max(0, Math.min(known - from, states.length - 1)));
      from += states.length;
      states = [];
      return given;
    },
    add(fed, draft, { path }) {
      const textRows = fed.computedRows - draft.tokens.length;
      // Rows before were known: those of a text that has moved to another cache, or of a path that was not kept.
      const known = from + states.length - fed.from;
      states.push(
        ...fed.hidden.slice(known, textRows),
        ...path.map((node) => fed.hidden[textRows + node]),
      );
    },
  };
}
