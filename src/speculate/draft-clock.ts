// What drafts cost: the milliseconds that the drafter expects, or equal levels, times a factor that follows the measured ones.
import type { DraftCost } from './drafter.ts';

/** What reading a token costs of drafting a level, until known. */
const ASSUMED_READING = 0.3;
/** Tokens that a drafter catches up with in every round: its own last level, and the one that the target chose. */
const USUALLY_MISSED = 2;

/** Of a running mean: what a draft takes. */
const GAIN = 0.15;
/** Drafts after the first whose fastest is believed: code gets faster for some more. */
const COLD_DRAFTS = 3;
/** How much longer than expected a draft is believed to take at most: a slow one is mostly somebody else's doing. */
const SLOWEST = 1.5;

/** Times drafts; expects what the drafter says, or the same of every level where it says nothing. */
export function createDraftClock(cost: DraftCost | undefined) {
  const shape = cost?.draftMs ?? ((levels: number) => levels);
  let factor = cost === undefined ? 0 : 1;
  let isFirst = true;
  let samples = 0;
  /** Per token; learnt where the drafter does not say. */
  let reading = 0;

  return {
    /** Of a draft of so many levels by a drafter that has seen the text. */
    ms: (levels: number) => factor * shape(levels),
    /** Of a committed token that it has not seen. */
    missedMs: () => (cost === undefined ? reading : cost.missedMs * factor),
    /** It was asked and had nothing to say: what it took was reading. */
    silent(ms: number, missed: number): void {
      if (cost === undefined) reading = ms / (missed + 1);
    },
    /** A draft of `depth` levels by a drafter that had not seen `missed` tokens beyond the last. */
    add(depth: number, ms: number, missed: number): void {
      // The first draft pays for compiling: it tells nothing.
      if (isFirst) {
        isFirst = false;
        return;
      }
      if (missed <= USUALLY_MISSED) {
        const sample = ms / shape(depth);
        samples += 1;
        if (samples === 1) factor = sample;
        else if (samples <= COLD_DRAFTS) factor = Math.min(factor, sample);
        else factor += GAIN * (Math.min(sample, SLOWEST * factor + 1e-3) - factor);
      } else if (cost === undefined) {
        if (samples === 0) factor = ms / (depth + ASSUMED_READING * missed);
        const sample = samples === 0 ? ASSUMED_READING * factor : (ms - factor * depth) / missed;
        reading = Math.max(0, sample);
      }
    },
  };
}
