// The counts of a generation, on the worked example of five rounds.
import { describe, expect, it } from 'vitest';
import { createAcceptance } from '../../src/speculate/acceptance.ts';
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
      targetForwards: Z.num_steps,
      targetRows: Z.num_draft_tokens + Z.num_steps,
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
    expect(summary.meanAcceptedLength + 1).toBeCloseTo(Z.mean_accepted_plus_one_over_drafts, 12);
    expect(summary.acceptedTokens / summary.draftedTokens).toBe(Z.acceptance_rate);
    // How many rounds accepted so many; the one that drafted nothing is not among the drafts.
    const { acceptedByPosition: reached, drafts } = summary;
    const histogram = [drafts, ...reached].map((count, at) => count - (reached[at] ?? 0));
    const [none, ...some] = Z.acceptance_histogram;
    expect(histogram).toEqual([none - 1, ...some]);
    expect(summary.totalMs).toBeGreaterThanOrEqual(summary.firstTokenMs);
  });

  it('are what the belief in every level comes to, given those before', () => {
    const { Z } = vectors;
    const acceptance = createAcceptance(4);
    for (let repeat = 0; repeat < 200; repeat++)
      for (const [round, drafted] of Z.drafted_per_step.entries())
        if (drafted > 0) acceptance.add(drafted, Z.accepted_per_step[round]);
    // The memory fades, so the last rounds count more.
    for (const [level, wanted] of Z.conditional_acceptance_per_pos.entries())
      expect(Math.abs(acceptance.at(level + 1) - wanted)).toBeLessThan(0.06);
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
