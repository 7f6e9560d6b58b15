// How far to draft: the depth with the most tokens expected in the time expected, by the ladder of the target, the measured
// cost of the drafter and the running acceptance by depth. The sum is that of Leviathan et al., 2023, with measured times:
// rate(d) = (1 + S_1 + … + S_d) / (draft(d) + ladder(1 + nodes(d))), S_i the product of the first i acceptances.
// It is told times and has no clock; it sees rounds that are over, and so never a token of the round it decides on.
import type { Ladder } from '../models/model.ts';
import { createAcceptance } from './acceptance.ts';
import { createDraftClock } from './draft-clock.ts';
import type { DraftCost } from './drafter.ts';

/** Levels that are considered at most, and rows of a forward. */
const MOST_LEVELS = 15;
const MOST_ROWS = 16;
/** Levels of the first draft; later ones at most double the longest so far. */
const FIRST_LEVELS = 4;
/** Gains over plain steps at which drafting begins and ends. */
const BEGIN = 1.02;
const END = 0.995;
/** Share of the time, past and ahead, that may be lost to drafts that are not expected to pay. */
const TRIAL_SHARE = 0.0075;
/** Drafts that count as trials whatever is expected, and the part of the expected gain that trials are credited with. */
const FIRST_DRAFTS = 4;
const TRIAL_CREDIT = 0.5;
/** Plain steps in a row that measure what a step costs, and the share of the time that this may cost. */
const CHECK_STEPS = 2;
const CHECK_SHARE = 0.003;
/** The share as long as the first step of the ladder rests on few forwards. */
const FIRST_CHECK_SHARE = 0.01;
const FEW_SAMPLES = 12;
const LEAST_BETWEEN_CHECKS = 8;
/** Drafts after which one is a level longer or shorter, in turn, to keep both measured, and what it may be expected to lose. */
const LOOK_AROUND = 20;
const LOOK_LOSS = 0.25;
/** Tokens ahead that reading a text into the drafter may be repaid by; a text may end before its limit. */
const HORIZON = 256;
/** Plain steps between two thoughts about drafting again. */
const REST = 8;
/** Of a running mean: how often the drafter has something to say. */
const SPEAKS_GAIN = 0.05;

/** What a round shares its forward with: other texts of a batch, and their rows. */
export interface Company {
  readonly texts: number;
  readonly rows: number;
}

/** What the next round should draft, and why. */
export interface Choice {
  readonly levels: number;
  /** Drafted although it is not expected to pay, to see whether that is still so. */
  readonly trial: boolean;
  /** Committed tokens that the drafter has not seen beyond the last one. */
  readonly missed: number;
}

/** A round that is over. */
export interface Outcome {
  readonly choice: Choice;
  /** Levels drafted; the drafter may have had less to say, or nothing. */
  readonly depth: number;
  /** Tokens drafted: the levels of a tree may be narrower than they could be. */
  readonly nodes: number;
  /** Accepted levels. */
  readonly accepted: number;
  readonly draftMs: number;
  readonly targetMs: number;
  /** Length of the committed text before the round. */
  readonly position: number;
}

/** What a controller knows, for people. */
export interface Knowledge {
  /** Acceptance by depth given the depths before, as estimated at the end. */
  readonly acceptance: readonly number[];
  /** Milliseconds of a drafted level; 0 before the first. */
  readonly levelMs: number;
  /** The depth with the highest expected gain over plain steps among those above 0, and that gain. */
  readonly bestLevels: number;
  readonly bestGain: number;
}

const ALONE: Company = { texts: 0, rows: 0 };

/** Chooses the depth of every round, and learns from every round. */
export interface Controller {
  /** `left` tokens may still be emitted, of which `room` levels may be drafted. */
  choose(state: {
    readonly position: number;
    readonly left: number;
    readonly room: number;
    /** Default none. */
    readonly company?: Company | undefined;
  }): Choice;
  add(outcome: Outcome): void;
  knowledge(): Knowledge;
}

