// What measures mean: when acceptance is poor, when another reading of a head is better beyond chance, and whether drafting pays.
import type { Candidate } from './candidates.ts';
import type { Finding } from './finding.ts';
import { advantage, type Heard, meanOf } from './listen.ts';
import type { Acceptance, MeasureOptions, Outlook } from './measure.ts';

/** A reading with what was heard of it. */
export interface Trial {
  readonly candidate: Candidate;
  readonly heard: Heard;
}

/** How a head fits in one reading of its files. */
export interface Fit {
  /** What is read otherwise than the files say; empty for nothing. */
  readonly label: string;
  /** Mean of ln of the probability that it gives the target's token, over the places of the text. */
  readonly likelihood: number;
  /** Tokens of a draft that come true, on average over these places. */
  readonly accepted: number;
}

/** The same in numbers. */
export const fitOf = ({ candidate, heard }: Trial): Fit => ({
  label: candidate.label,
  likelihood: meanOf(heard.likelihoods),
  accepted: meanOf(heard.accepted),
});

/** Below this share of first tokens accepted, drafting gains nothing anywhere. */
const POOR = 0.1;

/** Of what rounds accepted. */
export function judgeAcceptance(
  { label }: Candidate,
  { drafts, draftedByPosition, acceptedByPosition, mean }: Acceptance,
  { draftLength }: MeasureOptions,
): Finding {
  const subject = 'acceptance';
  if (drafts === 0)
    return { gravity: 'warning', subject, message: 'nothing was drafted on these prompts' };
  const share = acceptedByPosition[0] / draftedByPosition[0];
  const how = label === '' ? '' : ` with ${label}`;
  return {
    gravity: share === 0 ? 'error' : share < POOR ? 'warning' : 'fine',
    subject,
    message: `${Math.round(100 * share)} % of the first drafted tokens, ${mean.toFixed(2)} of ${draftLength} a draft${how} (${drafts} drafts)`,
  };
}

/** Standard errors that a reading has to be ahead: the best of a dozen is always ahead by two or so. */
const SURE = 4;
/** How much more has to come true for the files to be wrong. */
const MUCH = 1.1;

/** Of the readings of a head, the likeliest first; `own` is that of its files, null where that does not load. */
export function judgeReadings(own: Trial | null, sorted: readonly Trial[]): Finding {
  const [best] = sorted;
  const subject = 'reading';
  const { label, accepted } = fitOf(best);
  if (own === null)
    return {
      gravity: 'error',
      subject,
      message: `it loads with ${label}, and ${accepted.toFixed(2)} tokens of a draft come true`,
    };
  const { nats, errors } = advantage(best.heard, own.heard);
  if (errors < SURE) {
    const message = `none of ${sorted.length - 1} others fits better beyond chance`;
    return { gravity: 'fine', subject, message };
  }
  const before = fitOf(own).accepted;
  return {
    gravity: accepted > MUCH * before ? 'error' : 'warning',
    subject,
    message: `${label} fits better, by ${nats.toFixed(2)} nats a token (${errors.toFixed(1)} standard errors): ${accepted.toFixed(2)} tokens of a draft come true, ${before.toFixed(2)} as the files say`,
  };
}

/** Of what drafting would gain here. */
export function judgeGain({ levels, gain, stepMs, checkMs, levelMs }: Outlook): Finding {
  const [check, level] = [checkMs / stepMs, levelMs / stepMs].map((steps) => steps.toFixed(2));
  return {
    gravity: gain > 1 ? 'fine' : 'warning',
    subject: 'gain',
    message: `${gain.toFixed(2)}x of plain decoding expected here with drafts of ${levels}: checking one costs ${check} steps, drafting a level ${level}`,
  };
}
