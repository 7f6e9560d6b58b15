// A round as data: what a page needs to draw it, with the most probable tokens of every law instead of the whole vocabulary.
import type { Tokenizer } from '../models/tokenizer.ts';
import type { Law } from '../speculate/law.ts';
import { massOf, mostProbable } from '../speculate/sample.ts';
import type { ChanceChoice, Round } from '../speculate/witness.ts';

/** A token with its text and a probability. */
export interface Candidate {
  readonly token: number;
  readonly text: string;
  readonly probability: number;
}

/** A drafted token. */
export interface NodeData {
  readonly token: number;
  readonly text: string;
  /** Node before it, -1 for the text. */
  readonly parent: number;
  readonly accepted: boolean;
  /** Probability under the law it is stated with; 1 for a point. */
  readonly q: number;
  /** Probability under the target's law where it stands. */
  readonly p: number;
}

/** A choice of chance without its law. */
export type ChoiceData =
  | Extract<ChanceChoice, { readonly kind: 'coin' }>
  | (Omit<Extract<ChanceChoice, { readonly kind: 'pick' | 'race' }>, 'law' | 'result'> & {
      readonly result: readonly number[];
      /** The most probable tokens of the law it was drawn from. */
      readonly candidates: readonly Candidate[];
    });

/** A round that survives a structured clone. */
export interface RoundData {
  readonly index: number;
  readonly position: number;
  readonly nodes: readonly NodeData[];
  /** The target's law after the text (row 0) and after node i (row 1 + i): its most probable tokens. */
  readonly rows: readonly (readonly Candidate[])[];
  readonly choices: readonly ChoiceData[];
  readonly path: readonly number[];
  readonly next: { readonly token: number; readonly text: string };
  readonly kind: 'recovered' | 'bonus';
  readonly emitted: readonly number[];
  readonly draftMs: number;
  readonly targetMs: number;
}

/** The round with `top` candidates of every law. Computes the target's laws of all rows, also of those nobody judged. */
export function packRound(round: Round, tokenizer: Tokenizer, top: number): RoundData {
  const { draft, verdict, choices, index, position, emitted, draftMs, targetMs } = round;
  const text = (token: number) => tokenizer.decode([token]);
  const candidates = (law: Law): Candidate[] =>
    mostProbable(law, top).map((token) => ({
      token,
      text: text(token),
      probability: massOf(law, token),
    }));
  const accepted = new Set(verdict.path);
  const parentOf = (node: number) => (draft.parents ? draft.parents[node] : node - 1);
  return {
    index,
    position,
    nodes: draft.tokens.map(({ token, law }, node) => ({
      token,
      text: text(token),
      parent: parentOf(node),
      accepted: accepted.has(node),
      q: massOf(law, token),
      p: massOf(round.law(1 + parentOf(node)), token),
    })),
    rows: [...draft.tokens, null].map((_, row) => candidates(round.law(row))),
    choices: choices.map((choice): ChoiceData => {
      if (choice.kind === 'coin') return choice;
      const { law, result, ...rest } = choice;
      return { ...rest, result: [result].flat(), candidates: candidates(law) };
    }),
    path: verdict.path,
    next: { token: verdict.next, text: text(verdict.next) },
    kind: verdict.kind,
    emitted,
    draftMs,
    targetMs,
  };
}
