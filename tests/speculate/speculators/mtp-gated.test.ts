// Multi-token prediction with layers of Qwen3-Next and Qwen3.5 against transformers and a second implementation in float64: gated
// attention, heads of which a part turns, experts.
import { describe, it } from 'vitest';
import { wasm } from '../../../src/kernels/wasm/index.ts';
import { BACKENDS, expectPlainText, expectSameBits } from './chains.ts';
import { type GatedShape, gatedPasses } from './gated-head.ts';
import { headOf, KINDS } from './gated-kinds.ts';
import { expectGolden, expectGoldenSecond, expectSecond } from './mtp-layers.ts';
import { golden } from './research.ts';
import { targetOn } from './target.ts';

const GOLDEN: readonly [string, GatedShape][] = [
  [
    'mtp-qwen3-next',
    {
      ...{ heads: 2, kvHeads: 1, headDim: 16, turning: 4, theta: 1e7, eps: 1e-6 },
      routing: { perRow: 2, normalised: true },
    },
  ],
  ['mtp-qwen3-5', { heads: 2, kvHeads: 1, headDim: 8, turning: 4, theta: 1e6, eps: 1e-6 }],
];

describe.each(BACKENDS)('gated layers on %s', (_, make) => {
  const verifier = targetOn(make, 96);

  it.each(GOLDEN)('give the logits and states of transformers: %s', (name) =>
    expectGolden(verifier(), golden(`heads/${name}`)),
  );

  it.each(Object.entries(KINDS))('give those of the second implementation: %s', (_, kind) =>
    expectSecond(verifier(), headOf(kind), { passes: gatedPasses, shape: kind.shape }),
  );

  it.each(['Qwen3.5', 'Qwen3-Next'])('give a row the same bits in any company: %s', (name) =>
    expectSameBits(verifier(), headOf(KINDS[name])),
  );
});

describe('heads with gated layers', () => {
  const verifier = targetOn(() => wasm({ threads: 1 }), 96);

  it.each(GOLDEN)('have a second implementation that is right: %s', (name, shape) =>
    expectGoldenSecond(verifier(), golden(`heads/${name}`), { passes: gatedPasses, shape }),
  );

  it.each(Object.keys(KINDS))('leave the text of the target as it is: %s', (name) =>
    expectPlainText(verifier(), headOf(KINDS[name])),
  );
});
