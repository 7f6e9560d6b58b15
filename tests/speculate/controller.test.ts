// The choice of the draft length on simulated machines: near the best fixed length in the long run, never much slower than
// plain decoding, and back when a text becomes draftable. Times and chances are seeded, so every run is the same.
import { describe, expect, it } from 'vitest';
import { createLadder } from '../../src/models/ladder.ts';
import { createAcceptance } from '../../src/speculate/acceptance.ts';
import { createController } from '../../src/speculate/controller.ts';
import { createDraftClock } from '../../src/speculate/draft-clock.ts';
import { bestFixed, chances, type Machine, normal, simulate } from './machines.ts';

const steady: Machine = {
  v: (rows) => 1 + 0.2 * (rows - 1),
  levelCost: 0.08,
  missedCost: 0.02,
  declares: true,
  accept: () => 0.75,
  speaks: 1,
  noise: (_round, chance) => Math.exp(0.05 * normal(chance)),
};

/** Ladders straight and in stairs, drafters free and dear, sure and clueless, silent and talkative, days quiet and busy. */
function randomMachine(seed: number): Machine {
  const chance = chances(seed);
  for (let skipped = 0; skipped < 5; skipped++) chance();
  const slope = 0.05 + 0.75 * chance() ** 1.5;
  const stairs = chance() < 0.3;
  const first = chance();
  const decay = 0.8 + 0.2 * chance();
  const levelCost = chance() < 0.4 ? 0.002 : 0.3 * chance();
  const speaks = chance() < 0.3 ? 0.1 + 0.9 * chance() : 1;
  const sigma = 0.02 + 0.15 * chance();
  const pauses = 0.05 * chance();
  return {
    v: (rows) =>
      stairs && rows > 1 ? 1 + slope * (4 * Math.ceil(rows / 4) - 3) : 1 + slope * (rows - 1),
    levelCost,
    missedCost: 0.4 * levelCost,
    declares: chance() < 0.5,
    accept: (depth) => first * decay ** (depth - 1),
    speaks,
    noise: (_round, draw) =>
      Math.exp(sigma * normal(draw)) * (draw() < pauses ? 1 + 3 * draw() : 1),
  };
}

/** Steps per token over several texts. */
function stepsPerToken(machine: Machine, seed: number, texts: number, count: number): number {
  let steps = 0;
  let tokens = 0;
  for (let text = 0; text < texts; text++) {
    const run = simulate(machine, { seed: 1000 * seed + text, count });
    steps += run.steps;
    tokens += run.tokens;
  }
  return steps / tokens;
}

describe('the draft length on random machines', () => {
  const MACHINES = 150;
  const outcomes = Array.from({ length: MACHINES }, (_, index) => {
    const seed = index + 1;
    const machine = randomMachine(seed);
    const rate = stepsPerToken(machine, seed, 4, 1500);
    return { seed, rate, regret: rate / bestFixed(machine).rate - 1 };
  });
  const worst = (pick: (outcome: (typeof outcomes)[number]) => number) =>
    outcomes.toSorted((a, b) => pick(b) - pick(a))[0];

  it('is never more than 3 % slower than plain decoding', () => {
    const slowest = worst(({ rate }) => rate);
    expect(slowest.rate, `machine ${slowest.seed}`).toBeLessThan(1.03);
  });

  it('is within 3 % of the best fixed length on average and on nine machines of ten within 5 %', () => {
    const regrets = outcomes.map(({ regret }) => regret).sort((a, b) => a - b);
    expect(regrets.reduce((sum, regret) => sum + regret, 0) / MACHINES).toBeLessThan(0.03);
    expect(regrets[Math.floor(0.9 * MACHINES)]).toBeLessThan(0.05);
    const furthest = worst(({ regret }) => regret);
    expect(furthest.regret, `machine ${furthest.seed}`).toBeLessThan(0.15);
  });

  it('gains where there is something to gain', () => {
    const promising = outcomes.filter(({ seed }) => bestFixed(randomMachine(seed)).rate < 0.7);
    expect(promising.length).toBeGreaterThan(20);
    for (const { seed, rate } of promising) expect(rate, `machine ${seed}`).toBeLessThan(0.8);
  });

  it('loses little in short texts of clueless drafters', () => {
    const losses: number[] = [];
    for (let seed = 1; seed <= 60; seed++) {
      const machine = { ...randomMachine(seed), accept: () => 0.02, speaks: 1 };
      losses.push(stepsPerToken(machine, seed, 20, 96));
    }
    losses.sort((a, b) => a - b);
    expect(losses[30]).toBeLessThan(1.03);
    expect(losses[59]).toBeLessThan(1.05);
  });
});

