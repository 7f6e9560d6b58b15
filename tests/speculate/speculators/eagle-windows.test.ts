// EAGLE heads whose layers see a window of the text, against the second implementation on every kind of backend: as chains, as trees and in
// one pass, with texts longer than the window, and layers with and without one.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import { none } from '../../../src/speculate/drafters/none.ts';
import { generate } from '../../../src/speculate/generate.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import { openFolder } from '../../../src/tensor/source.ts';
import { BACKENDS } from '../../models/fixtures.ts';
import { spelled } from '../fixtures.ts';
import {
  draftOf,
  expectLogits,
  headWith,
  MASK,
  PROMPT,
  passesAlong,
  peagleHead,
  SHAPE,
  slidingEagle3,
  slidingLayers,
  targetStates,
} from './eagle-heads.ts';
import { eagle3Passes, eaglePasses } from './eagle-passes.ts';
import { fuseStates, mathOf, readTensors } from './float64.ts';
import { TARGET } from './research.ts';
import { targetOn } from './target.ts';

const TEXT = [...PROMPT, 20];
/** Per layer, 0 for none. */
const SHORTER = [[4], [1], [5, 0], [0, 3]].map((windows) => ({ windows }));

describe.each(BACKENDS)('EAGLE heads with windows on $name', ({ open }) => {
  const verifier = targetOn(open, 64);

  it.each([...SHORTER, { windows: [40] }])(
    'EAGLE-3 drafts chains and trees as the second implementation does: windows $windows',
    async ({ windows }) => {
      const source = await slidingEagle3(windows);
      using speculator = await Speculator.fromPretrained(source, { verifier: verifier() });
      const tensors = await readTensors(source);
      const hidden = await targetStates(verifier(), speculator.head!, PROMPT);
      const pairs = hidden.map((states, i) => ({
        token: TEXT[i + 1],
        state: fuseStates(tensors, [...states]),
      }));
      for (const shape of [{}, { branching: [2, 2, 1] }]) {
        const { laws } = await draftOf(speculator, TEXT, hidden, shape);
        expect(laws.length).toBeGreaterThanOrEqual(4);
        for (const { path, logits } of laws) {
          const passed = passesAlong(pairs, path, (all) =>
            eagle3Passes(tensors, all, windows, SHAPE),
          );
          expectLogits(logits, passed.logits, speculator.head!.targetIds);
        }
      }
    },
  );

  it.each(SHORTER)(
    'P-EAGLE drafts in one pass as it does: windows $windows',
    async ({ windows }) => {
      const source = await peagleHead(windows);
      using speculator = await Speculator.fromPretrained(source, { verifier: verifier() });
      const tensors = await readTensors(source);
      const hidden = await targetStates(verifier(), speculator.head!, PROMPT);
      const mask = fuseStates(tensors, tensors.get('mask_hidden')!.data);
      const pairs = [
        ...hidden.map((states, i) => ({
          token: TEXT[i + 1],
          state: fuseStates(tensors, [...states]),
        })),
        ...[0, 0, 0].map(() => ({ token: MASK, state: mask })),
      ];
      const expected = eagle3Passes(tensors, pairs, windows, SHAPE).slice(-4);
      const { laws } = await draftOf(speculator, TEXT, hidden);
      expect(laws).toHaveLength(4);
      for (const [place, { logits }] of laws.entries())
        expectLogits(logits, expected[place].logits, speculator.head!.targetIds);
    },
  );

  it('EAGLE-1 drafts chains as it does', async () => {
    const source = await headWith('eagle1', { layer: slidingLayers([4]) });
    using speculator = await Speculator.fromPretrained(source, { verifier: verifier() });
    const target = await openFolder(TARGET);
    const tensors = new Map([...(await readTensors(target)), ...(await readTensors(source))]);
    await target.close();
    const { norm } = mathOf(tensors, SHAPE);
    const hidden = await targetStates(verifier(), speculator.head!, PROMPT);
    const pairs = hidden.map((state, i) => ({
      token: TEXT[i + 1],
      state: norm([...state], 'model.norm.weight'),
    }));
    const { laws } = await draftOf(speculator, TEXT, hidden);
    expect(laws).toHaveLength(4);
    for (const { path, logits } of laws) {
      const passed = passesAlong(pairs, path, (all) =>
        eaglePasses(tensors, all, { ...SHAPE, window: 4 }),
      );
      expectLogits(logits, passed.logits, null);
    }
  });

  it.each([0, 0.9])(
    'leave the text of the target as it is, far beyond the window, at temperature %d',
    async (temperature) => {
      const heads = [
        { source: await slidingEagle3([3, 0]), shape: { branching: [2, 2] } },
        { source: await peagleHead([2]), shape: {} },
        { source: await headWith('eagle1', { layer: slidingLayers([4]) }), shape: {} },
      ];
      const target = { model: verifier(), tokenizer: spelled };
      const options = { maxTokens: 12, ignoreEos: true, temperature, seed: 2, draftLength: 5 };
      const plain = await generate(target, PROMPT, { ...options, drafter: none() });
      for (const { source, shape } of heads) {
        using speculator = await Speculator.fromPretrained(source, { verifier: verifier() });
        const drafter = speculator.drafter(shape);
        const drafted = await generate(target, PROMPT, { ...options, drafter });
        expect(drafted.tokens).toEqual(plain.tokens);
        expect(drafted.stats.draftedTokens).toBeGreaterThan(10);
        drafter.dispose?.();
      }
    },
  );
});

describe('the windows of Llama layers of a head', () => {
  let verifier: Decoder;
  beforeAll(async () => {
    verifier = await loadModel(TARGET, { contextLength: 64 });
  });
  afterAll(() => verifier.dispose());
  const windowsOf = async (layer: object) => {
    const source = await headWith('eagle3', { layer: layer as Record<string, unknown> });
    using speculator = await Speculator.fromPretrained(source, { verifier });
    return speculator.model!.config.windows;
  };

  it('are those of layer_types alone', async () => {
    const layer_types = ['sliding_attention'];
    expect(await windowsOf({ layer_types, sliding_window: 7 })).toEqual([7]);
    expect(await windowsOf({ layer_types, sliding_window: 7, use_sliding_window: false })).toEqual([
      7,
    ]);
    expect(await windowsOf({ sliding_window: 7, use_sliding_window: true })).toEqual([0]);
    expect(await windowsOf({ layer_types: ['full_attention'], sliding_window: 7 })).toEqual([0]);
  });

  it.each([
    [{ layer_types: ['sliding_attention'], sliding_window: null }, 'sliding_window'],
    [{ layer_types: ['sliding_attention'] }, 'sliding_window'],
    [{ layer_types: ['sliding_attention'], sliding_window: 0 }, 'sliding_window'],
    [
      { layer_types: ['chunked_attention'], sliding_window: 7 },
      'layer_types[0]: expected "full_attention", got "chunked_attention"',
    ],
    [
      {
        num_hidden_layers: 2,
        layer_types: ['sliding_attention', 'chunked_attention'],
        sliding_window: 7,
      },
      'layer_types[1]: expected "full_attention" or "sliding_attention", got "chunked_attention"',
    ],
    [
      { layer_types: ['sliding_attention', 'full_attention'], sliding_window: 7 },
      'layer_types: expected 1 entries, got 2',
    ],
  ])('are refused where they cannot be: %o', async (layer, message) => {
    await expect(windowsOf(layer)).rejects.toThrow(message);
  });
});
