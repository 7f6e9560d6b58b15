// Multi-token prediction with layers of DeepSeek-V3 against transformers and a second implementation in float64: latent attention,
// experts in groups.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { wasm } from '../../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import { openFolder } from '../../../src/tensor/source.ts';
import {
  BACKENDS,
  chain,
  expectClose,
  expectedChain,
  expectPlainText,
  expectSameBits,
  PROMPT,
} from './chains.ts';
import { type LatentShape, latentPasses } from './latent-head.ts';
import { headOf, KINDS } from './latent-kinds.ts';
import { golden, TARGET } from './research.ts';

const passesOf =
  (shape: LatentShape): Parameters<typeof expectedChain>[1] =>
  (tensors, pairs, names) =>
    latentPasses(tensors, pairs, shape, names);

const GOLDEN = golden('heads/mtp-deepseek-v3');
const { prompt, steps } = JSON.parse(readFileSync(`${GOLDEN}/golden.json`, 'utf8'));
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
  let verifier: Decoder;
  beforeAll(async () => {
    verifier = await loadModel(TARGET, { backend: await make(), contextLength: 96 });
  });
  afterAll(() => {
    verifier.dispose();
    verifier.backend.dispose();
  });

  it('give the logits and states of transformers', async () => {
    expect(prompt).toEqual(PROMPT);
    using speculator = await Speculator.fromPretrained(GOLDEN, { verifier });
    const found = await chain(verifier, speculator, steps.length);
    expectClose(found.steps, steps);
  });

  it.each(Object.entries(KINDS))('give those of the second implementation: %s', async (_, kind) => {
    const source = headOf(kind);
    using speculator = await Speculator.fromPretrained(source, { verifier });
    expect(speculator.notes).toEqual([]);
    const found = await chain(verifier, speculator, 5);
    expectClose(found.steps, await expectedChain(source, passesOf(kind.shape), found.pairs, 5));
  });

  it('give a row the same bits in any company', () =>
    expectSameBits(verifier, headOf(KINDS['DeepSeek-V3'])));
});

describe('heads with latent layers', () => {
  let verifier: Decoder;
  beforeAll(async () => {
    verifier = await loadModel(TARGET, { backend: wasm({ threads: 1 }), contextLength: 96 });
  });
  afterAll(() => verifier.dispose());

  it('have a second implementation that is right', async () => {
    const source = await openFolder(GOLDEN);
    using speculator = await Speculator.fromPretrained(source, { verifier });
    const { pairs } = await chain(verifier, speculator, 1);
    expectClose(await expectedChain(source, passesOf(GOLDEN_SHAPE), pairs, steps.length), steps);
    await source.close();
  });

  it.each(Object.keys(KINDS))('leave the text of the target as it is: %s', (name) =>
    expectPlainText(verifier, headOf(KINDS[name])),
  );
});
