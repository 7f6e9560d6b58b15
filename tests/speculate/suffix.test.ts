// Suffix decoding against its definition: counts by looking at every place of every text.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Draft } from '../../src/speculate/drafter.ts';
import {
  type Continuations,
  createContinuations,
  nextOf,
} from '../../src/speculate/drafters/continuations.ts';
import { type SuffixOptions, suffix } from '../../src/speculate/drafters/suffix.ts';
import { follow } from '../../src/speculate/drafters/suffix-paths.ts';
import { pointDraw } from '../../src/speculate/drawn.ts';
import { drafted, request } from './fixtures.ts';
import { vectors } from './laws.ts';
import { draftAfter, followersOf, keptOf, type Text } from './suffix-definition.ts';

describe('suffix', () => {
  it('drafts and scores vector W, match by match', async () => {
    const { history, min_token_prob: least, max_spec_factor: factor, trace, chosen } = vectors.W;
    const options = { minProbability: least, factor };
    expect(await drafted(suffix(options), request(history, 9))).toEqual(chosen.draft);
    const counts = createContinuations(24);
    counts.add(history, 0);
    for (const { match_len, budget, draft, path_probs, score } of trace) {
      const place = counts.find(history, history.length - match_len)!;
      expect(follow(place, budget, least)).toEqual({ tokens: draft, score });
      const scores = path_probs.map((_, at) => follow(place, at + 1, least).score);
      expect(scores.map((each, at) => each - (scores[at - 1] ?? 0))).toEqual(path_probs);
    }
    expect(follow(counts.find(history, history.length - 4)!, 4, least).tokens).toEqual([]);
  });

  it('states every token as a point', async () => {
    const { tokens } = await suffix().draft(request([1, 2, 3, 1, 2]));
    expect(tokens).toEqual([pointDraw(3), pointDraw(1)]);
  });

  it('drafts nothing for a text of one token or of different ones', async () => {
    expect(await drafted(suffix(), request([1]))).toEqual([]);
    expect(await drafted(suffix(), request([1, 2, 3]))).toEqual([]);
  });

  it('drafts as far as the match is long, times factor, plus offset, within the request and the depth', async () => {
    const text = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2];
    const lengths = (options: SuffixOptions, ...limits: number[]) =>
      drafted(suffix(options), request(text, ...limits)).then(({ length }) => length);
    expect(await lengths({}, 9)).toBe(2);
    expect(await lengths({ factor: 1.9 }, 9)).toBe(3);
    expect(await lengths({ factor: 1.5, offset: 1 }, 9)).toBe(4);
    expect(await lengths({ factor: 9 }, 5, 9)).toBe(5);
    expect(await lengths({ factor: 9 }, 9, 4)).toBe(4);
    expect(await lengths({ factor: 9, maxDepth: 4 }, 9)).toBe(3);
    expect(await lengths({ factor: 0 }, 9)).toBe(0);
    expect(await lengths({ offset: -5 }, 9)).toBe(0);
  });

  it('ends a draft before its probability falls below the least', async () => {
    const text = [1, 2, 3, 1, 2, 4, 1, 2];
    expect(await drafted(suffix({ minProbability: 0 }), request(text))).toEqual([3, 1]);
    expect(await drafted(suffix({ minProbability: 1 / 3 }), request(text))).toEqual([3, 1]);
    expect(await drafted(suffix({ minProbability: 0.34 }), request(text))).toEqual([]);
  });

  it('takes a text that is not the last one continued for a finished one, and copies from it', async () => {
    const drafter = suffix();
    await drafter.draft(request([1, 2, 3, 4, 5]));
    expect(await drafted(drafter, request([9, 1, 2]))).toEqual([3, 4]);
    // Its own text says as much of 1, 2.
    expect(await drafted(drafter, request([9, 1, 2, 7, 8, 1, 2]))).toEqual([3, 4]);
    expect(await drafted(suffix({ earlierTokens: 0 }), request([9, 1, 2]))).toEqual([]);
  });

  it('prefers its own text where earlier ones are as sure, and them where they are surer', async () => {
    const draftAt = async (earlier: Text, text: Text) => {
      const drafter = suffix();
      await drafter.draft(request(earlier));
      return drafted(drafter, request(text, 1));
    };
    expect(await draftAt([1, 2, 3, 1, 2], [1, 2, 4, 1, 2])).toEqual([4]);
    expect(await draftAt([1, 2, 3], [1, 2, 4, 1, 2])).toEqual([3]);
  });

  it('drops the oldest texts whole, and keeps none that is longer than all it may keep', async () => {
    const drafter = suffix({ earlierTokens: 6 });
    const draftAt = (text: Text) => drafted(drafter, request(text));
    await draftAt([1, 2, 3]);
    await draftAt([4, 5, 6]);
    expect(await draftAt([0, 1, 2])).toEqual([3]);
    expect(await draftAt([0, 4, 5])).toEqual([6]);
    expect(await draftAt([3, 1, 2])).toEqual([]);
    await draftAt([9, 8, 7, 6, 5, 4, 3]);
    expect(await draftAt([2, 9, 8])).toEqual([]);
    expect(await draftAt([0, 3, 1])).toEqual([2]);
  });

  it('drafts what the definition says while texts grow, shrink, change and are dropped', async () => {
    const options = fc.record({
      maxDepth: fc.integer({ min: 2, max: 7 }),
      factor: fc.constantFrom(0.5, 1, 2),
      offset: fc.constantFrom(-1, 0, 1.5, 7),
      minProbability: fc.constantFrom(0, 0.1, 0.3, 0.5),
      earlierTokens: fc.constantFrom(0, 12, 40),
      tree: fc.boolean(),
    });
    const edits = (vocabulary: number) =>
      fc.array(
        fc.record({
          // Mostly all of it, as in a generation.
          keep: fc.oneof(fc.constant(99), fc.constant(99), fc.nat(12)),
          add: fc.array(fc.nat(vocabulary - 1), { maxLength: 7 }),
        }),
        { maxLength: 10 },
      );
    const limits = fc.constantFrom([5, 5], [9, 2], [9, 9]);
    await fc.assert(
      fc.asyncProperty(
        options,
        fc.oneof(edits(3), edits(3), edits(8)),
        limits,
        async (chosen, texts, [maxTokens, maxDepth]) => {
          const drafter = suffix(chosen);
          const finished: Text[] = [];
          let text: Text = [0];
          await drafter.draft(request(text));
          for (const { keep, add } of texts) {
            const next = [0, ...text.slice(1, 1 + keep), ...add];
            if (text.some((token, at) => token !== next[at])) finished.push(text);
            text = next;
            const earlier = keptOf(finished, chosen.earlierTokens);
            const wanted = draftAfter(text, earlier, chosen, { maxTokens, maxDepth });
            const { tokens, parents } = await drafter.draft(request(text, maxTokens, maxDepth));
            const nodes = tokens.map(({ token }, node) => ({
              token,
              parent: parents === undefined ? node - 1 : parents[node],
            }));
            expect(nodes).toEqual(wanted);
          }
        },
      ),
      { seed: 1, numRuns: 600 },
    );
  });

  it('forgets everything on dispose', async () => {
    const drafter = suffix();
    await drafter.draft(request([1, 2, 1]));
    await drafter.draft(request([3]));
    drafter.dispose?.();
    expect(await drafted(drafter, request([0, 1]))).toEqual([]);
    expect(await drafted(drafter, request([0, 1, 0]))).toEqual([1]);
  });

  it('names wrong options', () => {
    expect(() => suffix({ maxDepth: 1 })).toThrow(/suffix: [\s\S]*maxDepth/);
    expect(() => suffix({ minProbability: 2 })).toThrow(/suffix: [\s\S]*minProbability/);
    const wide: object = { tree: 3 };
    expect(() => suffix(wide)).toThrow(/suffix: [\s\S]*tree/);
    expect(() => suffix({ earlierTokens: -1 })).toThrow(/suffix: [\s\S]*earlierTokens/);
    const unknown: object = { depth: 3 };
    expect(() => suffix(unknown)).toThrow(/suffix: [\s\S]*depth/);
  });
});

