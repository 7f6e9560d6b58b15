// What a drafter learns from the text that follows its drafts.
import { describe, expect, it } from 'vitest';
import { lawDraw, pointDraw } from '../../src/speculate/drawn.ts';
import { createRankMemory } from '../../src/speculate/rank-memory.ts';

/** A tree of two children, the first of which has one; the drafter looked three wide. */
const draft = {
  tokens: [4, 5, 6].map(pointDraw),
  parents: [-1, -1, 0],
  candidates: [[4, 5, 9], [6, 7, 8], undefined, undefined],
};

/** Acceptance after the same text has followed the same draft many times. */
function learnt(text: readonly number[], times = 200) {
  const memory = createRankMemory(3, 3);
  for (let time = 0; time < times; time++) {
    memory.drafted([0, 1], draft);
    memory.seen([0, 1, ...text]);
  }
  return (level: number) => [0, 1, 2].map((rank) => memory.acceptance(level, rank));
}

describe('the memory of ranks', () => {
  it('believes in the first rank most before it has seen anything, and in later levels a little less', () => {
    const { acceptance } = createRankMemory(3, 3);
    expect(acceptance(0, 0)).toBeGreaterThan(acceptance(0, 1));
    expect(acceptance(0, 1)).toBeGreaterThan(acceptance(0, 2));
    expect(acceptance(0, 0)).toBeGreaterThan(acceptance(1, 0));
    const sum = [0, 1, 2].reduce((total, rank) => total + acceptance(0, rank), 0);
    expect(sum).toBeLessThan(1);
  });

  it('counts the rank of the token that came, also where it was not drafted', () => {
    for (const [token, rank] of [
      [4, 0],
      [5, 1],
      [9, 2],
    ])
      expect(learnt([token])(0)[rank]).toBeGreaterThan(0.97);
    expect(Math.max(...learnt([3])(0))).toBeLessThan(0.03);
  });

  it('goes on below the drafted token that came, as far as the drafter looked', () => {
    expect(learnt([4, 7])(1)[1]).toBeGreaterThan(0.97);
    // Nobody looked below node 2, so the third level is what the second one is, a little less.
    expect(learnt([4, 6, 1])(2)[0]).toBeCloseTo(0.98 * learnt([4, 6, 1])(1)[0], 12);
    // The second child had no candidates.
    expect(learnt([5, 7])(1)[1]).toBeCloseTo(0.98 * learnt([5, 7])(0)[1], 12);
  });

  it('counts a draft once, and only as far as the text has come', () => {
    const memory = createRankMemory(3, 3);
    memory.drafted([0, 1], draft);
    memory.seen([0, 1]);
    const before = memory.acceptance(0, 0);
    memory.seen([0, 1, 4]);
    expect(memory.acceptance(0, 0)).toBe(before);
    memory.drafted([0, 1], draft);
    memory.seen([0, 1, 4]);
    const once = memory.acceptance(0, 0);
    expect(once).toBeGreaterThan(before);
    memory.seen([0, 1, 4, 4]);
    expect(memory.acceptance(0, 0)).toBe(once);
  });

  it('does not learn from another text', () => {
    const memory = createRankMemory(3, 3);
    memory.drafted([0, 1], draft);
    const before = memory.acceptance(0, 0);
    memory.seen([0, 2, 4]);
    expect(memory.acceptance(0, 0)).toBe(before);
    memory.seen([0, 1, 4]);
    expect(memory.acceptance(0, 0)).toBe(before);
  });

  it('counts of tokens that carry the law they were drawn from only those that were drafted', () => {
    const law = { probs: Float64Array.of(0, 0, 0, 0, 0.4, 0.3, 0.2, 0, 0, 0.1) };
    const drawn = { ...draft, tokens: [4, 5, 6].map((token) => lawDraw(token, law)) };
    const memory = createRankMemory(3, 3);
    const believed = memory.acceptance(0, 2);
    for (let time = 0; time < 100; time++) {
      memory.drafted([0, 1], drawn);
      memory.seen([0, 1, 9]);
    }
    // A recovered token is not one that would have been accepted.
    expect(memory.acceptance(0, 2)).toBe(believed);
    expect(memory.acceptance(0, 0)).toBeLessThan(0.02);
    expect(memory.acceptance(0, 1)).toBeLessThan(0.02);
  });

  it('forgets what was long ago', () => {
    const memory = createRankMemory(3, 3);
    const follow = (token: number) => {
      for (let time = 0; time < 1000; time++) {
        memory.drafted([0, 1], draft);
        memory.seen([0, 1, token]);
      }
    };
    follow(4);
    follow(5);
    expect(memory.acceptance(0, 0)).toBeLessThan(0.02);
    expect(memory.acceptance(0, 1)).toBeGreaterThan(0.97);
  });
});