describe('the draft length', () => {
  it('is that of the best fixed one on a steady machine', () => {
    const { levels } = simulate(steady, { seed: 1, count: 3000 });
    const best = bestFixed(steady).levels;
    const later = levels.slice(300).filter((length) => length > 0);
    const mean = later.reduce((sum, length) => sum + length, 0) / later.length;
    expect(Math.abs(mean - best)).toBeLessThan(1);
  });

  it('is nothing in the long run where even perfect drafts cannot pay', () => {
    const machine = { ...steady, v: (rows: number) => rows, accept: () => 1 };
    const { levels, steps, tokens } = simulate(machine, { seed: 2, count: 1000 });
    expect(levels.filter((length) => length > 0).length).toBeLessThan(10);
    expect(steps / tokens).toBeLessThan(1.01);
  });

  it('adapts when a text stops being draftable, and comes back when it is again', () => {
    const machine: Machine = {
      ...steady,
      levelCost: 0.002,
      missedCost: 0,
      accept: (_depth, position) => (position < 500 || position >= 1100 ? 0.9 : 0.03),
    };
    for (const seed of [1, 2, 3]) {
      const { levels, at } = simulate(machine, { seed, count: 2000 });
      const mean = (from: number, to: number) => {
        const some = levels.filter((_, round) => at[round] >= from && at[round] < to);
        return some.reduce((sum, length) => sum + length, 0) / some.length;
      };
      expect(mean(200, 500), `seed ${seed}`).toBeGreaterThan(3);
      expect(mean(600, 1100), `seed ${seed}`).toBeLessThan(0.35);
      expect(mean(1500, 2000), `seed ${seed}`).toBeGreaterThan(3);
    }
  });

  it('is right although every time was three times as long when it was measured first', () => {
    const machine: Machine = {
      ...steady,
      noise: (round, chance) => (round < 4 ? 3 : 1) * Math.exp(0.05 * normal(chance)),
    };
    expect(stepsPerToken(machine, 5, 8, 600) / bestFixed(machine).rate).toBeLessThan(1.1);
  });

  it('does not read a long prompt into a drafter that could not repay it', () => {
    const machine = { ...steady, missedCost: 0.05 };
    const { levels, steps } = simulate(machine, { seed: 3, count: 40, prompt: 2000 });
    expect(levels.every((length) => length === 0)).toBe(true);
    expect(steps).toBe(40);
    const rates = Array.from({ length: 20 }, (_, seed) => {
      const run = simulate(machine, { seed, count: 400, prompt: 50 });
      return run.steps / run.tokens;
    });
    // An unlucky drafter may be given up at once, and reading what it missed forbids more tries.
    rates.sort((one, other) => one - other);
    expect(rates[10]).toBeLessThan(0.75);
    expect(rates[19]).toBeLessThan(1.03);
  });

  it('asks a silent drafter in every round when asking is free, and stays at the speed of plain steps', () => {
    const machine: Machine = { ...steady, levelCost: 0, missedCost: 0, declares: false, speaks: 0 };
    const { levels, steps } = simulate(machine, { seed: 4, count: 200 });
    expect(levels.slice(1, -1).every((length) => length > 0)).toBe(true);
    expect(steps).toBe(200);
  });

  it('stays within the room, and within sixteen rows for trees', () => {
    const ladder = createLadder();
    for (const rows of [1, 4, 16]) ladder.add(rows, 1 + 0.001 * rows);
    const free = { draftMs: () => 1e-9, missedMs: 0 };
    const state = { position: 10, left: 100, room: 1 };
    const chain = createController({ ladder, cost: free });
    expect(chain.choose(state).levels).toBe(1);
    expect(chain.choose({ ...state, room: 0 }).levels).toBe(0);
    const nodesAt = (levels: number) => [0, 3, 9, 15, 21][levels];
    const tree = createController({ ladder, nodesAt, cost: free });
    for (let round = 0; round < 65; round++) {
      const choice = tree.choose({ ...state, position: 10 + 4 * round, room: 9 });
      const depth = choice.levels;
      expect(depth).toBeLessThanOrEqual(3);
      const position = 10 + 4 * round;
      tree.add({
        choice,
        depth,
        nodes: nodesAt(depth),
        accepted: depth,
        draftMs: 1e-9,
        targetMs: 1,
        position,
      });
    }
    expect(tree.choose({ ...state, position: 270, room: 9 }).levels).toBe(3);
    expect(tree.knowledge()).toMatchObject({ bestLevels: 3 });
  });

  it('drafts less the more texts share its forward, where rows cost', () => {
    const levelsWith = (company: { texts: number; rows: number } | undefined, perRow: number) => {
      const ladder = createLadder();
      for (const rows of [1, 2, 4, 8, 16]) ladder.add(rows, 1 + perRow * (rows - 1));
      const controller = createController({
        ladder,
        cost: { draftMs: (levels) => 0.005 * levels, missedMs: 0 },
      });
      let levels = 0;
      for (let round = 0; round < 200; round++) {
        const position = 10 + round;
        const choice = controller.choose({ position, left: 200, room: 15, company });
        const depth = choice.levels;
        levels += depth;
        // The first two levels are accepted four times of five.
        const accepted = Math.min(depth, round % 5 === 0 ? 0 : 2);
        const outcome = {
          choice,
          depth,
          nodes: depth,
          accepted,
          draftMs: 0.005 * depth,
          targetMs: 1,
        };
        controller.add({ ...outcome, position });
      }
      return levels / 200;
    };
    expect(levelsWith(undefined, 0.3)).toBe(levelsWith({ texts: 0, rows: 0 }, 0.3));
    expect(levelsWith(undefined, 0.3)).toBeGreaterThan(1);
    expect(levelsWith({ texts: 7, rows: 7 }, 0.3)).toBeLessThan(0.25);
    // Where they do not, everybody's drafts ride along.
    expect(levelsWith({ texts: 7, rows: 7 }, 0.001)).toBeGreaterThan(1);
  });

  it('goes by the tokens that trees have, not by those that they could have', () => {
    const ladder = createLadder();
    for (const rows of [1, 2, 4, 16]) ladder.add(rows, 1 + 0.3 * (rows - 1));
    const nodesAt = (levels: number) => [0, 3, 9, 15, 21][levels];
    const cost = { draftMs: () => 1e-9, missedMs: 0 };
    const narrow = createController({ ladder, nodesAt, cost });
    for (let round = 0; round < 70; round++) {
      const choice = narrow.choose({ position: 10 + round, left: 200, room: 9 });
      const { levels: depth } = choice;
      const outcome = { choice, depth, nodes: depth, accepted: depth, draftMs: 1e-9, targetMs: 1 };
      narrow.add({ ...outcome, position: 10 + round });
    }
    expect(narrow.knowledge().bestLevels).toBe(3);
    expect(narrow.knowledge().bestGain).toBeGreaterThan(1.8);
  });

  it('expects no more tokens of few levels than it would ask for, however wide deeper drafts came out', () => {
    const ladder = createLadder();
    for (const rows of [1, 2, 4, 16]) ladder.add(rows, 1 + 0.3 * (rows - 1));
    const bushy = createController({ ladder, cost: { draftMs: () => 1e-9, missedMs: 0 } });
    const asked: number[] = [];
    for (let round = 0; round < 200; round++) {
      const choice = bushy.choose({ position: 10 + round, left: 200, room: 9 });
      // As many tokens as it may draft, every other time all for one place. The second level is always wrong.
      const nodes = choice.levels;
      const depth = Math.min(1 + (round % 2), nodes);
      const accepted = round % 5 === 0 ? 0 : Math.min(1, depth);
      const outcome = { choice, depth, nodes, accepted, draftMs: 1e-9, targetMs: 1 };
      bushy.add({ ...outcome, position: 10 + round });
      asked.push(choice.levels);
    }
    expect(asked.filter((levels) => levels > 1).length).toBeLessThan(20);
    expect(asked.filter((levels) => levels === 1).length).toBeGreaterThan(150);
  });

  it('is nothing as long as no forward was timed', () => {
    const controller = createController({ ladder: createLadder() });
    expect(controller.choose({ position: 9, left: 50, room: 49 }).levels).toBe(0);
    expect(controller.knowledge()).toMatchObject({ bestLevels: 0, bestGain: 0 });
  });
});

