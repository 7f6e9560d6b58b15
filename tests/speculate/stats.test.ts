// The counts of a generation, on the worked example of five rounds.
import { describe, expect, it } from 'vitest';
import { createStats } from '../../src/speculate/stats.ts';
import { vectors } from './laws.ts';

describe('stats', () => {
  it('count the rounds of vector Z', () => {
    const { Z } = vectors;
    const stats = createStats();
    for (const [round, drafted] of Z.drafted_per_step.entries()) {
      const accepted = Z.accepted_per_step[round];
      stats.add({
        draftedTokens: drafted,
        draftedDepth: drafted,
        acceptedTokens: accepted,
        emittedTokens: accepted + 1,
        rows: drafted + 1,
        asked: true,
        trial: false,
        draftMs: 1,
        targetMs: 2,
      });
    }
    const summary = stats.summary();
    expect(summary).toMatchObject({
      targetForwards: Z.drafted_per_step.length,
      targetRows: Z.num_draft_tokens + Z.drafted_per_step.length,
      drafts: Z.num_drafts,
      draftedTokens: Z.num_draft_tokens,
      acceptedTokens: Z.num_accepted_tokens,
      acceptedByPosition: Z.accepted_per_pos,
      draftedByPosition: Z.drafted_per_pos,
      draftMs: 5,
      targetMs: 10,
    });
    expect(summary.tokensPerForward).toBeCloseTo(Z.mean_tokens_per_step_all, 12);
    expect(summary.meanAcceptedLength).toBeCloseTo(Z.num_accepted_tokens / Z.num_drafts, 12);
    expect(summary.totalMs).toBeGreaterThanOrEqual(summary.firstTokenMs);
  });

  it('are zero, not NaN, before the first round', () => {
    const { explain, drafting, ...summary } = createStats().summary();
    expect(Object.values(summary).flat().every(Number.isFinite)).toBe(true);
    expect(drafting).toMatchObject({ stepMs: 0, gain: 0, draftedTokenSteps: 0, asked: 0 });
    expect(drafting.checkedTokenSteps).toBe(0);
    expect(explain()).toBe('drafted nothing, as asked');
    expect(summary.tokensPerForward).toBe(0);
  });
});
