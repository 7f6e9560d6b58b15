// Collects the rounds of a generation. Accepted counts only tokens that were emitted.
import { explainDrafting } from './explain.ts';
import type { DraftingStats, GenerateStats } from './figures.ts';
import type { PaceReport } from './pace.ts';

/** One round of the loop. */
export interface Round {
  readonly draftedTokens: number;
  readonly draftedDepth: number;
  readonly acceptedTokens: number;
  readonly emittedTokens: number;
  readonly rows: number;
  /** The drafter was asked, and whether only to see if it would pay. */
  readonly asked: boolean;
  readonly trial: boolean;
  readonly draftMs: number;
  readonly targetMs: number;
}

/** Collects rounds. */
export function createStats() {
  const rounds: Round[] = [];
  const start = performance.now();
  let firstTokenMs = 0;
  return {
    add(round: Round): void {
      rounds.push(round);
      if (rounds.length === 1) firstTokenMs = performance.now() - start;
    },
    summary(pace?: PaceReport): GenerateStats {
      const totalMs = performance.now() - start;
      const drafts = rounds.filter(({ draftedTokens }) => draftedTokens > 0);
      const depth = Math.max(0, ...drafts.map(({ draftedDepth }) => draftedDepth));
      const reached = (pick: (round: Round) => number) =>
        Array.from(
          { length: depth },
          (_, level) => drafts.filter((round) => pick(round) > level).length,
        );
      const acceptedTokens = sum(rounds, (round) => round.acceptedTokens);
      const emitted = sum(rounds, (round) => round.emittedTokens);
      const later = emitted - (rounds[0]?.emittedTokens ?? 0);
      const laterMs = totalMs - firstTokenMs;
      const stats = {
        targetForwards: rounds.length,
        targetRows: sum(rounds, (round) => round.rows),
        drafts: drafts.length,
        draftedTokens: sum(rounds, (round) => round.draftedTokens),
        acceptedTokens,
        draftedByPosition: reached((round) => round.draftedDepth),
        acceptedByPosition: reached((round) => round.acceptedTokens),
        tokensPerForward: rounds.length > 0 ? emitted / rounds.length : 0,
        meanAcceptedLength: drafts.length > 0 ? acceptedTokens / drafts.length : 0,
        firstTokenMs,
        targetMs: sum(rounds, (round) => round.targetMs),
        draftMs: sum(rounds, (round) => round.draftMs),
        totalMs,
        tokensPerSecond: later > 0 && laterMs > 0 ? (1000 * later) / laterMs : 0,
        drafting: draftingOf(rounds, pace),
      };
      return { ...stats, explain: () => explainDrafting(stats) };
    },
  };
}

const sum = (rounds: readonly Round[], pick: (round: Round) => number) =>
  rounds.reduce((total, round) => total + pick(round), 0);

function draftingOf(rounds: readonly Round[], pace: PaceReport | undefined): DraftingStats {
  const later = rounds.slice(1);
  const drafts = rounds.filter(({ draftedTokens }) => draftedTokens > 0);
  const drafted = sum(drafts, (round) => round.draftedTokens);
  const longest = Math.max(0, ...later.map((round) => round.draftedTokens));
  const ladder = pace?.ladder.points() ?? [];
  const stepMs = ladder[0]?.rows === 1 ? ladder[0].ms : 0;
  const mean = drafts.length > 0 ? drafted / drafts.length : 0;
  const checked = mean > 0 && stepMs > 0 ? pace!.ladder.ms(1 + mean)! / stepMs - 1 : 0;
  const laterMs = sum(later, (round) => round.draftMs + round.targetMs);
  return {
    drafter: pace?.drafter ?? 'none',
    draftLength: pace?.draftLength ?? 0,
    roundsByDraft: Array.from(
      { length: longest + 1 },
      (_, tokens) => later.filter((round) => round.draftedTokens === tokens).length,
    ),
    asked: rounds.filter(({ asked }) => asked).length,
    trials: rounds.filter(({ trial, draftedTokens }) => trial && draftedTokens > 0).length,
    ladder,
    stepMs,
    draftedTokenSteps:
      drafted > 0 && stepMs > 0 ? sum(drafts, (round) => round.draftMs) / drafted / stepMs : 0,
    checkedTokenSteps: mean > 0 ? checked / mean : 0,
    gain: laterMs > 0 ? (sum(later, (round) => round.emittedTokens) * stepMs) / laterMs : 0,
    knowledge: pace?.knowledge,
  };
}
