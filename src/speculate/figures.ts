// What a generation cost and what drafting gained. Types only.
import type { LadderPoint } from '../models/model.ts';
import type { Knowledge } from './controller.ts';

/** Position i of the arrays is depth i of the draft: 0 is the first drafted token. */
export interface GenerateStats {
  /** Target forwards, the one of the prompt included; each emits at least one token. */
  readonly targetForwards: number;
  /** Rows the target computed, prompt and rejected drafts included. */
  readonly targetRows: number;
  /** Forwards that judged a draft. */
  readonly drafts: number;
  readonly draftedTokens: number;
  readonly acceptedTokens: number;
  /** Drafts that reached each depth, and drafts whose emitted path did. */
  readonly draftedByPosition: readonly number[];
  readonly acceptedByPosition: readonly number[];
  /** Emitted tokens per target forward: 1 for plain decoding. */
  readonly tokensPerForward: number;
  /** Accepted drafted tokens per draft. */
  readonly meanAcceptedLength: number;
  /** From the call to the first token; the forwards of the target; the drafter; everything. */
  readonly firstTokenMs: number;
  readonly targetMs: number;
  readonly draftMs: number;
  readonly totalMs: number;
  /** Emitted tokens after those of the first forward, per second after it. */
  readonly tokensPerSecond: number;
  /** How far was drafted, what decided on it, and what it cost. */
  readonly drafting: DraftingStats;
  /** One sentence: what was drafted and why. */
  explain(): string;
}

/** Lengths and costs of drafts. Costs are in plain steps: forwards of one row, as the target's ladder has them. */
export interface DraftingStats {
  readonly drafter: string;
  /** As it was asked for. */
  readonly draftLength: number | 'auto';
  /** Rounds after the prompt's that drafted i tokens, at index i. */
  readonly roundsByDraft: readonly number[];
  /** Rounds that asked the drafter; those of them that only tried whether it would pay. */
  readonly asked: number;
  readonly trials: number;
  /** Times of the target's forwards by rows, as last estimated. */
  readonly ladder: readonly LadderPoint[];
  /** Milliseconds of a plain step; 0 where none was measured. */
  readonly stepMs: number;
  /** Steps that a drafted token took to draft, and one more to check, on average; 0 where unknown. */
  readonly draftedTokenSteps: number;
  readonly checkedTokenSteps: number;
  /** Plain steps that the text after the first round would have taken, over the time of its rounds; 0 where unknown. */
  readonly gain: number;
  /** What `draftLength: 'auto'` had learnt in the end, where it had a choice. */
  readonly knowledge?: Knowledge | undefined;
}
