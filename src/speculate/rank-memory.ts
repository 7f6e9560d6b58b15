// How often the child of each rank was the accepted one, by level: what a drafter can see for itself, since the text that it is told next
// says which of its candidates came. Where tokens are stated as points, candidates that were ranked but not drafted count as well, so that
// a tree can find out what a wider one would have been worth. Where they are stated with the law that they were drawn from, a
// verifier accepts what it would not have drawn itself, so only those that were drafted tell something.
import type { RankAcceptance } from './best-tree.ts';
import type { Draft } from './drafter.ts';

/** What is believed before anything was seen: of the first rank, and of each further one relative to the one before. */
const FIRST = 0.6;
const NEXT = 0.4;
/** A level is a little less likely than the one before, until tried. */
const DEEPER = 0.98;
/** Tries that a belief weighs, and what stays of a try with every draft. */
const BELIEF_WEIGHT = 2;
const FADE = 1 - 1 / 200;
/** Tokens at the end of a text that tell it from others. */
const END = 8;

/** A draft, and for the text (0) and node i (1 + i) the ranked candidates for the next token, where the drafter looked. */
export interface RankedDraft extends Draft {
  readonly candidates: readonly (readonly number[] | undefined)[];
}

/** Learns from the texts after its drafts. */
export interface RankMemory {
  /** Drafted after a text. */
  drafted(text: readonly number[], draft: RankedDraft): void;
  /** The text has become `tokens`: counts what came of the last draft, once. */
  seen(tokens: readonly number[]): void;
  readonly acceptance: RankAcceptance;
}

/** A memory of so many levels and ranks. */
export function createRankMemory(levels: number, width: number): RankMemory {
  const tried = Array.from({ length: levels }, () => new Float64Array(width));
  const accepted = Array.from({ length: levels }, () => new Float64Array(width));
  let last:
    | { readonly length: number; readonly end: readonly number[]; readonly draft: RankedDraft }
    | undefined;

  /** The child of `rank` came (-1: none of them), where the first `told` ranks could tell. */
  function count(level: number, rank: number, told: number): void {
    for (let each = 0; each < width; each++) {
      tried[level][each] *= FADE;
      accepted[level][each] *= FADE;
      if (each >= told) continue;
      tried[level][each] += 1;
      if (each === rank) accepted[level][each] += 1;
    }
  }

  return {
    drafted(text, draft) {
      last = { length: text.length, end: text.slice(-END), draft };
    },
    seen(tokens) {
      if (last === undefined) return;
      const { length, end, draft } = last;
      last = undefined;
      // Another text.
      if (!end.every((token, at) => tokens[length - end.length + at] === token)) return;
      const { tokens: drafted, parents } = draft;
      let node = -1;
      for (let level = 0; level < levels && length + level < tokens.length; level++) {
        const candidates = draft.candidates[node + 1];
        if (candidates === undefined) return;
        const token = tokens[length + level];
        const children = [...drafted.keys()].filter(
          (each) => (parents ? parents[each] : each - 1) === node,
        );
        const isDrawn = children.some((each) => 'probs' in drafted[each].law);
        count(level, candidates.indexOf(token), isDrawn ? children.length : width);
        node = children.find((each) => drafted[each].token === token) ?? -1;
        if (node < 0) return;
      }
    },
    acceptance(level, rank) {
      let belief = FIRST * NEXT ** rank;
      let mean = belief;
      for (let each = 0; each <= Math.min(level, levels - 1); each++) {
        mean =
          (BELIEF_WEIGHT * belief + (accepted[each][rank] ?? 0)) /
          (BELIEF_WEIGHT + (tried[each][rank] ?? 0));
        belief = DEEPER * mean;
      }
      return mean;
    },
  };
}
