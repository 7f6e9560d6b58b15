// Multi-token prediction with layers of DeepSeek-V3 against transformers and a second implementation in float64: latent attention,
// experts in groups.
import { describe, it } from 'vitest';
import { wasm } from '../../../src/kernels/wasm/index.ts';
import { BACKENDS, expectPlainText, expectSameBits } from './chains.ts';
import { type LatentShape, latentPasses } from './latent-head.ts';
import { headOf, KINDS } from './latent-kinds.ts';
import { expectGolden, expectGoldenSecond, expectSecond } from './mtp-layers.ts';
import { golden } from './research.ts';
import { targetOn } from './target.ts';

const GOLDEN = golden('heads/mtp-deepseek-v3');
const mscale = (by: number) => 0.1 * by * Math.log(4) + 1;
/** Of its four pairs the first keeps its angle, the others turn less than once in the 32 positions that YaRN stretches. */
const GOLDEN_SHAPE: LatentShape = {
  ...{ heads: 2, still: 8, turning: 8, value: 6, rank: 10, eps: 1e-3, isInterleaved: true },
  angles: [1, 0.1 / 4, 0.01 / 4, 0.001 / 4],
  stretch: mscale(0.7) / mscale(0.9),
  scale: mscale(0.9) ** 2,
  routing: { perRow: 3, groups: 4, kept: 2, normalised: true, factor: 2.5 },
};

describe.each(BACKENDS)('latent layers on %s', (_, make) => {
  const verifier = targetOn(make, 96);

  it('give the logits and states of transformers', () => expectGolden(verifier(), GOLDEN));

  it.each(Object.entries(KINDS))('give those of the second implementation: %s', (_, kind) =>
    expectSecond(verifier(), headOf(kind), { passes: latentPasses, shape: kind.shape }),
  );

  it('give a row the same bits in any company', () =>
    expectSameBits(verifier(), headOf(KINDS['DeepSeek-V3'])));
});

describe('heads with latent layers', () => {
  const verifier = targetOn(() => wasm({ threads: 1 }), 96);

  it('have a second implementation that is right', () =>
    expectGoldenSecond(verifier(), GOLDEN, { passes: latentPasses, shape: GOLDEN_SHAPE }));

  it.each(Object.keys(KINDS))('leave the text of the target as it is: %s', (name) =>
    expectPlainText(verifier(), headOf(KINDS[name])),
  );
});
