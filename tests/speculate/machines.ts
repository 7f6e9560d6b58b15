// Simulated machines for the choice of the draft length: a ladder, a drafter and a text with known costs and chances, and
// times with noise, so that every choice can be compared with the best one.
import { createLadder } from '../../src/models/ladder.ts';
import { type Choice, createController } from '../../src/speculate/controller.ts';

/** What is true of a machine. Times in units of a plain step. */
export interface Machine {
  /** Rows to time; v(1) = 1. */
  readonly v: (rows: number) => number;
  /** Of a level, and of a token that the drafter has to read. */
  readonly levelCost: number;
  readonly missedCost: number;
  /** Whether the drafter says so before anybody measures. */
  readonly declares: boolean;
  /** Chance of each depth, given those before; the text may change while it goes on. */
  readonly accept: (depth: number, position: number) => number;
  /** Chance that the drafter has something to say. */
  readonly speaks: number;
  /** Factor on every time: noise, warming up, other people. */
  readonly noise: (round: number, chance: () => number) => number;
}

/** Uniform numbers of a seed (mulberry32). */
export function chances(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Normal with mean 0 and variance 1. */
export function normal(chance: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - chance())) * Math.cos(2 * Math.PI * chance());
}

/** Time and tokens of a text written with the controller. */
export interface Run {
  /** In plain steps, without noise: what the choices cost, not what the day was like. */
  readonly steps: number;
  readonly tokens: number;
  readonly levels: readonly number[];
  /** Tokens emitted before each round. */
  readonly at: readonly number[];
}

const STEP_MS = 3;

/** Writes `count` tokens after a prompt of `prompt`. */
export function simulate(
  machine: Machine,
  {
    seed,
    count,
    prompt = 8,
  }: { readonly seed: number; readonly count: number; readonly prompt?: number },
): Run {
  const chance = chances(seed);
  const ladder = createLadder();
  let round = 0;
  const timed = (steps: number) => STEP_MS * steps * machine.noise(round, chance);
  for (const rows of [1, 4, 2, 8, 1, 4, 2, 8]) ladder.add(rows, timed(machine.v(rows)));
  const controller = createController({
    ladder,
    cost: machine.declares
      ? {
          draftMs: (levels) => STEP_MS * machine.levelCost * levels,
          missedMs: STEP_MS * machine.missedCost,
        }
      : undefined,
  });
  let tokens = 0;
  let steps = 0;
  let seen = 0;
  const levels: number[] = [];
  const at: number[] = [];
  const choose = (position: number): Choice => {
    const left = count - tokens;
    return tokens === 0
      ? { levels: 0, trial: false, missed: 0 }
      : controller.choose({ position, left, room: left - 1 });
  };
  while (tokens < count) {
    const position = prompt + tokens;
    const choice = choose(position);
    const depth = choice.levels > 0 && chance() < machine.speaks ? choice.levels : 0;
    const missed = choice.levels > 0 ? Math.max(0, position - seen - 1) : 0;
    const draft = machine.levelCost * depth + machine.missedCost * missed;
    let accepted = 0;
    while (accepted < depth && chance() < machine.accept(accepted + 1, tokens)) accepted += 1;
    const target = tokens === 0 ? 1 : machine.v(1 + depth);
    const targetMs = timed(target);
    if (tokens > 0) ladder.add(1 + depth, targetMs);
    controller.add({
      choice,
      depth,
      nodes: depth,
      accepted,
      draftMs: timed(draft),
      targetMs,
      position,
    });
    if (choice.levels > 0) seen = position + accepted;
    levels.push(choice.levels);
    at.push(tokens);
    tokens += accepted + 1;
    steps += draft + target;
    round += 1;
  }
  return { steps, tokens, levels, at };
}

/** Plain steps per token of the best fixed length, and that length; 1 and 0 are plain decoding. */
export function bestFixed(
  machine: Machine,
  position = 0,
): { readonly rate: number; readonly levels: number } {
  let best = { rate: 1, levels: 0 };
  for (let levels = 1; levels <= 15; levels++) {
    let tokens = 1;
    let survival = 1;
    for (let depth = 1; depth <= levels; depth++) {
      survival *= machine.accept(depth, position);
      tokens += survival;
    }
    const { speaks } = machine;
    const time = machine.v(1 + levels) + levels * machine.levelCost;
    const rate = (speaks * time + 1 - speaks) / (speaks * tokens + 1 - speaks);
    if (rate < best.rate) best = { rate, levels };
  }
  return best;
}
