// Prompt lookup: what followed the last few tokens the last time they occurred, will follow again.
// Saxena, "Prompt lookup decoding", 2023. The longest matching n-gram counts first, and of its occurrences the latest.
// The index grows with the text and shrinks when the text does; memory is linear in the text.
import * as z from 'zod';
import { OptionError } from '../../kernels/errors.ts';
import type { Drafter, DraftRequest } from '../drafter.ts';
import { pointDraw } from '../drawn.ts';

const NgramSchema = z
  .strictObject({
    maxLength: z.int().min(1).max(32).default(3),
    minLength: z.int().min(1).default(1),
  })
  .refine(({ minLength, maxLength }) => minLength <= maxLength, {
    path: ['minLength'],
    error: 'expected at most maxLength',
  });

/**
 * Options of `ngram`.
 * - `maxLength`: tokens of the longest n-gram looked up, default 3; raise it for texts that repeat long passages.
 * - `minLength`: tokens of the shortest, default 1; raise it when single-token matches mislead.
 */
export type NgramOptions = z.input<typeof NgramSchema>;

/** A drafter that copies what followed an earlier occurrence; throws an OptionError for wrong options. */
export function ngram(options: NgramOptions = {}): Drafter {
  const parsed = NgramSchema.safeParse(options);
  if (!parsed.success) throw new OptionError(`ngram: ${z.prettifyError(parsed.error)}`);
  const { minLength, maxLength } = parsed.data;
  let index = createIndex(minLength, maxLength);
  return {
    name: 'ngram',
    draft({ tokens, maxTokens, maxDepth }: DraftRequest) {
      index.reconcile(tokens);
      const start = index.find(tokens);
      if (start === undefined) return { tokens: [] };
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
    /** The end of the latest earlier occurrence of the longest n-gram that ends `tokens`. */
    find(tokens: readonly number[]): number | undefined {
      for (const { length, latest } of levels) {
        if (tokens.length < length) continue;
        const end = latest.get(gramAt(tokens, tokens.length, length));
        if (end !== undefined) return end;
      }
      return undefined;
    },
  };
}

function gramAt(text: readonly number[], end: number, length: number): string {
  return text.slice(end - length, end).join();
}
