// Multi-token prediction with layers of Qwen3-Next and Qwen3.5 against transformers and a second implementation in float64: gated
// attention, heads of which a part turns, experts.
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
import { type GatedShape, gatedPasses } from './gated-head.ts';
import { headOf, KINDS } from './gated-kinds.ts';
import { golden, TARGET } from './research.ts';

const passesOf =
  (shape: GatedShape): Parameters<typeof expectedChain>[1] =>
  (tensors, pairs, names) =>
    gatedPasses(tensors, pairs, shape, names);

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
  let verifier: Decoder;
  beforeAll(async () => {
    verifier = await loadModel(TARGET, { backend: await make(), contextLength: 96 });
  });
  afterAll(() => {
    verifier.dispose();
    verifier.backend.dispose();
  });

  it.each(GOLDEN)('give the logits and states of transformers: %s', async (name) => {
    const { prompt, steps } = JSON.parse(readFileSync(golden(`heads/${name}/golden.json`), 'utf8'));
    expect(prompt).toEqual(PROMPT);
    using speculator = await Speculator.fromPretrained(golden(`heads/${name}`), { verifier });
    const found = await chain(verifier, speculator, steps.length);
    expectClose(found.steps, steps);
  });

  it.each(Object.entries(KINDS))('give those of the second implementation: %s', async (_, kind) => {
    const source = headOf(kind);
    using speculator = await Speculator.fromPretrained(source, { verifier });
    expect(speculator.notes).toEqual([]);
    const { pairs, steps } = await chain(verifier, speculator, 5);
    expectClose(steps, await expectedChain(source, passesOf(kind.shape), pairs, 5));
  });

  it.each(['Qwen3.5', 'Qwen3-Next'])('give a row the same bits in any company: %s', (name) =>
    expectSameBits(verifier, headOf(KINDS[name])),
  );
});

describe('heads with gated layers', () => {
  let verifier: Decoder;
  beforeAll(async () => {
    verifier = await loadModel(TARGET, { backend: wasm({ threads: 1 }), contextLength: 96 });
  });
  afterAll(() => verifier.dispose());

  it.each(GOLDEN)('have a second implementation that is right: %s', async (name, shape) => {
    const { steps } = JSON.parse(readFileSync(golden(`heads/${name}/golden.json`), 'utf8'));
    const source = await openFolder(golden(`heads/${name}`));
    using speculator = await Speculator.fromPretrained(source, { verifier });
    const { pairs } = await chain(verifier, speculator, 1);
    expectClose(await expectedChain(source, passesOf(shape), pairs, steps.length), steps);
    await source.close();
  });

  it.each(Object.keys(KINDS))('leave the text of the target as it is: %s', (name) =>
    expectPlainText(verifier, headOf(KINDS[name])),
  );
});