describe('acceptance', () => {
  it('is estimated by depth among the drafts that got so far', () => {
    const acceptance = createAcceptance(4);
    const chance = chances(7);
    const truth = [0.8, 0.6, 0.3, 0.9];
    for (let draft = 0; draft < 4000; draft++) {
      let length = 0;
      while (length < 4 && chance() < truth[length]) length += 1;
      acceptance.add(4, length);
    }
    for (const [index, expected] of truth.entries())
      expect(Math.abs(acceptance.at(index + 1) - expected)).toBeLessThan(0.17);
    expect(acceptance.tried()).toHaveLength(4);
  });

  it('expects of a depth that was never tried a little less than of the one before', () => {
    const acceptance = createAcceptance(3);
    for (let draft = 0; draft < 50; draft++) acceptance.add(1, 1);
    expect(acceptance.at(2)).toBeGreaterThan(0.9);
    expect(acceptance.at(2)).toBeLessThan(acceptance.at(1));
    expect(acceptance.tried()).toHaveLength(1);
  });

  it('lets the latest drafts fade in rounds without one, but not the drafter’s record', () => {
    const acceptance = createAcceptance(2);
    for (let draft = 0; draft < 100; draft++) acceptance.add(2, 2);
    for (let draft = 0; draft < 10; draft++) acceptance.add(2, 0);
    const before = acceptance.at(1);
    for (let round = 0; round < 200; round++) acceptance.idle();
    expect(acceptance.at(1)).toBeGreaterThan(before);
    expect(acceptance.at(1)).toBeLessThan(1);
  });
});

