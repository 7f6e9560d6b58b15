// Every outcome of chance, one after the other, with its exact probability: noise that forks instead of drawing, and is
// replayed from the start with another outcome until none is left. Numbers asked for twice stay what they were.
// A coin or a pick confines its number to an interval. Races: normalised, the exponentials of a position are uniform on
// a simplex, "x arrives before y" cuts it by a plane, and a probability is a volume. So races that share their noise
// are followed exactly, however many laws run on it.
import { OptionError } from '../kernels/errors.ts';
import type { Law } from './law.ts';
import type { Noise, Purpose, TextNoise } from './noise.ts';

/** Corners [V][V] in the standard simplex, and the share of it that they enclose. */
interface Cell {
  readonly corners: readonly (readonly number[])[];
  readonly volume: number;
}

type Interval = readonly [low: number, high: number];

/** What the choices so far tell about the numbers of one (purpose, position). */
type Knowledge =
  | { readonly cells: readonly Cell[] }
  | { readonly intervals: ReadonlyMap<number, Interval> };

/** One way a choice can go. */
interface Outcome {
  readonly probability: number;
  readonly result: readonly number[];
  readonly knowledge: Knowledge;
}

interface Fork {
  readonly outcomes: readonly Outcome[];
  index: number;
}

/** A value below this is zero: it comes from the rounding of corners, and its cells have no volume worth counting. */
const FLAT = 1e-13;
const MAX_RUNS = 2_000_000;

/**
 * Calls `run` once per combination of outcomes, and `visit` with what it returned and the probability of that. `run`
 * must make the same choices after the same outcomes. Throws an OptionError after two million runs.
 */
export function explore<Result>(
  vocabulary: number,
  run: (noise: TextNoise) => Result,
  visit: (result: Result, probability: number) => void,
): void {
  const trail: Fork[] = [];
  let runs = 0;
  do {
    if (++runs > MAX_RUNS)
      throw new OptionError(`prove: expected at most ${MAX_RUNS} outcomes, got more; draft less`);
    const { noise, probability } = replay(vocabulary, trail);
    const result = run(noise);
    visit(result, probability());
  } while (advance(trail));
}

/** The next combination: the last fork that has an outcome left takes it; those after it are forgotten. */
function advance(trail: Fork[]): boolean {
  for (let last = trail.at(-1); last !== undefined; last = trail.at(-1)) {
    if (++last.index < last.outcomes.length) return true;
    trail.pop();
  }
  return false;
}

/** Noise that follows the trail, and lengthens it where it ends. */
function replay(vocabulary: number, trail: Fork[]) {
  const known = new Map<string, Knowledge>();
  let probability = 1;
  let step = 0;
  const choose = (address: string, outcomes: () => Outcome[]): readonly number[] => {
    if (step === trail.length) trail.push({ outcomes: outcomes(), index: 0 });
    const { outcomes: all, index } = trail[step++];
    const chosen = all[index];
    if (chosen === undefined)
      throw new RangeError(`prove: expected a law with mass for the choice ${address}, got none`);
    probability *= chosen.probability;
    known.set(address, chosen.knowledge);
    return chosen.result;
  };
  const cellsAt = (address: string): readonly Cell[] => {
    const knowledge = known.get(address) ?? { cells: [wholeSimplex(vocabulary)] };
    if ('cells' in knowledge) return knowledge.cells;
    throw mixed(address);
  };
  const intervalsAt = (address: string): ReadonlyMap<number, Interval> => {
    const knowledge = known.get(address) ?? { intervals: new Map() };
    if ('intervals' in knowledge) return knowledge.intervals;
    throw mixed(address);
  };
  const noiseOf = (addressOf: (purpose: Purpose, position: number) => string): Noise => ({
    race(purpose, position, law, count) {
      if (count < 1) return [];
      if ('point' in law) return [law.point];
      const address = addressOf(purpose, position);
      return choose(address, () => races(cellsAt(address), law.probs, count));
    },
    coin(purpose, position, token, chance) {
      if (!(chance > 0 && chance < 1)) return chance >= 1;
      const address = addressOf(purpose, position);
      const ends = [chance, 1];
      return choose(address, () => splits(intervalsAt(address), token, ends))[0] === 0;
    },
    pick(purpose, position, law, index = 0) {
      if ('point' in law) return law.point;
      const address = addressOf(purpose, position);
      return choose(address, () => splits(intervalsAt(address), index, cumulative(law)))[0];
    },
  });
  const noise: TextNoise = {
    round: (round, draw = 0) =>
      noiseOf((purpose, position) =>
        purpose === 'shared'
          ? `shared at ${position}`
          : `${purpose} at ${position}, round ${round}, draw ${draw}`,
      ),
  };
  return { noise, probability: () => probability };
}

