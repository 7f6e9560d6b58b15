// The automatic draft length in the loop: the text is that of plain decoding whatever the clock says, drafters are told
// everything they missed, and what was learnt stays with a session.
import { beforeAll, describe, expect, it } from 'vitest';
import { createLadder } from '../../src/models/ladder.ts';
import type { Ladder } from '../../src/models/model.ts';
import type { Drafter } from '../../src/speculate/drafter.ts';
import { draftModel } from '../../src/speculate/drafters/model.ts';
import { ngram } from '../../src/speculate/drafters/ngram.ts';
import { suffix } from '../../src/speculate/drafters/suffix.ts';
import { pointDraw } from '../../src/speculate/drawn.ts';
import { generate, type Target } from '../../src/speculate/generate.ts';
import type { GenerateOptions } from '../../src/speculate/options.ts';
import { Session } from '../../src/speculate/session.ts';
import { oracleDrafter, randomDrafter, tinyTarget } from './fixtures.ts';
import { chances } from './machines.ts';

const PROMPT = [1, 5, 9, 5, 9, 5];
const COUNT = 60;
let target: Target;
let draft: Target;

beforeAll(async () => {
  target = await tinyTarget('llama');
  draft = await tinyTarget('llama-mha');
});

/** The target with times of somebody's invention. */
function withTimes(ms: (rows: number) => number): Target {
  const ladder: Ladder = {
    add() {},
    ms,
    points: () => [1, 4, 16].map((rows) => ({ rows, ms: ms(rows), samples: 20 })),
  };
  return { ...target, model: { ...target.model, ladder } };
}

/** Forwards so slow that drafts of any cost pay, and rows that cost nothing. */
const generous = () => withTimes(() => 1e6);

async function run(on: Target, options: GenerateOptions) {
  return generate(on, PROMPT, { maxTokens: COUNT, ignoreEos: true, ...options });
}

