// The pieces of one round: its chance, the draft, the target's law of each row, and what a verdict emits.
import { OptionError } from '../kernels/errors.ts';
import { depthsOf } from '../models/tree.ts';
import type { Draft, Drafter, DraftRequest } from './drafter.ts';
import type { Law } from './law.ts';
import type { Noise, TextNoise } from './noise.ts';
import { isNothing } from './sample.ts';
import type { Verdict, Verifier } from './verifier.ts';

/** The noise of the round that begins at `position`, and how it draws drafts: each draw for a position with other numbers. */
export function chanceOf(
  text: TextNoise,
  verifier: Verifier,
  position: number,
): { readonly noise: Noise; readonly draw: DraftRequest['draw'] } {
  const draws = new Map<number, number>();
  return {
    noise: text.round(position),
    draw(law, at, count) {
      if (isNothing(law)) return [];
      const draw = draws.get(at) ?? 0;
      draws.set(at, draw + 1);
      return verifier.draw(law, at, count, text.round(position, draw));
    },
  };
}

/** Asks for a draft where there is room for one; throws an OptionError for what is none or larger than asked for. */
export async function draftFrom(drafter: Drafter, request: DraftRequest): Promise<Draft> {
  const { maxTokens, maxDepth } = request;
  if (maxTokens < 1 || maxDepth < 1) return { tokens: [] };
  const draft = await drafter.draft(request);
  if (!Array.isArray(draft?.tokens) || draft.tokens.some((drawn) => !drawn?.law))
    throw new OptionError(
      `drafter ${drafter.name}: expected { tokens, parents } with tokens of pointDraw or request.draw, got ${JSON.stringify(draft)}`,
    );
  if (draft.tokens.length > maxTokens || depthOf(draft) > maxDepth)
    throw new OptionError(
      `drafter ${drafter.name}: expected at most ${maxTokens} tokens and depth ${maxDepth}, got ${draft.tokens.length} and ${depthOf(draft)}`,
    );
  return draft;
}

/** Levels of a draft below the text. */
export function depthOf({ tokens, parents }: Draft): number {
  if (parents === undefined) return tokens.length;
  return Math.max(0, ...depthsOf(parents));
}

/** The target's law of each row, with that row's own history, computed when a verifier asks for it. */
export function lawsOf(
  { tokens: drafted, parents }: Draft,
  committed: readonly number[],
  logits: readonly Float32Array[],
  lawOf: (logits: Float32Array, history: readonly number[]) => Law,
): (row: number) => Law {
  const laws = new Map<number, Law>();
  const history = (row: number): readonly number[] => {
    const path: number[] = [];
    for (let node = row - 1; node >= 0; node = parents ? parents[node] : node - 1)
      path.push(drafted[node].token);
    return path.length === 0 ? committed : [...committed, ...path.reverse()];
  };
  return (row) => {
    let law = laws.get(row);
    if (law === undefined) {
      law = lawOf(logits[row], history(row));
      laws.set(row, law);
    }
    return law;
  };
}

/** The tokens of a verdict, each with the row whose law it came from. */
export function emitted(draft: Draft, { path, next }: Verdict) {
  const rows = [0, ...path.map((node) => node + 1)];
  return [
    ...path.map((node, index) => ({
      id: draft.tokens[node].token,
      row: rows[index],
      drafted: true,
    })),
    { id: next, row: rows[path.length], drafted: false },
  ];
}
