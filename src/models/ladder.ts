// What a forward costs by its number of rows, on this machine, for these weights. Every forward that a model runs is a
// measurement; `measureLadder` takes the first few. The logarithm of a time is a level, which all row counts share (code that
// warms up, a longer text, a busy machine), plus a shape by rows, so that one count that is seen keeps the others current.
import { OptionError } from '../kernels/errors.ts';
import { median } from '../kernels/median.ts';
import type { Cache, Ladder, LadderPoint, Model, Sequence } from './model.ts';

/** How much of a surprise goes to the level, and at least to the shape of the rows that were measured. */
const LEVEL_GAIN = 0.1;
const SHAPE_GAIN = 0.12;
/** A slow run is mostly somebody else's; a fast one is the truth. In units of log time. */
const SLOWEST = 0.3;
const FASTEST = -1;
/** Runs of a row count whose fastest is believed: the first ones pay for compiling. */
const COLD_RUNS = 3;
/** Runs after which a row count stands for itself. Before, it follows the plain step, as code gets compiled. */
const ENOUGH_RUNS = 10;
/** Cost of a further row over that of the first, before two row counts have been measured. */
const ASSUMED_SLOPE = 0.3;

interface Rung {
  shape: number;
  samples: number;
}

/** A ladder without measurements. */
export function createLadder(): Ladder {
  const rungs = new Map<number, Rung>();
  let level = 0;
  /** Made again after a measurement. */
  let curve: readonly LadderPoint[] | undefined;

  const points = () => {
    curve ??= monotone(
      [...rungs]
        .map(([rows, { shape, samples }]) => ({ rows, ms: Math.exp(level + shape), samples }))
        .sort((a, b) => a.rows - b.rows),
    );
    return curve;
  };

  return {
    add(rows, ms) {
      // A clock that stood still has measured nothing.
      if (!(ms > 0)) return;
      const rung = rungs.get(rows);
      const time = Math.log(ms) - level;
      curve = undefined;
      if (rung === undefined) {
        rungs.set(rows, { shape: time, samples: 1 });
        return;
      }
      rung.samples += 1;
      if (rung.samples <= COLD_RUNS) {
        rung.shape = Math.min(rung.shape, time);
        return;
      }
      const surprise = Math.min(SLOWEST, Math.max(FASTEST, time - rung.shape));
      level += LEVEL_GAIN * surprise;
      const change = Math.max(SHAPE_GAIN, 1 / rung.samples) * surprise;
      rung.shape += change;
      if (rows > 1) return;
      for (const [count, other] of rungs)
        if (count > 1) other.shape += Math.max(0, 1 - other.samples / ENOUGH_RUNS) * change;
    },
    ms: (rows) => interpolate(points(), rows),
    points,
  };
}

/** More rows never cost less: neighbours that say so are pooled, weighted by their samples (isotonic regression). */
function monotone(points: readonly LadderPoint[]): readonly LadderPoint[] {
  const pools: { ms: number; samples: number; members: LadderPoint[] }[] = [];
  for (const point of points) {
    let pool = { ms: point.ms, samples: point.samples, members: [point] };
    for (let last = pools.at(-1); last !== undefined && last.ms > pool.ms; last = pools.at(-1)) {
      const samples = last.samples + pool.samples;
      const ms = (last.ms * last.samples + pool.ms * pool.samples) / samples;
      pool = { ms, samples, members: [...last.members, ...pool.members] };
      pools.pop();
    }
    pools.push(pool);
  }
  return pools.flatMap(({ ms, members }) => members.map((member) => ({ ...member, ms })));
}

/** Straight lines between points; beyond the last, the mean slope of all; undefined without points. */
function interpolate(points: readonly LadderPoint[], rows: number): number | undefined {
  if (points.length === 0) return undefined;
  const first = points[0];
  const last = points[points.length - 1];
  if (points.length === 1)
    return (first.ms * (1 + ASSUMED_SLOPE * (rows - 1))) / (1 + ASSUMED_SLOPE * (first.rows - 1));
  const upper = points.find((point) => point.rows >= rows);
  const slope = (last.ms - first.ms) / (last.rows - first.rows);
  if (upper === undefined) return last.ms + slope * (rows - last.rows);
  // Half of the first point at least: lines that start further right could go below zero.
  if (upper === first) return Math.max(first.ms / 2, first.ms - slope * (first.rows - rows));
  const lower = points[points.indexOf(upper) - 1];
  const share = (rows - lower.rows) / (upper.rows - lower.rows);
  return lower.ms + share * (upper.ms - lower.ms);
}