describe('the automatic draft length', () => {
  it('gives the tokens of plain decoding at any whim of the clock, with every drafter', async () => {
    for (const settings of [{}, { temperature: 1, seed: 4 }]) {
      const plain = await run(target, { ...settings, draftLength: 0 });
      const drafters: Record<string, () => Drafter> = {
        ngram: () => ngram(),
        'a tree of ngram': () => ngram({ branches: 3 }),
        'a tree of suffix': () => suffix({ tree: true, offset: 4 }),
        model: () => draftModel(draft.model),
        'the target itself': () => draftModel(target.model),
        tree: () => draftModel(draft.model, { branching: [3, 2, 1] }),
        'random trees': () => randomDrafter(3, 64, pointDraw),
        oracle: () => oracleDrafter([...PROMPT, ...plain.tokens], 99, 64, pointDraw),
      };
      let drafts = 0;
      for (const [name, make] of Object.entries(drafters))
        for (let seed = 1; seed <= 4; seed++) {
          const chance = chances(seed);
          const moody = withTimes((rows) => 10 * rows ** (2 * chance() - 1));
          const drafter = make();
          const { tokens, stats } = await run(moody, { ...settings, drafter });
          expect({ settings, name, seed, tokens }).toEqual({
            settings,
            name,
            seed,
            tokens: plain.tokens,
          });
          drafts += stats.drafts;
          drafter.dispose?.();
        }
      expect(drafts).toBeGreaterThan(50);
    }
  }, 60_000);

  it('drafts nothing in the round of the prompt, and more and more where drafts are always right', async () => {
    const plain = await run(target, { draftLength: 0 });
    const drafter = oracleDrafter([...PROMPT, ...plain.tokens], 99, 64, pointDraw);
    const { tokens, stats } = await run(generous(), { drafter });
    expect(tokens).toEqual(plain.tokens);
    expect(stats.targetForwards).toBeLessThan(20);
    expect(stats.drafting.roundsByDraft.findLastIndex((count) => count > 0)).toBeGreaterThan(7);
    expect(stats.drafting.knowledge?.acceptance[0]).toBeGreaterThan(0.8);
    expect(stats.explain()).toMatch(/^drafted [\d.]+ tokens a round on average: 100 % accepted/);
  });

  it('never asks where rows cost as much as steps', async () => {
    let asked = 0;
    const drafter: Drafter = {
      name: 'eager',
      draft: ({ maxDepth }) => {
        asked += 1;
        return { tokens: Array.from({ length: maxDepth }, () => pointDraw(1)) };
      },
      cost: async () => ({ draftMs: (levels) => 5 * levels, missedMs: 1 }),
    };
    const { stats } = await run(
      withTimes((rows) => 10 * rows),
      { drafter },
    );
    expect(asked).toBe(0);
    expect(stats.explain()).toMatch(
      /^drafted nothing: 4 rows cost 4 steps here, and the best draft, of 1 level, was expected to run at 0\.\d+x/,
    );
  });

  it('lets a tree have whole levels', async () => {
    const drafter = draftModel(target.model, { branching: [3, 2, 1] });
    const { stats } = await run(generous(), { drafter, temperature: 1 });
    const sizes = [...stats.drafting.roundsByDraft.keys()].filter(
      (size) => stats.drafting.roundsByDraft[size] > 0,
    );
    expect(sizes.length).toBeGreaterThan(1);
    for (const size of sizes) expect([0, 3, 9, 15]).toContain(size);
    drafter.dispose?.();
  });

  it('hands over the hidden states of the rounds in which the drafter was not asked', async () => {
    let states = 0;
    let longest = 0;
    const chance = chances(3);
    const moody = withTimes((rows) => 10 * rows ** (2.4 * chance() - 1.2));
    const drafter: Drafter = {
      name: 'tapped',
      taps: [1],
      draft({ tokens, hidden = [] }) {
        states += hidden.length;
        longest = Math.max(longest, hidden.length);
        // All but the last committed token, which has not been computed yet.
        expect(states).toBe(tokens.length - 1);
        return { tokens: [pointDraw(2)] };
      },
    };
    const { stats } = await run(moody, { drafter });
    expect(stats.drafting.asked).toBeGreaterThan(3);
    expect(stats.drafting.roundsByDraft[0]).toBeGreaterThan(3);
    expect(longest).toBeGreaterThan(2);
  });

  it('remembers a drafter as long as the session', async () => {
    const on = generous();
    using session = new Session(on.model);
    const drafter = ngram();
    expect(session.controllers.get(drafter)).toBeUndefined();
    await generate(on, PROMPT, { session, drafter, maxTokens: 20, ignoreEos: true });
    const controller = session.controllers.get(drafter);
    expect(controller?.knowledge().acceptance.length).toBeGreaterThan(0);
    await generate(on, PROMPT, { session, drafter, maxTokens: 20, ignoreEos: true });
    expect(session.controllers.get(drafter)).toBe(controller);
  });

  it('measures the model and the draft model at the first need, and none for plain decoding', async () => {
    const own = await tinyTarget('llama');
    const small = await tinyTarget('llama-mha');
    await run(own, { maxTokens: 4 });
    expect(own.model.ladder.points().map(({ rows }) => rows)).toEqual([1]);
    await run(own, { maxTokens: 4, drafter: draftModel(small.model) });
    for (const { model } of [own, small])
      for (const rows of [1, 2, 4, 8])
        expect(model.ladder.points().map((point) => point.rows)).toContain(rows);
  });
});

describe('what a model drafter says that it costs', () => {
  it('is a forward per level by the ladder of the draft model, and its rows for what it has not seen', async () => {
    const ladder = createLadder();
    for (const rows of [1, 16]) ladder.add(rows, 1 + 0.1 * (rows - 1));
    const model = { ...draft.model, ladder };
    const chain = draftModel(model);
    const cost = await chain.cost!();
    expect([1, 2, 5].map((levels) => cost.draftMs(levels))).toEqual([1, 2, 5]);
    expect(cost.missedMs).toBeCloseTo(0.1, 9);
    expect([1, 2, 5].map((levels) => chain.nodesAt!(levels))).toEqual([1, 2, 5]);
    const tree = draftModel(model, { branching: [3, 2, 1] });
    const wide = await tree.cost!();
    expect([1, 2, 3, 4].map((levels) => tree.nodesAt!(levels))).toEqual([3, 9, 15, 21]);
    // Forwards of 1, 1 + 3 and 1 + 9 rows.
    expect(wide.draftMs(3)).toBeCloseTo(1 + 1.3 + 1.9, 9);
    for (const drafter of [chain, tree]) drafter.dispose?.();
  });
});