/** A controller that knows the target's ladder, the shape of drafts, and what the drafter says that they cost. */
export function createController(parts: {
  readonly ladder: Ladder;
  readonly nodesAt?: ((levels: number) => number) | undefined;
  readonly cost?: DraftCost | undefined;
  /** Levels of its deepest draft. */
  readonly maxDepth?: number | undefined;
}): Controller {
  const { ladder, nodesAt = (levels: number) => levels, cost, maxDepth = MOST_LEVELS } = parts;
  const acceptance = createAcceptance(MOST_LEVELS);
  const draftCost = createDraftClock(cost);
  let most = 0;
  while (most < Math.min(MOST_LEVELS, maxDepth) && 1 + nodesAt(most + 1) <= MOST_ROWS) most += 1;
  /** Tokens of the last draft of each depth, and the most per level of any. */
  const sizes: number[] = [];
  let widest = Number.POSITIVE_INFINITY;
  // Drafts that were asked for more levels than they came to may be wider than those that are asked for so many.
  const sizeOf = (levels: number) => Math.min(nodesAt(levels), sizes[levels] ?? levels * widest);
  /** How often the drafter has something to say. */
  let speaks = 1;
  let drafts = 0;
  let longest = 0;
  let seen = 0;
  let elapsedMs = 0;
  let trialsMs = 0;
  let drafting = true;
  let plainSteps = 0;
  let draftedRounds = 0;
  let checks = 0;
  let company: Company = ALONE;
  const forwardMs = (rows: number) => ladder.ms(rows + company.rows);

  /** Tokens and milliseconds expected of a round of so many levels. */
  function expect(levels: number) {
    let tokens = 1;
    let survival = 1;
    for (let depth = 1; depth <= levels; depth++) {
      survival *= acceptance.at(depth);
      tokens += survival;
    }
    return { tokens, ms: draftCost.ms(levels) + forwardMs(1 + sizeOf(levels))! };
  }

  /** What a trial is taken to lose: little is known where it is made, so it is credited with little. */
  function lossMs(levels: number, stepMs: number): number {
    const { tokens, ms } = expect(levels);
    const more = (tokens - 1) / (1 + company.texts);
    return Math.max(0, ms - stepMs * (1 + TRIAL_CREDIT * more));
  }

  /** The depth, or now and then the next or the one before it. */
  function lookAround(levels: number, limit: number, stepMs: number): number {
    const look = levels + ((drafts / LOOK_AROUND) % 2 === 0 ? 1 : -1);
    if (drafts % LOOK_AROUND > 0 || look < 1 || look > Math.min(most, limit)) return levels;
    return gainOf(look, stepMs) > (1 - LOOK_LOSS) * gainOf(levels, stepMs) ? look : levels;
  }

  /**
   * How many times as fast as plain steps all texts of the forward are together, each of the others with a token, where the drafter is
   * silent now and then.
   */
  function gainOf(levels: number, stepMs: number): number {
    const { tokens, ms } = expect(levels);
    const more = (speaks * (tokens - 1)) / (1 + company.texts);
    return ((1 + more) * stepMs) / (speaks * ms + (1 - speaks) * stepMs);
  }

  /** The depth from 1 on with the highest gain. */
  function best(limit: number, stepMs: number) {
    let levels = 0;
    let gain = 0;
    for (let depth = 1; depth <= Math.min(most, limit); depth++) {
      const found = gainOf(depth, stepMs);
      if (found > gain) {
        levels = depth;
        gain = found;
      }
    }
    return { levels, gain };
  }

  return {
    choose({ position, left, room, company: beside = ALONE }) {
      company = beside;
      const missed = Math.max(0, position - seen - 1);
      const nothing = { levels: 0, trial: false, missed };
      // While drafting does not pay, thinking about it every time would cost a small model some per cent.
      if (!drafting && plainSteps % REST > 0) return nothing;
      const stepMs = forwardMs(1);
      const limit = Math.min(room, longest === 0 ? FIRST_LEVELS : 2 * longest);
      if (stepMs === undefined || limit < 1) return nothing;
      const { levels, gain } = best(limit, stepMs);
      if (levels === 0) return nothing;
      const readingMs = missed * draftCost.missedMs();
      drafting = gain > (drafting ? END : BEGIN);
      if (drafting) {
        if (checks > 0) return nothing;
        const saved = Math.min(left, HORIZON) * stepMs * (1 - 1 / gain);
        if (readingMs > saved) return nothing;
        const trial = drafts < FIRST_DRAFTS;
        return { levels: trial ? levels : lookAround(levels, limit, stepMs), trial, missed };
      }
      const allowedMs = TRIAL_SHARE * (elapsedMs + Math.min(left, HORIZON) * stepMs);
      if (trialsMs + readingMs + lossMs(levels, stepMs) > allowedMs) return nothing;
      return { levels, trial: true, missed };
    },

    add({ choice, depth, nodes, accepted, draftMs, targetMs, position }) {
      elapsedMs += draftMs + targetMs;
      if (choice.levels > 0) {
        speaks += SPEAKS_GAIN * ((depth > 0 ? 1 : 0) - speaks);
        seen = position + accepted;
        if (depth === 0) {
          draftCost.silent(draftMs, choice.missed);
          if (choice.trial) trialsMs += draftMs;
        }
      }
      if (depth > 0) {
        const stepMs = forwardMs(1) ?? targetMs;
        // The first reading is no trial: every later draft needs it.
        const readingMs = drafts > 0 ? choice.missed * draftCost.missedMs() : 0;
        if (choice.trial) trialsMs += lossMs(depth, stepMs) + readingMs;
        drafts += 1;
        sizes[depth] = nodes;
        widest = drafts === 1 ? nodes / depth : Math.max(widest, nodes / depth);
        longest = Math.max(longest, depth);
        draftCost.add(depth, draftMs, choice.missed);
        acceptance.add(depth, accepted);
        plainSteps = 0;
        draftedRounds += 1;
        if (draftedRounds >= betweenChecks(stepMs)) checks = CHECK_STEPS;
      } else {
        if (choice.levels === 0) acceptance.idle();
        plainSteps += 1;
        checks = Math.max(0, checks - 1);
        if (plainSteps >= CHECK_STEPS) draftedRounds = 0;
      }
    },

    knowledge() {
      const stepMs = forwardMs(1);
      const { levels, gain } = stepMs === undefined ? { levels: 0, gain: 0 } : best(most, stepMs);
      return {
        acceptance: acceptance.tried(),
        levelMs: longest > 0 ? draftCost.ms(1) : 0,
        bestLevels: levels,
        bestGain: gain,
      };
    },
  };

  /** Drafted rounds until plain steps are measured again: what they forgo stays below a share of the time. */
  function betweenChecks(stepMs: number): number {
    const { levels, gain } = best(most, stepMs);
    if (levels === 0 || gain <= 1) return LEAST_BETWEEN_CHECKS;
    const [first] = ladder.points();
    const share =
      first.rows === 1 && first.samples >= FEW_SAMPLES ? CHECK_SHARE : FIRST_CHECK_SHARE;
    const forgoneMs = CHECK_STEPS * stepMs * (1 - 1 / gain);
    return Math.max(LEAST_BETWEEN_CHECKS, forgoneMs / share / expect(levels).ms);
  }
}
