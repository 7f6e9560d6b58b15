// Whether a short plan is better run by all workers or by one, measured while it runs. Sharing wins on a quiet machine; where
// other programs take the cores, a meeting waits for whoever was sent away, and one worker is faster. The bits are the same.

/** Estimates from which a plan is always shared: what a meeting may lose is then little beside what sharing gains. */
const LONG_NS = 4_000_000;
/** Runs that are remembered of each way, and first tried of each. */
const REMEMBERED = 5;
const TRIED = 3;
/** Of so many runs, as many in a row as are tried first go the slower way, to see whether it still is: the first wakes others. */
const EVERY = 128;

/** The choice for one stretch of a plan and one number of rows. */
export interface Pace {
  /** How many workers to ask for. */
  workers(): number;
  /** How long a run took, and how many workers there were. */
  took(workers: number, ms: number): void;
}

/** Chooses between `workers` and one. */
export function createPace(workers: number, estimateNs: number): Pace {
  const shared: number[] = [];
  const alone: number[] = [];
  let best = workers;
  let runs = TRIED - 1;
  return {
    workers() {
      if (workers === 1 || estimateNs >= LONG_NS || shared.length < TRIED) return workers;
      if (alone.length < TRIED) return 1;
      const turn = ++runs % EVERY;
      // Not while the other way is tried.
      if (turn === 0 || turn >= TRIED) best = middle(shared) <= middle(alone) ? workers : 1;
      if (turn >= TRIED) return best;
      return best === 1 ? workers : 1;
    },
    took(count, ms) {
      // Others count neither way: some threads have not started.
      const times = count === workers ? shared : count === 1 ? alone : [];
      times.push(ms);
      if (times.length > REMEMBERED) times.shift();
    },
  };
}

function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}
