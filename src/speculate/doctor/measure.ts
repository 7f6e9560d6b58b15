// How much of what a drafter drafts a target accepts, by greedy decoding of a few prompts with drafts of one length; and what that
// would gain on this machine, by the sums of the controller. What is accepted depends on the models alone.
import { createLadder, timeRows } from '../../models/ladder.ts';
import { createController, type Outcome } from '../controller.ts';
import type { Drafter } from '../drafter.ts';
import { generate, type Prompt, type Target } from '../generate.ts';
import { depthOf } from '../round.ts';

/** What is measured on. */
export interface MeasureOptions {
  readonly prompts: readonly Prompt[];
  readonly maxTokens: number;
  readonly draftLength: number;
  readonly signal?: AbortSignal | undefined;
}

/** Drafts, and how many reached each place and were accepted there, the first at index 0. */
export interface Acceptance {
  readonly drafts: number;
  readonly draftedByPosition: readonly number[];
  readonly acceptedByPosition: readonly number[];
  /** Accepted tokens per draft. */
  readonly mean: number;
}

/** What drafting is expected to gain. */
export interface Outlook {
  /** The draft length that is expected to gain most, and times as fast as plain steps with it. */
  readonly levels: number;
  readonly gain: number;
  /** Milliseconds of a plain step, of one that checks such a draft, and of a drafted level. */
  readonly stepMs: number;
  readonly checkMs: number;
  readonly levelMs: number;
}

/** Writes every prompt on and counts. */
export async function measure(
  target: Target,
  drafter: Drafter,
  { prompts, ...settings }: MeasureOptions,
): Promise<{ readonly acceptance: Acceptance; readonly outcomes: readonly Outcome[] }> {
  const outcomes: Outcome[] = [];
  for (const prompt of prompts) {
    let seen = 0;
    await generate(target, prompt, {
      ...settings,
      drafter,
      onRound({ draft, verdict, position, draftMs, targetMs }) {
        const depth = depthOf(draft);
        if (depth === 0) return;
        const accepted = verdict.path.length;
        const missed = Math.max(0, position - seen - 1);
        seen = position + accepted;
        const choice = { levels: depth, trial: false, missed };
        const nodes = draft.tokens.length;
        outcomes.push({ choice, depth, nodes, accepted, position, draftMs, targetMs });
      },
    });
  }
  return { acceptance: acceptanceOf(outcomes), outcomes };
}

function acceptanceOf(outcomes: readonly Outcome[]): Acceptance {
  const deepest = Math.max(0, ...outcomes.map(({ depth }) => depth));
  const reached = (of: (outcome: Outcome) => number) =>
    Array.from({ length: deepest }, (_, at) => outcomes.filter((each) => of(each) > at).length);
  const accepted = outcomes.reduce((sum, outcome) => sum + outcome.accepted, 0);
  return {
    drafts: outcomes.length,
    draftedByPosition: reached(({ depth }) => depth),
    acceptedByPosition: reached(({ accepted }) => accepted),
    mean: outcomes.length === 0 ? 0 : accepted / outcomes.length,
  };
}

/** Rows of the forwards that are timed, and how often: for so many milliseconds each, within these bounds. */
const ROWS = [1, 2, 4, 8, 16];
const TIMED_MS = 300;
const [FEWEST_TURNS, MOST_TURNS] = [3, 31];

/** What the controller of `draftLength: 'auto'` would expect after these rounds. */
export async function outlookOf(
  { model }: Target,
  drafter: Drafter,
  outcomes: readonly Outcome[],
  signal?: AbortSignal | undefined,
): Promise<Outlook> {
  const rows = ROWS.filter((count) => count <= Math.min(model.maxRows, model.contextLength));
  const turns = Math.round(TIMED_MS / (model.ladder.ms(1) ?? TIMED_MS));
  const ladder = createLadder();
  for (const timed of await timeRows(model, {
    rows,
    turns: Math.min(MOST_TURNS, Math.max(FEWEST_TURNS, turns)),
    signal,
  }))
    ladder.add(timed.rows, timed.ms);
  const nodesAt = (levels: number) => drafter.nodesAt?.(levels) ?? levels;
  const controller = createController({ ladder, nodesAt, cost: await drafter.cost?.(signal) });
  for (const outcome of outcomes) controller.add(outcome);
  const { bestLevels, bestGain, levelMs } = controller.knowledge();
  return {
    levels: bestLevels,
    gain: bestGain,
    stepMs: ladder.ms(1)!,
    checkMs: ladder.ms(1 + nodesAt(bestLevels))!,
    levelMs,
  };
}
