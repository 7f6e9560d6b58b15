// Laws and models of the worked examples, for tests: tables of next-token laws that depend on the last token.
import type { Law } from '../../src/speculate/law.ts';
import { prove } from '../../src/speculate/prove.ts';
import { argmax, point } from '../../src/speculate/sample.ts';
import type { Verifier } from '../../src/speculate/verifier.ts';
import vectors from './vectors.json' with { type: 'json' };

export { vectors };

/** The law with these probabilities. */
export function probs(row: readonly number[]): Law {
  return { probs: Float64Array.from(row) };
}

/** The first row after the prompt `[0]`, then the row of the last token. */
export function table(start: readonly number[], rows: readonly (readonly number[])[]) {
  return (history: readonly number[]): Law =>
    probs(history.length === 1 ? start : rows[history.at(-1) ?? 0]);
}

/** The three-token chain of vector C. */
export const chain = {
  vocabulary: 3,
  target: table(vectors.C.target_start, vectors.C.target_rows),
  draft: table(vectors.C.draft_start, vectors.C.draft_rows),
};

/** The same next law everywhere. */
export function constant(row: readonly number[]) {
  return () => probs(row);
}

/** A model that is certain of what `law` holds most probable: temperature 0. */
export function certain(law: (history: readonly number[]) => Law) {
  return (history: readonly number[]): Law => {
    const each = law(history);
    return 'point' in each ? each : point(argmax(each.probs));
  };
}

/** Half the L1 distance of two laws. */
export function totalVariation(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, index) => sum + Math.abs(value - b[index]), 0) / 2;
}

/** A proof's law of single tokens as an array. */
export function asRow(law: ReadonlyMap<string, number>, vocabulary: number): number[] {
  return Array.from({ length: vocabulary }, (_, token) => law.get(String(token)) ?? 0);
}

/** Six digits, as the worked examples are written. */
export function rounded(values: readonly number[]): number[] {
  return values.map((value) => Math.round(value * 1e6) / 1e6);
}

/** The law of the first token of a round that drafts one, and how often it is the drafted one. */
export function firstOf(verifier: Verifier, p: readonly number[], q: readonly number[]) {
  const laws = { target: constant(p), draft: constant(q) };
  const { blocks, expectedTokens } = prove({
    ...laws,
    verifier,
    vocabulary: p.length,
    branching: [1],
  });
  const row = p.map(() => 0);
  const rejected = p.map(() => 0);
  for (const [text, mass] of blocks) {
    const [first, next] = text.split(',');
    row[Number(first)] += mass;
    if (next === undefined) rejected[Number(first)] += mass;
  }
  return { row, rejected, acceptance: expectedTokens - 1 };
}
