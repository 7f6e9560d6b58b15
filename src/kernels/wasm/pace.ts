// Whether a short plan is better run by all workers or by one, measured while it runs. Sharing wins on a quiet machine; where
// other programs take the cores, a meeting waits for whoever was sent away, and one worker is faster. The bits are the same.

/** Estimates from which a plan is always shared: what a meeting may lose is then little beside what sharing gains. */
const LONG_NS = 4_000_000;
/** Runs that are remembered of each way. */
const REMEMBERED = 5;
/**
 * Runs of a trial, of which the best counts. Sharing gets more: the first run wakes the others, and the system may need some
 * milliseconds to give them a core of their own.
 */
const TRIALS = { shared: 8, alone: 2 };
/** Runs until the other way is tried: few after a change, which may have been a bad moment, and more whenever nothing changes. */
const FIRST_WAIT = 16;
const LAST_WAIT = 1024;
/** How much slower than alone sharing may be for the last few runs: two threads on one core take many times as long. */
const WORSE = 1.15;

/** The choice for one stretch of a plan and one number of rows. */
export interface Pace {
  /** How many workers to ask for. */
  workers(): number;
  /** How long a run took, and how many workers there were. */
  took(workers: number, ms: number): void;
}

/** Plans of one estimate share their choice, so that a new cache of a model does not begin anew. */
export function createPaces(): (workers: number, estimateNs: number) => Pace {
  const known = new Map<string, Pace>();
  return (workers, estimateNs) => {
    const key = `${workers} ${estimateNs.toPrecision(2)}`;
    let pace = known.get(key);
    if (pace === undefined) {
      pace = createPace(workers, estimateNs);
      known.set(key, pace);
    }
    return pace;
  };
}

/** Chooses between `workers` and one. */
export function createPace(workers: number, estimateNs: number): Pace {
  const times = { shared: [] as number[], alone: [] as number[] };
  let best: 'shared' | 'alone' = 'shared';
  let wait = FIRST_WAIT;
  let left = REMEMBERED;
  let trial = 0;
  /** Of the trial. */
  let fastest = Number.POSITIVE_INFINITY;
  const settled = workers === 1 || estimateNs >= LONG_NS;
  const other = () => (best === 'shared' ? 'alone' : 'shared');
  const change = () => {
    best = other();
    wait = FIRST_WAIT;
    left = wait;
  };
  return {
    workers() {
      if (settled) return workers;
      return (trial > 0 ? other() : best) === 'shared' ? workers : 1;
    },
    took(count, ms) {
      // Others count neither way: some threads have not started.
      if (settled || (count !== workers && count !== 1)) return;
      const way = count === workers ? 'shared' : 'alone';
      times[way].push(ms);
      if (times[way].length > REMEMBERED) times[way].shift();
      if (way !== (trial > 0 ? other() : best)) return;
      if (trial > 0) {
        trial--;
        fastest = Math.min(fastest, ms);
        if (trial > 0) return;
        if (fastest < middle(times[best])) return change();
        wait = Math.min(LAST_WAIT, 2 * wait);
        left = wait;
        return;
      }
      left--;
      // Not after every run: medians take a part of what a small plan takes.
      if (left % REMEMBERED > 0) return;
      const lost = best === 'shared' && middle(times.shared) > WORSE * middle(times.alone);
      if (lost) change();
      else if (left <= 0) {
        trial = TRIALS[other()];
        fastest = Number.POSITIVE_INFINITY;
      }
    },
  };
}

/** The median; infinite of nothing. */
function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.POSITIVE_INFINITY;
}
