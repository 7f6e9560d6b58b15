// DFlash with layers that see a window of the text, against the second implementation on every kind of backend: texts shorter and
// longer than the window, layers with and without one, places that see those up to their own and all.
import { describe, expect, it } from 'vitest';
import { none } from '../../../src/speculate/drafters/none.ts';
import { pointDraw } from '../../../src/speculate/drawn.ts';
import { generate } from '../../../src/speculate/generate.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import { BACKENDS } from '../../models/fixtures.ts';
import { spelled } from '../fixtures.ts';
import { BLOCK, MASK, makeHead, makeSpark, PROMPT, SHAPE, statesOf } from './dflash-head.ts';
import { dflashPasses, fuseNormed, readTensors } from './float64.ts';
import { targetOn } from './target.ts';

const TEXT = [...PROMPT, 40, 12, 7, 33, 9, 61, 20];

/** Which layers have a window, as the fields of a config say it, and as numbers. */
const LAYERINGS = [
  { windows: [4, 4], types: ['sliding_attention', 'sliding_attention'] },
  { windows: [0, 3], types: ['full_attention', 'sliding_attention'] },
  { windows: [1, 0], types: ['sliding_attention', 'full_attention'] },
  { windows: [60, 60], types: ['sliding_attention', 'sliding_attention'] },
];
const layerOf = ({ windows, types }: (typeof LAYERINGS)[number]) => ({
  use_sliding_window: true,
  sliding_window: Math.max(...windows),
  layer_types: types,
});
const [ALL, MIXED] = LAYERINGS;

describe.each(BACKENDS)('DFlash with windows on $name', ({ open }) => {
  const verifier = targetOn(open, 64);

  it.each(
    LAYERINGS.flatMap((layering) => [
      { ...layering, nonCausal: false },
      { ...layering, nonCausal: true },
    ]),
  )(
    'fills its block as the second implementation does: windows $windows, not causal: $nonCausal',
    async ({ nonCausal, ...layering }) => {
      const source = makeHead(
        { sliding_window_non_causal: nonCausal, sample_from_anchor: true },
        layerOf(layering),
      );
      using speculator = await Speculator.fromPretrained(source, { verifier: verifier() });
      const drafter = speculator.drafter();
      const tensors = await readTensors(source);
      const states = await statesOf(verifier(), TEXT);
      let seen = 0;
      for (const length of [3, PROMPT.length + 1, TEXT.length]) {
        const found: Float32Array[] = [];
        await drafter.draft({
          tokens: TEXT.slice(0, length),
          hidden: states.slice(seen, length - 1),
          maxTokens: 16,
          maxDepth: 16,
          law(row) {
            found.push(row);
            return { point: 0 };
          },
          draw: () => [pointDraw(0)],
        });
        seen = length - 1;
        const expected = dflashPasses(
          tensors,
          {
            states: states
              .slice(0, length - 1)
              .map((state) => fuseNormed(tensors, [...state], SHAPE)),
            tokens: [TEXT[length - 1], ...Array.from({ length: BLOCK - 1 }, () => MASK)],
            windows: layering.windows,
            nonCausal,
          },
          SHAPE,
        );
        expect(found).toHaveLength(BLOCK);
        const errors = expected.flatMap(({ logits }, place) =>
          logits.map((value, token) => Math.abs(found[place][token] - value)),
        );
        expect(Math.max(...errors)).toBeLessThan(1e-4);
      }
      drafter.dispose?.();
    },
  );

  it('gives a block the same bits alone and beside others, in any slots', async () => {
    using speculator = await Speculator.fromPretrained(makeHead({}, layerOf(MIXED)), {
      verifier: verifier(),
    });
    const model = speculator.model!;
    const width = model.config.width;
    const told = (at: number, place: number) =>
      Float32Array.from({ length: width + 1 }, (_, i) =>
        i === width ? place : (1 - place) * Math.sin(at * 31 + i),
      );
    const segmentsOf = (texts: readonly (readonly number[])[]) => {
      const cache = model.createCache();
      return {
        cache,
        segments: texts.map((tokens) => ({
          sequence: cache.sequence(),
          tokens,
          draft: { tokens: [40, MASK, MASK], mutual: true },
          states: [...tokens.map((token) => told(token, 0)), ...[0, 0, 0].map(() => told(0, 1))],
          keep: [tokens.length, tokens.length + 1, tokens.length + 2],
        })),
      };
    };
    const run = async (texts: readonly (readonly number[])[]) => {
      const { cache, segments } = segmentsOf(texts);
      const { logits } = await model.forward(cache, segments);
      cache.dispose();
      return logits;
    };
    const [first, second] = [TEXT.slice(0, 6), TEXT.slice(4, 6)];
    const alone = [...(await run([first])), ...(await run([second]))];
    expect(await run([first, second])).toEqual(alone);
    expect(await run([second, first])).toEqual([...alone.slice(3), ...alone.slice(0, 3)]);
    // The text in calls before, its block in one of its own.
    const { cache, segments } = segmentsOf([first]);
    const [{ sequence, draft, states }] = segments;
    for (const [at, token] of first.entries())
      await model.forward(cache, [{ sequence, tokens: [token], states: [states[at]] }]);
    const apart = { sequence, tokens: [], draft, states: states.slice(first.length) };
    expect((await model.forward(cache, [apart])).logits).toEqual(alone.slice(0, 3));
    cache.dispose();
  });

  it.each([0, 0.9])(
    'leaves the text of the target as it is, far beyond the window, at temperature %d',
    async (temperature) => {
      for (const source of [
        makeHead({ sliding_window_non_causal: true }, layerOf(MIXED)),
        makeSpark('gated', {}, layerOf(ALL)),
      ]) {
        using speculator = await Speculator.fromPretrained(source, { verifier: verifier() });
        const target = { model: verifier(), tokenizer: spelled };
        const options = { maxTokens: 24, ignoreEos: true, temperature, seed: 2 };
        const plain = await generate(target, PROMPT, { ...options, drafter: none() });
        const drafted = await generate(target, PROMPT, { ...options, ...speculator.proposal() });
        expect(drafted.tokens).toEqual(plain.tokens);
        expect(drafted.stats.draftedTokens).toBeGreaterThan(20);
      }
    },
  );
});
