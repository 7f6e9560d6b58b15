// Suffix decoding: what most often followed the last few tokens, in this text and in earlier ones, will follow again.
// Oliaro et al., "SuffixDecoding", 2024. A longer match may draft more, a chain or a tree, and the draft with the largest sum of path
// probabilities wins, which is how many of its tokens the counts expect to come. Own text and earlier ones are counted apart.
import * as z from 'zod';
import { OptionError } from '../../kernels/errors.ts';
import type { Drafter, DraftRequest } from '../drafter.ts';
import { pointDraw } from '../drawn.ts';
import { type Continuations, createContinuations, type Place } from './continuations.ts';
import { type Continuation, follow, grow } from './suffix-paths.ts';

const SuffixSchema = z.strictObject({
  maxDepth: z.int().min(2).max(256).default(24),
  factor: z.number().min(0).default(1),
  offset: z.number().default(0),
  minProbability: z.number().min(0).max(1).default(0.1),
  earlierTokens: z.int().min(0).default(16384),
  tree: z.boolean().default(false),
});

/**
 * Options of `suffix`.
 * - `maxDepth`: tokens of a match and its draft together, default 24; raise it for texts that repeat long passages, at the price
 *   of time and memory per token.
 * - `factor`, `offset`: a match of m tokens drafts up to m * factor + offset, default 1 and 0; raise them where even short
 *   matches are to be trusted.
 * - `minProbability`: no token is drafted whose path is less probable, default 0.1; raise it where rejected tokens are expensive.
 * - `tree`: drafts the most probable tokens of all continuations, not only of the most frequent one, default false. It gains where short
 *   matches, which are seldom sure, may draft several tokens: with factor 2 and offset 2, say.
 * - `earlierTokens`: how much of earlier texts is kept, default 16384 tokens; the oldest are dropped whole. 0 keeps none.
 */
export type SuffixOptions = z.input<typeof SuffixSchema>;

/**
 * A drafter that copies the most frequent continuations of what the text ends with. A text that is not the last one continued
 * starts anew, and the last one becomes an earlier text. Memory is at most `maxDepth` nodes per token of the text and of the
 * earlier ones. Throws an OptionError for wrong options.
 */
export function suffix(options: SuffixOptions = {}): Drafter {
  const parsed = SuffixSchema.safeParse(options);
  if (!parsed.success) throw new OptionError(`suffix: ${z.prettifyError(parsed.error)}`);
  const { maxDepth, factor, offset, minProbability, earlierTokens, tree } = parsed.data;
  let text: number[] = [];
  let own = createContinuations(maxDepth);
  let earlier = createArchive(maxDepth, earlierTokens);

  /** The best draft of all matches of the end of the text, that of the longest of equals; `best` where none is better. */
  const better = (best: Continuation, counts: Continuations, request: DraftRequest) => {
    const places: Place[] = [];
    while (places.length < Math.min(maxDepth - 1, text.length)) {
      const place = counts.find(text, text.length - places.length - 1);
      if (place === null) break;
      places.push(place);
    }
    let found = best;
    for (let length = places.length; length > 0; length--) {
      const nodes = Math.min(request.maxTokens, Math.floor(length * factor + offset));
      // A token is expected to come once at most.
      if (nodes <= found.score) continue;
      const levels = Math.min(request.maxDepth, maxDepth - length);
      const place = places[length - 1];
      const next = tree
        ? grow(place, { nodes, levels, least: minProbability })
        : follow(place, Math.min(nodes, levels), minProbability);
      if (next.score > found.score) found = next;
    }
    return found;
  };

  return {
    name: tree ? 'suffix tree' : 'suffix',
    draft(request: DraftRequest) {
      const { tokens } = request;
      if (!text.every((token, at) => token === tokens[at])) {
        earlier.file(text);
        text = [];
        own = createContinuations(maxDepth);
      }
      const known = text.length;
      while (text.length < tokens.length) text.push(tokens[text.length]);
      own.add(text, known);
      const nothing: Continuation = { tokens: [], score: 0 };
      const best = better(better(nothing, own, request), earlier.continuations, request);
      return { tokens: best.tokens.map(pointDraw), parents: best.parents };
    },
    dispose() {
      text = [];
      own = createContinuations(maxDepth);
      earlier = createArchive(maxDepth, earlierTokens);
    },
  };
}

/** Finished texts of at most `limit` tokens together: the oldest go first, one that is longer is not kept at all. */
function createArchive(depth: number, limit: number) {
  const continuations = createContinuations(depth);
  const texts: (readonly number[])[] = [];
  let size = 0;
  return {
    continuations,
    file(text: readonly number[]): void {
      if (text.length > limit) return;
      while (size + text.length > limit) {
        const oldest = texts.shift()!;
        continuations.remove(oldest);
        size -= oldest.length;
      }
      continuations.add(text, 0);
      texts.push(text);
      size += text.length;
    },
  };
}
