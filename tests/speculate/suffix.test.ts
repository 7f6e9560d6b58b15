// Suffix decoding against its definition: counts by looking at every place of every text.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Continuations,
  createContinuations,
} from '../../src/speculate/drafters/continuations.ts';
import { type SuffixOptions, suffix } from '../../src/speculate/drafters/suffix.ts';
import { follow } from '../../src/speculate/drafters/suffix-paths.ts';
import { pointDraw } from '../../src/speculate/drawn.ts';
import { drafted, request } from './fixtures.ts';
import { vectors } from './laws.ts';

type Text = readonly number[];

/** Occurrences of a string in texts. */
function countOf(texts: readonly Text[], string: Text): number {
  let count = 0;
  for (const text of texts)
    for (let start = 0; start + string.length <= text.length; start++)
      if (string.every((token, at) => text[start + at] === token)) count++;
  return count;
}

/** The most frequent path after a string. */
function pathAfter(texts: readonly Text[], match: Text, length: number, least: number) {
  const tokens: number[] = [];
  let string = match;
  let probability = 1;
  let score = 0;
  while (tokens.length < length) {
    let best = { token: -1, count: 0 };
    for (const token of [...new Set(texts.flat())].sort((a, b) => a - b)) {
      const count = countOf(texts, [...string, token]);
      if (count > best.count) best = { token, count };
    }
    probability *= best.count / countOf(texts, string);
    if (best.count === 0 || probability < least) break;
    string = [...string, best.token];
    tokens.push(best.token);
    score += probability;
  }
  return { tokens, score };
}

/** The draft by definition, after `own` and with the texts that came before it. */
function draftAfter(own: Text, earlier: readonly Text[], options: SuffixOptions, most: number) {
  const { maxDepth = 24, factor = 1, offset = 0, minProbability = 0.1 } = options;
  let chosen = { tokens: [] as number[], score: 0 };
  for (const texts of [[own], earlier]) {
    let best = { tokens: [] as number[], score: 0 };
    for (let length = 1; length < Math.min(maxDepth, own.length + 1); length++) {
      const match = own.slice(-length);
      if (countOf(texts, match) === 0) break;
      const budget = Math.min(most, maxDepth - length, Math.floor(length * factor + offset));
      const path = pathAfter(texts, match, budget, minProbability);
      if (path.score >= best.score) best = path;
    }
    if (best.score > chosen.score) chosen = best;
  }
  return chosen.tokens;
}

/** The latest texts of so many tokens together; one that is longer is none. */
function keptOf(texts: readonly Text[], limit: number): Text[] {
  const kept: Text[] = [];
  for (const text of texts) {
    if (text.length > limit) continue;
    kept.push(text);
    while (kept.flat().length > limit) kept.shift();
  }
  return kept;
}

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
      offset: fc.constantFrom(-1, 0, 1.5),
      minProbability: fc.constantFrom(0, 0.1, 0.3, 0.5),
      earlierTokens: fc.constantFrom(0, 12, 40),
    });
    const edit = fc.record({
      // Mostly all of it, as in a generation.
      keep: fc.oneof(fc.constant(99), fc.constant(99), fc.nat(12)),
      add: fc.array(fc.nat(2), { maxLength: 7 }),
    });
    await fc.assert(
      fc.asyncProperty(options, fc.array(edit, { maxLength: 10 }), async (chosen, edits) => {
        const drafter = suffix(chosen);
        const finished: Text[] = [];
        let text: Text = [0];
        await drafter.draft(request(text));
        for (const { keep, add } of edits) {
          const next = [0, ...text.slice(1, 1 + keep), ...add];
          if (text.some((token, at) => token !== next[at])) finished.push(text);
          text = next;
          const earlier = keptOf(finished, chosen.earlierTokens);
          const wanted = draftAfter(text, earlier, chosen, 5);
          expect(await drafted(drafter, request(text, 5))).toEqual(wanted);
        }
      }),
      { seed: 1, numRuns: 400 },
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
    expect(() => suffix({ earlierTokens: -1 })).toThrow(/suffix: [\s\S]*earlierTokens/);
    const unknown: object = { depth: 3 };
    expect(() => suffix(unknown)).toThrow(/suffix: [\s\S]*depth/);
  });
});

describe('continuations', () => {
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