describe('a tree of suffix', () => {
  // After 1, 2, which end the text and have come three times before, came 3 twice and 4 once; after 1, 2, 3 came 1 and 5.
  const TEXT = [1, 2, 3, 1, 2, 4, 1, 2, 3, 5, 1, 2];

  async function treeAfter(options: SuffixOptions, text: Text, maxTokens = 9, maxDepth = 9) {
    const drafter = suffix({ tree: true, factor: 9, ...options });
    return shown(await drafter.draft(request(text, maxTokens, maxDepth)));
  }

  const shown = ({ tokens, parents }: Draft) => ({
    tokens: tokens.map(({ token }) => token),
    parents,
  });

  it('grows by the most probable token: of equals the shallower, the smaller, the child of the older', async () => {
    // 1/2, then 1/4 for all others: 4 beside 3; 1 after 3 and after 4, 5 after 3; 2 after 3, 1 and after 4, 1 and 1 after 3, 5.
    const tokens = [3, 4, 1, 1, 5, 1, 2, 2];
    const parents = [-1, -1, 0, 1, 0, 4, 2, 3];
    for (let nodes = 1; nodes <= tokens.length; nodes++)
      expect(await treeAfter({}, TEXT, nodes)).toEqual({
        tokens: tokens.slice(0, nodes),
        parents: parents.slice(0, nodes),
      });
  });

  it('has no more tokens than the match is long, times factor, plus offset', async () => {
    const sizeOf = async (options: SuffixOptions) => (await treeAfter(options, TEXT)).tokens.length;
    expect(await sizeOf({ factor: 1 })).toBe(2);
    expect(await sizeOf({ factor: 1.5, offset: 1 })).toBe(4);
    expect(await sizeOf({ factor: 0 })).toBe(0);
    expect(await sizeOf({ offset: -99 })).toBe(0);
  });

  it('has no more levels than are asked for, than the trie leaves, and none less probable than the least', async () => {
    expect(await treeAfter({}, TEXT, 9, 1)).toEqual({ tokens: [3, 4], parents: [-1, -1] });
    expect(await treeAfter({}, TEXT, 9, 2)).toEqual({
      tokens: [3, 4, 1, 1, 5],
      parents: [-1, -1, 0, 1, 0],
    });
    // Two levels after a match of one token are worth as much as one level after a match of two.
    expect((await treeAfter({ maxDepth: 3 }, TEXT)).tokens).toEqual([3, 4, 1, 1, 5]);
    expect((await treeAfter({ minProbability: 0.26 }, TEXT)).tokens).toEqual([3]);
    expect((await treeAfter({ minProbability: 0.51 }, TEXT)).tokens).toEqual([]);
  });

  it('is the one of the longest match, then of the own text, where others are worth as much', async () => {
    // After 2 came 7 in two places of four, after 1, 2 came 3 in one of two.
    const text = [2, 7, 2, 7, 1, 2, 3, 1, 2];
    expect((await treeAfter({ factor: 0, offset: 1 }, text)).tokens).toEqual([3]);
    // In the earlier text 3 and 4 came after 1, 2, one token together.
    const draftAt = async (own: Text) => {
      const drafter = suffix({ tree: true });
      await drafter.draft(request([1, 2, 3, 1, 2, 4]));
      return shown(await drafter.draft(request(own)));
    };
    expect(await draftAt([1, 2, 5, 1, 2])).toEqual({ tokens: [5, 1], parents: [-1, 0] });
    expect(await draftAt([1, 2, 5, 6, 1, 2, 7, 1, 2])).toEqual({
      tokens: [3, 4],
      parents: [-1, -1],
    });
  });

  it('says that it is one, and states points', async () => {
    expect(suffix({ tree: true }).name).toBe('suffix tree');
    const { tokens } = await suffix({ tree: true }).draft(request([1, 2, 3, 1, 2]));
    expect(tokens).toEqual([pointDraw(3), pointDraw(1)]);
  });
});

