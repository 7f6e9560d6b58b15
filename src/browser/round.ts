// A round as data: what a page needs to draw it, with the most probable tokens of every law instead of the whole vocabulary.
import type { Tokenizer } from '../models/tokenizer.ts';
import type { Law } from '../speculate/law.ts';
import { massOf, mostProbable } from '../speculate/sample.ts';
import type { ChanceChoice, Round } from '../speculate/witness.ts';

/** A token that could stand somewhere, with its probabilities there. */
export interface Candidate {
  readonly token: number;
  readonly text: string;
  /** Under the target's law. */
  readonly p: number;
  /** Under the drafter's law; null where nothing was drafted. */
  readonly q: number | null;
}

/** A token that could be chosen, with its probability. */
export interface Outcome {
  readonly token: number;
  readonly text: string;
  readonly probability: number;
}

/** A token in a race: it arrives after -ln(number) / probability. */
export interface Runner extends Outcome {
  readonly number: number;
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

type Choice<Kind extends ChanceChoice['kind']> = Extract<ChanceChoice, { readonly kind: Kind }>;

/** A choice of chance: of its law the most probable tokens, and those that were chosen. */
export type ChoiceData =
  | Choice<'coin'>
  | (Omit<Choice<'pick'>, 'law'> & { readonly candidates: readonly Outcome[] })
  | (Omit<Choice<'race'>, 'law' | 'number'> & { readonly candidates: readonly Runner[] });

/** A round that survives a structured clone. */
export interface RoundData {
  readonly index: number;
  readonly position: number;
  readonly nodes: readonly NodeData[];
  /**
   * After the text (row 0) and after node i (row 1 + i): the most probable tokens of the target and of the drafter, and those
   * that were drafted or came next there, in falling order of p, then of q.
   */
  readonly rows: readonly (readonly Candidate[])[];
  readonly choices: readonly ChoiceData[];
  readonly path: readonly number[];
  readonly next: { readonly token: number; readonly text: string };
  readonly kind: 'recovered' | 'bonus';
  readonly emitted: readonly number[];
  readonly draftMs: number;
  readonly targetMs: number;
}

/** The round with `top` tokens of every law, and a few more. Computes the target's laws of all rows, also of those nobody judged. */
export function packRound(round: Round, tokenizer: Tokenizer, top: number): RoundData {
  const { draft, verdict, index, position, emitted, draftMs, targetMs } = round;
  const text = (token: number) => tokenizer.decode([token]);
  const accepted = new Set(verdict.path);
  const parentOf = (node: number) => (draft.parents ? draft.parents[node] : node - 1);
  const nodes = draft.tokens.map(({ token, law }, node) => ({
    token,
    text: text(token),
    parent: parentOf(node),
    accepted: accepted.has(node),
    q: massOf(law, token),
    p: massOf(round.law(1 + parentOf(node)), token),
  }));

  const lastRow = 1 + (verdict.path.at(-1) ?? -1);
  const row = (at: number): Candidate[] => {
    const law = round.law(at);
    const children = nodes.flatMap(({ parent }, node) => (parent === at - 1 ? [node] : []));
    const draftLaw = children.length > 0 ? round.draftLaw(children[0]) : null;
    const drafted = children.map((node) => nodes[node].token);
    const tokens = new Set([
      ...mostProbable(law, top),
      ...(draftLaw ? mostProbable(draftLaw, top) : []),
      ...drafted,
      ...(at === lastRow ? [verdict.next] : []),
    ]);
    const all = [...tokens].map((token) => ({
      token,
      text: text(token),
      p: massOf(law, token),
      q: draftLaw && massOf(draftLaw, token),
    }));
    return all.sort((a, b) => b.p - a.p || (b.q ?? 0) - (a.q ?? 0));
  };

  const outcomes = (law: Law, chosen: readonly number[]): Outcome[] =>
    [...new Set([...mostProbable(law, top), ...chosen])].map((token) => ({
      token,
      text: text(token),
      probability: massOf(law, token),
    }));
  const choice = (made: ChanceChoice): ChoiceData => {
    if (made.kind === 'coin') return made;
    if (made.kind === 'pick') {
      const { law, ...rest } = made;
      return { ...rest, candidates: outcomes(law, [made.result]) };
    }
    const { law, number, ...rest } = made;
    const candidates = outcomes(law, made.result).map((each) => ({
      ...each,
      number: number(each.token),
    }));
    return { ...rest, candidates };
  };

  return {
    index,
    position,
    nodes,
    rows: [...nodes, null].map((_, at) => row(at)),
    choices: round.choices.map(choice),
    path: verdict.path,
    next: { token: verdict.next, text: text(verdict.next) },
    kind: verdict.kind,
    emitted,
    draftMs,
    targetMs,
  };
}
