// Chains that end where their drafter is unsure: where, by hand, and what may not decide it.
import { describe, expect, it } from 'vitest';
import type { DraftRequest } from '../../src/speculate/drafter.ts';
import { growChain } from '../../src/speculate/drafters/grow.ts';
import { draftModel } from '../../src/speculate/drafters/model.ts';
import type { Pass, Passes } from '../../src/speculate/drafters/passes.ts';
import { pointDraw } from '../../src/speculate/drawn.ts';
import { tinyTarget } from './fixtures.ts';
import { probs, vectors } from './laws.ts';

const passOf = (row: readonly number[]): Pass => ({
  logits: Float32Array.from(row, Math.log),
  state: new Float32Array(),
});

/** What a chain over these rows drafts, where the verifier draws `token` from each. */
async function drafted(
  rows: readonly (readonly number[])[],
  least: number,
  token = 0,
): Promise<number> {
  const [first, ...rest] = rows;
  const left = [...rest];
  const passes: Passes = {
    begin: () => Promise.reject(new Error('expected no new text')),
    feed: () => Promise.reject(new Error('expected a chain, got levels')),
    async push() {
      const row = left.shift();
      return row === undefined ? null : passOf(row);
    },
    dispose() {},
  };
  const request: DraftRequest = {
    tokens: [0],
    maxTokens: 9,
    maxDepth: 9,
    // Sharper than it is: the temperature of the text has no say.
    law: () => probs([1, 0, 0, 0]),
    draw: () => [pointDraw(token)],
  };
  const { tokens } = await growChain(passes, request, passOf(first), { least });
  return tokens.length;
}

describe('a chain with a least probability', () => {
  it('drafts the tokens that vector Y is sure enough of', async () => {
    for (const row of vectors.Y.entropy_rules) {
      expect(Math.max(...row.q)).toBe(row.max_q);
      // 0.4 itself is enough, whatever rounding makes of it.
      expect(await drafted([row.q], 0.4 - 1e-6)).toBe(row['confidence_stop(0.4)'] ? 0 : 1);
    }
  });

  it('goes on where rules of others, by entropy, have stopped', async () => {
    for (const row of vectors.Y.entropy_rules) {
      const entropy = row.q.reduce((sum, mass) => sum - mass * Math.log(mass), 0);
      expect(entropy).toBeCloseTo(row.entropy_nats, 6);
      // AdaEDL (Agrawal et al., 2024) bounds the acceptance, SVIP (Zhang et al., 2024) takes the root.
      const bound = 1 - Math.sqrt(0.2 * entropy);
      expect(bound).toBeCloseTo(row['adaedl_bound(gamma=0.2)'], 5);
      expect(bound < 0.6).toBe(row['adaedl_stop(lambda=0.6)']);
      expect(Math.sqrt(entropy)).toBeCloseTo(row.svip_sqrt_entropy, 6);
      expect(Math.sqrt(entropy) > 0.8).toBe(row['svip_stop(h=0.8)']);
      if (!row['svip_stop(h=0.8)']) expect(await drafted([row.q], 0.4 - 1e-6)).toBe(1);
    }
  });

  it('ends before the path of the most probable tokens falls below', async () => {
    const row = [0.5, 0.3, 0.1, 0.1];
    const rows = [row, row, row, row];
    expect(await drafted(rows, 0)).toBe(4);
    expect(await drafted(rows, 0.51)).toBe(0);
    expect(await drafted(rows, 0.26)).toBe(1);
    expect(await drafted(rows, 0.24)).toBe(2);
    expect(await drafted(rows, 0.12)).toBe(3);
  });

  it('goes on where its drafter is certain, however sure it has to be', async () => {
    expect(
      await drafted(
        [
          [1, 0, 0, 0],
          [0, 1, 0, 0],
          [0.9, 0.1, 0, 0],
        ],
        1,
      ),
    ).toBe(2);
  });

  it('does not ask how probable the drawn tokens were, which would change the law', async () => {
    const row = [0.5, 0.3, 0.1, 0.1];
    for (const token of [0, 1, 2, 3]) expect(await drafted([row, row, row], 0.24, token)).toBe(2);
  });

  it('is a chain, and its probability one', async () => {
    const { model } = await tinyTarget('llama');
    expect(() => draftModel(model, { minProbability: 0.4, branching: [2, 1] })).toThrow(
      'draftModel: minProbability: expected a chain with it, got branching',
    );
    expect(() =>
      draftModel(model, { minProbability: 0.4, best: { ladder: model.ladder } }),
    ).toThrow('draftModel: minProbability: expected a chain with it, got best');
    for (const minProbability of [-0.1, 1.1, Number.NaN])
      expect(() => draftModel(model, { minProbability })).toThrow(
        `draftModel: minProbability: expected a probability from 0 to 1, got ${minProbability}`,
      );
    draftModel(model, { minProbability: 0.4, branching: [1, 1] }).dispose?.();
    model.dispose();
  });
});
