// The statistics of drafting as one sentence. Everything it says is a field of them.
import type { Knowledge } from './controller.ts';
import type { DraftingStats, GenerateStats } from './figures.ts';

/** Below this share of rounds with a draft, what needs a reason is that nothing was drafted. */
const MOSTLY = 0.5;

/** What was drafted, and why. */
export function explainDrafting(stats: Omit<GenerateStats, 'explain'>): string {
  const { drafting, drafts } = stats;
  const { drafter, asked, draftLength, knowledge } = drafting;
  if (draftLength === 0 || drafter === 'none') return 'drafted nothing, as asked';
  if (drafts === 0) {
    if (asked > 0) return `drafted nothing: ${drafter} was asked ${times(asked)} and had no draft`;
    if (knowledge === undefined)
      return `drafted nothing: there was no round in which ${drafter} could draft`;
    return `drafted nothing: ${hopeless(drafting, knowledge)}`;
  }
  const rounds = drafting.roundsByDraft.reduce((sum, count) => sum + count, 0);
  const laterDrafts = rounds - drafting.roundsByDraft[0];
  if (draftLength === 'auto' && rounds > 0 && laterDrafts / rounds < MOSTLY) {
    if (asked - drafts > drafts) return `${seldom(stats, rounds)}; ${paid(drafting)}`;
    return `drafted nothing in ${rounds - laterDrafts} of ${rounds} rounds after ${tries(drafts)}: ${evidence(stats)}`;
  }
  const mean = stats.draftedTokens / drafts;
  return `drafted ${number(mean)} tokens a round on average${draftLength === 'auto' ? '' : ' as asked'}: ${costs(stats)}, so ${paid(drafting)}`;
}

/** Nothing was tried: what was known without a try. */
function hopeless({ ladder, stepMs }: DraftingStats, { bestLevels, bestGain }: Knowledge): string {
  const [, second] = ladder;
  const cost =
    second !== undefined && stepMs > 0
      ? `${second.rows} rows cost ${number(second.ms / stepMs)} steps here, and `
      : '';
  return bestLevels === 0
    ? 'no plain step has been timed'
    : `${cost}the best draft, of ${plural(bestLevels, 'level')}, was expected to run at ${number(bestGain)}x of plain decoding`;
}

/** The drafter had little to say. */
function seldom({ drafting: { drafter, asked }, drafts }: Parts, rounds: number): string {
  return `drafted in ${drafts} of ${rounds} rounds: ${drafter} was asked ${times(asked)} and had a draft ${times(drafts)}`;
}

/** Tried, and left. */
function evidence(stats: Parts): string {
  const { drafting, draftedTokens, acceptedTokens, drafts } = stats;
  const mean = draftedTokens / drafts;
  const { stepMs, checkedTokenSteps, draftedTokenSteps } = drafting;
  const accepted = `${number(acceptedTokens / drafts)} of ${number(mean)} drafted tokens were accepted`;
  if (stepMs === 0) return accepted;
  const cost = 1 + mean * (checkedTokenSteps + draftedTokenSteps);
  return `drafting and checking ${number(mean)} tokens costs ${number(cost)} steps here, and ${accepted}`;
}

/** What drafting rests on. */
function costs({ drafting, draftedByPosition, acceptedByPosition }: Parts): string {
  const first = Math.round((100 * acceptedByPosition[0]) / draftedByPosition[0]);
  const accepted = `${first} % accepted at the first position`;
  if (drafting.stepMs === 0) return accepted;
  return `${accepted}, a checked token costs ${number(drafting.checkedTokenSteps)} of a step and a drafted one ${number(drafting.draftedTokenSteps)}`;
}

function paid({ gain }: DraftingStats): string {
  if (gain === 0) return 'what drafting gained is not known without a plain step to compare with';
  return gain >= 1
    ? `drafting gained ${number(gain)}x over plain steps`
    : `the text took ${number(1 / gain)}x of the time of plain steps`;
}

type Parts = Omit<GenerateStats, 'explain'>;

const number = (value: number) => String(Number(value.toPrecision(value < 1 ? 2 : 3)));
const plural = (count: number, noun: string) => `${count} ${noun}${count === 1 ? '' : 's'}`;
const tries = (count: number) => (count === 1 ? '1 try' : `${count} tries`);
const times = (count: number) => (count === 1 ? 'once' : `${count} times`);
