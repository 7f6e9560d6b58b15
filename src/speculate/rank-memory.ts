// How often the child of each rank was the accepted one, by level: what a drafter can see for itself, since the text that it is told next
// says which of its candidates came. Candidates that were ranked but not drafted count as well, so that a tree can find out what a
// wider one would have been worth.
import type { RankAcceptance } from './best-tree.ts';
import type { Draft } from './drafter.ts';

/** What is believed before anything was seen: of the first rank, and of each further one relative to the one before. */
const FIRST = 0.6;
const NEXT = 0.4;
/** A level is a little less likely than the one before, until tried. */
const DEEPER = 0.98;
/** Tries that a belief weighs, and drafts that the memory reaches back. */
const BELIEF_WEIGHT = 2;
const REACH = 200;

/** A draft, and for the text (0) and node i (1 + i) the ranked candidates for the next token, where the drafter looked. */
export interface RankedDraft extends Draft {
  readonly candidates: readonly (readonly number[] | undefined)[];
}

/** Learns from the texts after its drafts. */
export interface RankMemory {
  /** Drafted after a text of `position` tokens. */
  drafted(position: number, draft: RankedDraft): void;
  /** The text has become `tokens`: counts what came of the last draft, once. */
  seen(tokens: readonly number[]): void;
  readonly acceptance: RankAcceptance;
}

/** A memory of so many levels and ranks. */
export function createRankMemory(levels: number, width: number): RankMemory {
  const tried = Array.from({ length: levels }, () => 0);
  const accepted = Array.from({ length: levels }, () => new Float64Array(width));
  let last: { readonly position: number; readonly draft: RankedDraft } | undefined;

  function count(level: number, rank: number): void {
    const fade = 1 - 1 / REACH;
    tried[level] = tried[level] * fade + 1;
    for (let each = 0; each < width; each++) accepted[level][each] *= fade;
    if (rank >= 0 && rank < width) accepted[level][rank] += 1;
  }

  return {
    drafted(position, draft) {
      last = { position, draft };
    },
    seen(tokens) {
      if (last === undefined) return;
      const { position, draft } = last;
      last = undefined;
      const { tokens: drafted, parents } = draft;
      let node = -1;
      for (let level = 0; level < levels && position + level < tokens.length; level++) {
        const candidates = draft.candidates[node + 1];
        if (candidates === undefined) return;
        const token = tokens[position + level];
        count(level, candidates.indexOf(token));
        const parent = node;
        node = drafted.findIndex(
          (each, at) => each.token === token && (parents ? parents[at] : at - 1) === parent,
        );
        if (node < 0) return;
      }
    },
    acceptance(level, rank) {
      let belief = FIRST * NEXT ** rank;
      let mean = belief;
      for (let each = 0; each <= Math.min(level, levels - 1); each++) {
        mean =
          (BELIEF_WEIGHT * belief + (accepted[each][rank] ?? 0)) / (BELIEF_WEIGHT + tried[each]);
        belief = DEEPER * mean;
      }
      return mean;
    },
  };
}