/** In the order of their use; a large model may be asked for the first few only. */
const MEASURED_ROWS = [1, 4, 2, 8];
/** Turns at least, and more of them while they take less than this: code gets faster while it runs. */
const TURNS = 2;
const WARM_UP_MS = 10;
/**
 * Between turns: the first forward of a row count asks for its code to be compiled for speed, which another thread does, and
 * those of the model leave it no core. Without the pause, four rows were taken to cost twice what they do, and short drafts
 * for the best ones.
 */
const COMPILE_MS = 40;

/**
 * Measures the ladder of a model where it has not been: a few forwards of made-up rows on a sequence of their own in
 * `cache`, which is left as it was. Ends after two turns and 10 milliseconds, or after the first forward that passes `budgetMs`
 * (default 400), for models whose forwards take longer than a generation should wait.
 */
export async function measureLadder(
  model: Model,
  cache: Cache,
  options: {
    readonly budgetMs?: number;
    readonly clock?: () => number;
    readonly signal?: AbortSignal | undefined;
  } = {},
): Promise<void> {
  const { budgetMs = 400, clock = () => performance.now(), signal } = options;
  if (model.ladder.points().length > 1) return;
  // Half of what is free: the text that shares the cache goes on at the same time.
  const most = Math.min(model.maxRows, model.contextLength, cache.freeSlots >> 1);
  if (most < 1) return;
  const sequence = cache.sequence();
  const start = clock();
  try {
    for (let turn = 0; turn < TURNS || clock() - start < WARM_UP_MS; turn++) {
      if (turn === 1) await new Promise((done) => setTimeout(done, COMPILE_MS));
      for (const rows of MEASURED_ROWS) {
        if (rows > most) continue;
        await forwardRows(model, cache, { sequence, rows, signal });
        if (clock() - start >= budgetMs) return;
      }
    }
  } finally {
    sequence.free();
  }
}

/**
 * The ladder as it is measured, for people: medians of `turns` (default 7) forwards of each of `rows`, in turns, after one of each
 * that warms up. The estimates of the model learn from them as from every forward.
 */
export async function timeRows(
  model: Model,
  options: {
    readonly rows: readonly number[];
    readonly turns?: number | undefined;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<LadderPoint[]> {
  const { rows: counts, turns = 7, signal } = options;
  const most = Math.min(model.maxRows, model.contextLength);
  for (const rows of counts)
    if (!(Number.isInteger(rows) && rows >= 1 && rows <= most))
      throw new OptionError(`ladder: rows: expected whole numbers from 1 to ${most}, got ${rows}`);
  if (!(Number.isInteger(turns) && turns >= 1))
    throw new OptionError(`ladder: turns: expected a whole number from 1, got ${turns}`);
  const cache = model.createCache({ slots: Math.max(1, ...counts) });
  const sequence = cache.sequence();
  const times = counts.map((): number[] => []);
  try {
    for (let turn = 0; turn <= turns; turn++)
      for (const [index, rows] of counts.entries()) {
        const start = performance.now();
        await forwardRows(model, cache, { sequence, rows, signal });
        if (turn > 0) times[index].push(performance.now() - start);
      }
  } finally {
    cache.dispose();
  }
  return counts.map((rows, index) => ({ rows, ms: median(times[index]), samples: turns }));
}

/** A forward of made-up rows, which leaves the sequence empty. */
async function forwardRows(
  model: Model,
  cache: Cache,
  given: {
    readonly sequence: Sequence;
    readonly rows: number;
    readonly signal: AbortSignal | undefined;
  },
): Promise<void> {
  const { sequence, rows, signal } = given;
  const draft = { tokens: Array.from({ length: rows - 1 }, () => 0) };
  await model.forward(cache, [{ sequence, tokens: [0], draft }], { signal });
  sequence.truncate(0);
}
