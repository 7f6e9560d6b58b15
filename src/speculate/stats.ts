// What a generation cost and what drafting gained. Accepted counts only tokens that were emitted.

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
}

/** One round of the loop. */
export interface Round {
  readonly draftedTokens: number;
  readonly draftedDepth: number;
  readonly acceptedTokens: number;
  readonly emittedTokens: number;
  readonly rows: number;
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
    summary(): GenerateStats {
      const totalMs = performance.now() - start;
      const sum = (pick: (round: Round) => number) =>
        rounds.reduce((total, round) => total + pick(round), 0);
      const drafts = rounds.filter(({ draftedTokens }) => draftedTokens > 0);
      const depth = Math.max(0, ...drafts.map(({ draftedDepth }) => draftedDepth));
      const reached = (pick: (round: Round) => number) =>
        Array.from(
          { length: depth },
          (_, level) => drafts.filter((round) => pick(round) > level).length,
        );
      const acceptedTokens = sum((round) => round.acceptedTokens);
      const emitted = sum((round) => round.emittedTokens);
      const later = emitted - (rounds[0]?.emittedTokens ?? 0);
      const laterMs = totalMs - firstTokenMs;
      return {
        targetForwards: rounds.length,
        targetRows: sum((round) => round.rows),
        drafts: drafts.length,
        draftedTokens: sum((round) => round.draftedTokens),
        acceptedTokens,
        draftedByPosition: reached((round) => round.draftedDepth),
        acceptedByPosition: reached((round) => round.acceptedTokens),
        tokensPerForward: rounds.length > 0 ? emitted / rounds.length : 0,
        meanAcceptedLength: drafts.length > 0 ? acceptedTokens / drafts.length : 0,
        firstTokenMs,
        targetMs: sum((round) => round.targetMs),
        draftMs: sum((round) => round.draftMs),
        totalMs,
        tokensPerSecond: later > 0 && laterMs > 0 ? (1000 * later) / laterMs : 0,
      };
    },
  };
}
