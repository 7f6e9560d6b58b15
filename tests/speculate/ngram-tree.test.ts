// Trees of n-grams: by hand, and against a search of the whole text that merges paths as strings.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Draft, DraftRequest } from '../../src/speculate/drafter.ts';
import { type NgramOptions, ngram } from '../../src/speculate/drafters/ngram.ts';
import { pointDraw } from '../../src/speculate/drawn.ts';
import { drafted, request } from './fixtures.ts';

type Text = readonly number[];

/** Paths from the text to every node of a draft. */
function pathsOf({ tokens, parents }: Draft): string[] {
  const paths: string[] = [];
  for (const [node, { token }] of tokens.entries()) {
    const parent = parents![node];
    expect(parent).toBeLessThan(node);
    paths.push(parent < 0 ? `${token}` : `${paths[parent]},${token}`);
  }
  return paths;
}

/** The same by trying every place: longest n-gram first, latest place first, then level by level. */
function mergedPaths(text: Text, options: NgramOptions, limits: DraftRequest): string[] {
  const { maxLength = 3, minLength = 1, branches = 1 } = options;
  const places: number[] = [];
  for (let length = maxLength; length >= minLength; length--)
    for (let end = text.length - 1; end >= length; end--)
      if (
        text.slice(end - length, end).join() === text.slice(-length).join() &&
        !places.includes(end)
      )
        places.push(end);
  const paths: string[] = [];
  for (let depth = 1; depth <= limits.maxDepth; depth++)
    for (const place of places.slice(0, branches)) {
      const path = text.slice(place, place + depth);
      const before = path.slice(0, -1).join();
      if (path.length < depth || (depth > 1 && !paths.includes(before))) continue;
      if (!paths.includes(path.join()) && paths.length < limits.maxTokens) paths.push(path.join());
    }
  return paths;
}

describe('a tree of ngram', () => {
  // After 1, 2 came 5, 8 the last time, before that 7, 1, and before that 5, 6.
  const TEXT = [1, 2, 5, 6, 1, 2, 7, 1, 2, 5, 8, 1, 2];

  it('has what followed the latest occurrences, level by level, and the latest first', async () => {
    const draft = await ngram({ branches: 3 }).draft(request(TEXT, 9, 3));
    expect(draft.tokens).toEqual([5, 7, 8, 1, 6, 1, 2, 1].map(pointDraw));
    expect(draft.parents).toEqual([-1, -1, 0, 1, 0, 2, 3, 4]);
    const two = await ngram({ branches: 2 }).draft(request(TEXT, 9, 2));
    expect(pathsOf(two)).toEqual(['5', '7', '5,8', '7,1']);
  });

  it('gives every path a token before any has two, as long as there is room', async () => {
    const pathsWith = async (maxTokens: number) =>
      pathsOf(await ngram({ branches: 3 }).draft(request(TEXT, maxTokens, 3)));
    expect(await pathsWith(1)).toEqual(['5']);
    expect(await pathsWith(2)).toEqual(['5', '7']);
    expect(await pathsWith(4)).toEqual(['5', '7', '5,8', '7,1']);
    expect(await pathsWith(6)).toEqual(['5', '7', '5,8', '7,1', '5,6', '5,8,1']);
  });

  it('takes shorter n-grams where there are too few longer ones, and every place once', async () => {
    const text = [2, 9, 1, 2, 7, 2, 8, 1, 2];
    const firsts = async (branches: number) =>
      pathsOf(await ngram({ branches }).draft(request(text, 9, 1)));
    expect(await firsts(2)).toEqual(['7', '8']);
    expect(await firsts(3)).toEqual(['7', '8', '9']);
    expect(await firsts(9)).toEqual(['7', '8', '9']);
  });

  it('is a chain where one branch is asked for', async () => {
    expect(await drafted(ngram({ branches: 1 }), request(TEXT, 3))).toEqual([5, 8, 1]);
  });

  it('finds what a search of the whole text finds, while the text grows, shrinks and changes', async () => {
    const edit = fc.record({
      keep: fc.oneof(fc.constant(99), fc.nat(30)),
      add: fc.array(fc.nat(3), { maxLength: 12 }),
    });
    const options = fc.record({
      maxLength: fc.integer({ min: 2, max: 4 }),
      minLength: fc.integer({ min: 1, max: 2 }),
      branches: fc.integer({ min: 2, max: 6 }),
    });
    const limits = fc.constantFrom([5, 5], [12, 3], [20, 9]);
    await fc.assert(
      fc.asyncProperty(
        options,
        limits,
        fc.array(edit, { maxLength: 10 }),
        async (chosen, [maxTokens, maxDepth], edits) => {
          const drafter = ngram(chosen);
          let text: Text = [0];
          for (const { keep, add } of edits) {
            text = [0, ...text.slice(1, 1 + keep), ...add];
            const asked = request(text, maxTokens, maxDepth);
            const paths = pathsOf(await drafter.draft(asked));
            expect(paths).toEqual(mergedPaths(text, chosen, asked));
            expect(new Set(paths).size).toBe(paths.length);
          }
        },
      ),
      { seed: 1, numRuns: 300 },
    );
  });

  it('says how many branches it has, and names wrong numbers of them', () => {
    expect(ngram().name).toBe('ngram');
    expect(ngram({ branches: 3 }).name).toBe('ngram tree of 3');
    for (const branches of [0, 1.5, 129])
      expect(() => ngram({ branches })).toThrow(/ngram: [\s\S]*branches/);
  });
});
