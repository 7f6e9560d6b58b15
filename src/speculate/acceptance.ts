// How likely a drafted level is accepted, given that those before it were. Two memories by depth: a long one that leans on the
// depth before where it has seen little, and a short one that leans on the long one, so that a text that changes is noticed
// while what was learnt about the drafter stays.

/** What is believed of a drafter that nobody has tried, and how many tries that belief weighs. */
const GUESS = 0.7;
const GUESS_WEIGHT = 1.5;
/** A level is a little less likely than the one before, until tried. */
const DEEPER = 0.98;
/** Drafts that the memories reach back, and what the long one weighs in the short one. */
const LONG = 150;
const SHORT = 40;
const LONG_WEIGHT = 8;
/** Rounds without a draft after which the short memory has faded, and the tries that it keeps. */
const IDLE = 32;
const KEPT_TRIES = 2;

/** Counts drafts; depths start at 1. */
export function createAcceptance(levels: number) {
  const long = createMemory(levels);
  const short = createMemory(levels);

  /** Estimates of all depths. */
  function estimate(): number[] {
    let belief = GUESS;
    return Array.from({ length: levels }, (_, index) => {
      const slow = long.mean(index, belief, GUESS_WEIGHT);
      belief = DEEPER * slow;
      return short.mean(index, slow, LONG_WEIGHT);
    });
  }

  // Of the memories as they are; made when somebody asks.
  let estimates: number[] | undefined;
  return {
    /** A draft of `depth` levels of which the first `length` were accepted: the next one, if drafted, was not. */
    add(depth: number, length: number): void {
      for (let index = 0; index < levels; index++) {
        long.fade(index, 1 - 1 / LONG);
        short.fade(index, 1 - 1 / SHORT);
        if (index >= depth || index > length) continue;
        long.add(index, index < length);
        short.add(index, index < length);
      }
      estimates = undefined;
    },
    /** A round in which nothing was drafted: what was seen last grows old. */
    idle(): void {
      for (let index = 0; index < levels; index++)
        short.fade(index, Math.max(1 - 1 / IDLE, Math.min(1, KEPT_TRIES / short.tries(index))));
      estimates = undefined;
    },
    /** Probability of level `depth`, given the levels before. */
    at(depth: number): number {
      estimates ??= estimate();
      return estimates[depth - 1];
    },
    /** Estimates of the depths that were tried. */
    tried: (): number[] => estimate().filter((_, index) => long.tries(index) > 0),
  };
}

/** Counts of tries and successes that fade. */
function createMemory(levels: number) {
  const tried = new Float64Array(levels);
  const accepted = new Float64Array(levels);
  return {
    add(index: number, success: boolean): void {
      tried[index] += 1;
      if (success) accepted[index] += 1;
    },
    fade(index: number, factor: number): void {
      tried[index] *= factor;
      accepted[index] *= factor;
    },
    tries: (index: number): number => tried[index],
    mean: (index: number, belief: number, weight: number): number =>
      (weight * belief + accepted[index]) / (weight + tried[index]),
  };
}