function mixed(address: string): OptionError {
  return new OptionError(
    `prove: expected either races or coins and picks with the noise ${address}, got both`,
  );
}

/** Right ends of the intervals of [0, 1] that inverse CDF sampling gives each token. */
function cumulative(law: Exclude<Law, { point: number }>): number[] {
  let sum = 0;
  const ends = Array.from(law.probs, (prob) => {
    sum += prob;
    return sum;
  });
  return ends.map((end) => end / sum);
}

/** In which of the intervals that end at `ends` the number of `token` lies, given what is known of it. */
function splits(
  intervals: ReadonlyMap<number, Interval>,
  token: number,
  ends: readonly number[],
): Outcome[] {
  const [low, high] = intervals.get(token) ?? [0, 1];
  const outcomes: Outcome[] = [];
  for (let index = 0; index < ends.length; index++) {
    const from = Math.max(low, ends[index - 1] ?? 0);
    const to = Math.min(high, ends[index]);
    if (!(to > from)) continue;
    const knowledge = { intervals: new Map(intervals).set(token, [from, to] as const) };
    outcomes.push({ probability: (to - from) / (high - low), result: [index], knowledge });
  }
  return outcomes;
}

/** Every order in which the first `count` tokens can arrive, with the part of the cells where they do. */
function races(cells: readonly Cell[], probs: Float64Array, count: number): Outcome[] {
  const runners = [...probs.keys()].filter((token) => probs[token] > 0);
  const total = volumeOf(cells);
  const outcomes: Outcome[] = [];
  if (runners.length === 0) return outcomes;
  const extend = (order: readonly number[], part: readonly Cell[]) => {
    if (part.length === 0) return;
    if (order.length === Math.min(count, runners.length)) {
      const knowledge = { cells: part };
      outcomes.push({ probability: volumeOf(part) / total, result: order, knowledge });
      return;
    }
    const others = runners.filter((token) => !order.includes(token));
    for (const first of others) {
      let rest = part;
      for (const other of others)
        if (other !== first) rest = rest.flatMap((cell) => cut(cell, first, other, probs));
      extend([...order, first], rest);
    }
  };
  extend([], cells);
  return outcomes;
}

function wholeSimplex(vocabulary: number): Cell {
  const corners = Array.from({ length: vocabulary }, (_, corner) =>
    Array.from({ length: vocabulary }, (_, axis) => (axis === corner ? 1 : 0)),
  );
  return { corners, volume: 1 };
}

/**
 * The part of a cell where E_first / p_first <= E_other / p_other. The plane cuts an edge between its two sides, the
 * edge cuts the cell in two cells with fewer crossing edges, and so on until every cell lies on one side.
 */
function cut(cell: Cell, first: number, other: number, probs: Float64Array): Cell[] {
  const lead = cell.corners.map(
    (corner) => corner[other] * probs[first] - corner[first] * probs[other],
  );
  const inside = lead.findIndex((value) => value > FLAT);
  const outside = lead.findIndex((value) => value < -FLAT);
  if (inside < 0) return [];
  if (outside < 0) return [cell];
  const share = lead[inside] / (lead[inside] - lead[outside]);
  const crossing = cell.corners[inside].map(
    (value, axis) => value + share * (cell.corners[outside][axis] - value),
  );
  return [
    ...cut(replaceCorner(cell, outside, crossing, share), first, other, probs),
    ...cut(replaceCorner(cell, inside, crossing, 1 - share), first, other, probs),
  ];
}

function replaceCorner(cell: Cell, at: number, corner: readonly number[], share: number): Cell {
  return { corners: cell.corners.with(at, corner), volume: cell.volume * share };
}

function volumeOf(cells: readonly Cell[]): number {
  return cells.reduce((total, { volume }) => total + volume, 0);
}
