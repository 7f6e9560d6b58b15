// The one sentence about drafting, from statistics made by hand.
import { describe, expect, it } from 'vitest';
import { createLadder } from '../../src/models/ladder.ts';
import type { PaceReport } from '../../src/speculate/pace.ts';
import { createStats, type Round } from '../../src/speculate/stats.ts';

const ladder = createLadder();
for (const rows of [1, 4, 8]) ladder.add(rows, 10 + 2 * (rows - 1));

const auto: PaceReport = {
  drafter: 'model',
  draftLength: 'auto',
  ladder,
  knowledge: { acceptance: [0.4], levelMs: 1, bestLevels: 2, bestGain: 0.8 },
};

/** Rounds after one of a prompt. */
function statsOf(rounds: readonly Partial<Round>[], pace: PaceReport) {
  const stats = createStats();
  const plain: Round = {
    draftedTokens: 0,
    draftedDepth: 0,
    acceptedTokens: 0,
    emittedTokens: 1,
    rows: 1,
    asked: false,
    trial: false,
    draftMs: 0,
    targetMs: 10,
  };
  for (const round of [{}, ...rounds]) stats.add({ ...plain, ...round });
  return stats.summary(pace);
}

const drafted = (count: number, accepted: number): Partial<Round> => ({
  draftedTokens: count,
  draftedDepth: count,
  acceptedTokens: accepted,
  emittedTokens: accepted + 1,
  rows: count + 1,
  asked: true,
  draftMs: count,
  targetMs: 10 + 2 * count,
});
const times = (count: number, round: Partial<Round>) => Array.from({ length: count }, () => round);

describe('explain', () => {
  it('says what was drafted, what it rests on and what it gained', () => {
    const rounds = [...times(3, drafted(3, 3)), drafted(3, 0)];
    const { drafting, explain } = statsOf(rounds, auto);
    expect(drafting.roundsByDraft).toEqual([0, 0, 0, 4]);
    expect(drafting.stepMs).toBeCloseTo(10, 9);
    expect(drafting.checkedTokenSteps).toBeCloseTo(0.2, 9);
    expect(drafting.draftedTokenSteps).toBeCloseTo(0.1, 9);
    expect(drafting.gain).toBeCloseTo(130 / 76, 9);
    expect(explain()).toBe(
      'drafted 3 tokens a round on average: 75 % accepted at the first position, a checked token costs 0.2 of a step and a drafted one 0.1, so drafting gained 1.71x over plain steps',
    );
  });

  it('says so when the length was asked for, and when it lost', () => {
    const fixed: PaceReport = { ...auto, draftLength: 4, knowledge: undefined };
    expect(statsOf(times(2, drafted(4, 0)), fixed).explain()).toBe(
      'drafted 4 tokens a round on average as asked: 0 % accepted at the first position, a checked token costs 0.2 of a step and a drafted one 0.1, so the text took 2.2x of the time of plain steps',
    );
  });

  it('says why drafting was given up', () => {
    const rounds = [drafted(4, 1), ...times(9, {}), { ...drafted(4, 0), trial: true }];
    const { drafting, explain } = statsOf(rounds, auto);
    expect(drafting).toMatchObject({ asked: 2, trials: 1 });
    expect(explain()).toBe(
      'drafted nothing in 9 of 11 rounds after 2 tries: drafting and checking 4 tokens costs 2.2 steps here, and 0.5 of 4 drafted tokens were accepted',
    );
  });

  it('says why nothing was tried', () => {
    expect(statsOf(times(5, {}), auto).explain()).toBe(
      'drafted nothing: 4 rows cost 1.6 steps here, and the best draft, of 2 levels, was expected to run at 0.8x of plain decoding',
    );
    expect(statsOf(times(5, { asked: true }), auto).explain()).toBe(
      'drafted nothing: model was asked 5 times and had no draft',
    );
    expect(statsOf([], { ...auto, knowledge: undefined }).explain()).toBe(
      'drafted nothing: there was no round in which model could draft',
    );
    expect(statsOf([], { ...auto, drafter: 'none', knowledge: undefined }).explain()).toBe(
      'drafted nothing, as asked',
    );
    expect(statsOf([], { ...auto, draftLength: 0 }).explain()).toBe('drafted nothing, as asked');
  });

  it('tells a silent drafter from a dear one', () => {
    const rounds = [...times(8, { asked: true }), drafted(2, 2)];
    expect(statsOf(rounds, { ...auto, drafter: 'ngram' }).explain()).toMatch(
      /^drafted in 1 of 9 rounds: ngram was asked 9 times and had a draft once; drafting gained 1\.\d+x/,
    );
  });

  it('claims no gain where no plain step was timed', () => {
    const unknown = createLadder();
    unknown.add(5, 18);
    const { drafting, explain } = statsOf([drafted(4, 4)], { ...auto, ladder: unknown });
    expect(drafting).toMatchObject({ stepMs: 0, gain: 0, checkedTokenSteps: 0 });
    expect(explain()).toBe(
      'drafted 4 tokens a round on average: 100 % accepted at the first position, so what drafting gained is not known without a plain step to compare with',
    );
  });
});