describe('continuations', () => {
  it('rank what followed by how often it did, while texts grow and go', () => {
    const text = fc.array(fc.oneof(fc.nat(3), fc.nat(40)), { maxLength: 60 });
    fc.assert(
      fc.property(text, text, fc.nat(20), (first, second, most) => {
        const counts = createContinuations(3);
        const check = (texts: readonly Text[]) => {
          for (let token = 0; token <= 3; token++) {
            const place = counts.find([token], 0);
            const expected = followersOf(texts, [token]).map((each) => each.token);
            for (let rank = 0; place !== null && rank <= most; rank++)
              expect(nextOf(place, rank)?.token).toBe(expected[rank]);
          }
        };
        const growing: number[] = [];
        for (const token of first) {
          growing.push(token);
          counts.add(growing, growing.length - 1);
          check([growing]);
        }
        counts.add(second, 0);
        check([growing, second]);
        counts.remove(growing);
        check([second]);
      }),
      { seed: 1 },
    );
  });

  /** Nodes of a trie, by walking it. */
  function nodesOf(counts: Continuations): number {
    const nodes = ({ children }: NonNullable<ReturnType<Continuations['find']>>['node']): number =>
      [...(children?.values() ?? [])].reduce((sum, child) => sum + 1 + nodes(child), 0);
    return nodes(counts.find([], 0)!.node);
  }

  it('have a node per token where nothing repeats, depth nodes at most where everything does', () => {
    const [once, twice] = [createContinuations(8), createContinuations(8)];
    const text = Array.from({ length: 100 }, (_, token) => token);
    once.add(text, 0);
    expect(nodesOf(once)).toBe(100);
    twice.add([...text, ...text], 0);
    expect(nodesOf(twice)).toBeGreaterThan(7 * 100);
    expect(nodesOf(twice)).toBeLessThanOrEqual(8 * 200);
  });

  it('are empty when every text has been taken back', () => {
    const text = fc.array(fc.nat(2), { maxLength: 20 });
    fc.assert(
      fc.property(fc.array(text, { maxLength: 6 }), (texts) => {
        const counts = createContinuations(5);
        for (const each of texts) counts.add(each, 0);
        for (const each of texts) counts.remove(each);
        expect(nodesOf(counts)).toBe(0);
      }),
      { seed: 1 },
    );
  });
});