describe('the cost of drafts', () => {
  it('follows the measured ones, in the shape that the drafter told', () => {
    const clock = createDraftClock({ draftMs: (levels) => levels ** 2, missedMs: 0.5 });
    expect(clock.ms(3)).toBe(9);
    for (let draft = 0; draft < 60; draft++) clock.add(2, 12, 1);
    expect(clock.ms(3)).toBeCloseTo(27, 6);
    expect(clock.missedMs()).toBeCloseTo(1.5, 6);
  });

  it('is learnt where the drafter says nothing, reading apart from drafting', () => {
    const clock = createDraftClock(undefined);
    expect(clock.ms(5)).toBe(0);
    // The first draft compiles.
    clock.add(2, 500, 40);
    expect(clock.ms(1)).toBe(0);
    clock.add(2, 2 * 3 + 40 * 0.5, 40);
    expect(clock.ms(1)).toBeGreaterThan(0);
    expect(clock.ms(1)).toBeLessThan(4);
    for (let draft = 0; draft < 5; draft++) clock.add(2, 6, 1);
    expect(clock.ms(4)).toBeCloseTo(12, 6);
    clock.add(2, 6 + 100 * 0.5, 100);
    expect(clock.missedMs()).toBeCloseTo(0.5, 6);
  });

  it('is reading where the drafter had nothing to say', () => {
    const clock = createDraftClock(undefined);
    clock.silent(8, 3);
    expect(clock.missedMs()).toBe(2);
  });
});
