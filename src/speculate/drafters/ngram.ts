// Prompt lookup: what followed the last few tokens the last time they occurred, will follow again.
// Saxena, "Prompt lookup decoding", 2023. The longest matching n-gram counts first, and of its occurrences the latest. What followed
// other occurrences may be drafted beside it, as branches of a tree.
// The index grows with the text and shrinks when the text does; memory is linear in the text.
import * as z from 'zod';
import { OptionError } from '../../kernels/errors.ts';
import type { Draft, Drafter, DraftRequest } from '../drafter.ts';
import { pointDraw } from '../drawn.ts';
import { MAX_DRAFT } from '../limits.ts';

const NgramSchema = z
  .strictObject({
    maxLength: z.int().min(1).max(32).default(3),
    minLength: z.int().min(1).default(1),
    branches: z.int().min(1).max(MAX_DRAFT).default(1),
  })
  .refine(({ minLength, maxLength }) => minLength <= maxLength, {
    path: ['minLength'],
    error: 'expected at most maxLength',
  });

/**
 * Options of `ngram`.
 * - `maxLength`: tokens of the longest n-gram looked up, default 3; raise it for texts that repeat long passages.
 * - `minLength`: tokens of the shortest, default 1; raise it when single-token matches mislead.
 * - `branches`: occurrences whose continuations are drafted, default 1, a chain; with more a tree, which pays where checked tokens cost
 *   little. Where the longest n-gram has fewer occurrences, those of shorter ones come after them.
 */
export type NgramOptions = z.input<typeof NgramSchema>;

/** A drafter that copies what followed earlier occurrences; throws an OptionError for wrong options. */
export function ngram(options: NgramOptions = {}): Drafter {
  const parsed = NgramSchema.safeParse(options);
  if (!parsed.success) throw new OptionError(`ngram: ${z.prettifyError(parsed.error)}`);
  const { minLength, maxLength, branches } = parsed.data;
  let index = createIndex(minLength, maxLength);
  return {
    name: branches > 1 ? `ngram tree of ${branches}` : 'ngram',
    draft({ tokens, maxTokens, maxDepth }: DraftRequest) {
      index.reconcile(tokens);
      const ends = index.find(tokens, branches);
      if (branches > 1) return merge(tokens, ends, { maxTokens, maxDepth });
      const [start = tokens.length] = ends;
      return { tokens: tokens.slice(start, start + Math.min(maxTokens, maxDepth)).map(pointDraw) };
    },
    dispose() {
      index = createIndex(minLength, maxLength);
    },
  };
}

/** Where n-grams end, for all n-grams that end before the last token, so that each has a continuation. */
function createIndex(minLength: number, maxLength: number) {
  const text: number[] = [];
  const levels = Array.from({ length: maxLength - minLength + 1 }, (_, level) => ({
    length: maxLength - level,
    /** n-gram -> end of its latest occurrence. */
    latest: new Map<string, number>(),
    /** end -> end of the occurrence before, so that the latest can be taken back. */
    previous: [] as (number | undefined)[],
  }));

  const push = (token: number) => {
    text.push(token);
    const end = text.length;
    for (const { length, latest, previous } of levels) {
      if (end < length) continue;
      const gram = gramAt(text, end, length);
      previous[end - length] = latest.get(gram);
      latest.set(gram, end);
    }
  };

  const pop = () => {
    const end = text.length;
    for (const { length, latest, previous } of levels) {
      if (end < length) continue;
      const gram = gramAt(text, end, length);
      const before = previous.pop();
      if (before === undefined) latest.delete(gram);
      else latest.set(gram, before);
    }
    text.pop();
  };

  return {
    /** Makes this the index of `tokens`: takes back what differs, adds what is new. */
    reconcile(tokens: readonly number[]): void {
      const limit = tokens.length - 1;
      let common = 0;
      while (common < text.length && common < limit && text[common] === tokens[common]) common++;
      while (text.length > common) pop();
      while (text.length < limit) push(tokens[text.length]);
    },
    /** Ends of up to `most` earlier occurrences of an n-gram that ends `tokens`, longer n-grams first, of each the latest first. */
    find(tokens: readonly number[], most: number): number[] {
      const ends = new Set<number>();
      for (const { length, latest, previous } of levels) {
        if (tokens.length < length || ends.size === most) continue;
        let end = latest.get(gramAt(tokens, tokens.length, length));
        for (; end !== undefined && ends.size < most; end = previous[end - length]) ends.add(end);
      }
      return [...ends];
    },
  };
}

/**
 * The tree of what follows the places, where paths that begin alike share their nodes. It grows level by level, in the order of the
 * places, so that no path has two tokens before each has one.
 */
function merge(
  text: readonly number[],
  places: readonly number[],
  { maxTokens, maxDepth }: Pick<DraftRequest, 'maxTokens' | 'maxDepth'>,
): Draft {
  const tokens: number[] = [];
  const parents: number[] = [];
  /** The node that each path has come to, -1 for the text. */
  let ends = places.map((place) => ({ place, node: -1 }));
  for (let depth = 0; depth < maxDepth && ends.length > 0; depth++) {
    const next: typeof ends = [];
    for (const { place, node: parent } of ends) {
      const token = text[place + depth];
      if (token === undefined) continue;
      let node = tokens.findIndex((each, at) => each === token && parents[at] === parent);
      if (node < 0) {
        if (tokens.length === maxTokens) continue;
        node = tokens.push(token) - 1;
        parents.push(parent);
      }
      next.push({ place, node });
    }
    ends = next;
  }
  return { tokens: tokens.map(pointDraw), parents };
}

function gramAt(text: readonly number[], end: number, length: number): string {
  return text.slice(end - length, end).join();
}
