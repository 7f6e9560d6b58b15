// DFlash and DSpark against a second implementation in float64: a block whose places see the states before it and each other, and
// steps from place to place.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { wasm } from '../../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import type { DraftRequest } from '../../../src/speculate/drafter.ts';
import { none } from '../../../src/speculate/drafters/none.ts';
import { pointDraw } from '../../../src/speculate/drawn.ts';
import { generate } from '../../../src/speculate/generate.ts';
import { argmax } from '../../../src/speculate/sample.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import type { FolderSource } from '../../../src/tensor/source.ts';
import { spelled } from '../fixtures.ts';
import {
  BLOCK,
  MASK,
  makeHead,
  makeSpark,
  PROMPT,
  SHAPE,
  statesOf,
  TARGET,
} from './dflash-head.ts';
import { dflashPasses, dsparkChain, fuseNormed, readTensors } from './float64.ts';

describe('DFlash', () => {
  let verifier: Decoder;
  beforeAll(async () => {
    verifier = await loadModel(TARGET, { backend: wasm({ threads: 1 }), contextLength: 96 });
  });
  afterAll(() => verifier.dispose());

  it.each([false, true])(
    'fills its block as the second implementation does, in a second round too (from the anchor: %s)',
    async (fromAnchor) => {
      const source = makeHead({ sample_from_anchor: fromAnchor });
      using speculator = await Speculator.fromPretrained(source, { verifier });
      const drafter = speculator.drafter();
      const tensors = await readTensors(source);
      const text = [...PROMPT, 40, 12, 7];
      const states = await statesOf(verifier, text);
      let seen = 0;
      // A second round has only the states that are new; those before are in the cache.
      for (const length of [PROMPT.length + 1, text.length]) {
        const found: Float32Array[] = [];
        const request: DraftRequest = {
          tokens: text.slice(0, length),
          hidden: states.slice(seen, length - 1),
          maxTokens: 16,
          maxDepth: 16,
          law(row) {
            found.push(row);
            return { point: argmax(row) };
          },
          draw: () => [pointDraw(0)],
        };
        seen = length - 1;
        const draft = await drafter.draft(request);
        const expected = dflashPasses(
          tensors,
          {
            states: states
              .slice(0, length - 1)
              .map((state) => fuseNormed(tensors, [...state], SHAPE)),
            tokens: [text[length - 1], ...Array.from({ length: BLOCK - 1 }, () => MASK)],
            windows: [0, 0],
          },
          SHAPE,
        ).slice(fromAnchor ? 0 : 1);
        expect(draft.tokens).toHaveLength(expected.length);
        for (const [place, { logits }] of expected.entries())
          for (const [token, value] of logits.entries())
            expect(Math.abs(found[place][token] - value)).toBeLessThan(1e-4);
      }
      drafter.dispose?.();
    },
  );

  describe.each(['vanilla', 'gated', 'rnn'] as const)('and DSpark, %s', (type) => {
    it.each([true, false])(
      'takes the steps of the second implementation (from the anchor: %s), and stops where its confidence ends',
      async (fromAnchor) => {
        const source = makeSpark(type, { sample_from_anchor: fromAnchor });
        using speculator = await Speculator.fromPretrained(source, { verifier });
        const tensors = await readTensors(source);
        const text = [...PROMPT, 40];
        const states = await statesOf(verifier, text);
        const places = dflashPasses(
          tensors,
          {
            states: states.slice(0, -1).map((state) => fuseNormed(tensors, [...state], SHAPE)),
            tokens: [40, ...Array.from({ length: BLOCK - 1 }, () => MASK)],
            windows: [0, 0],
          },
          SHAPE,
        );
        const silent = fromAnchor ? 0 : 1;
        const expected = dsparkChain(tensors, places, { anchor: 40, type, silent });
        expect(expected).toHaveLength(BLOCK - silent);
        const request = (found: Float32Array[]): DraftRequest => ({
          tokens: text,
          hidden: states.slice(0, -1),
          maxTokens: 16,
          maxDepth: 16,
          law(row) {
            found.push(row);
            return { point: argmax(row) };
          },
          draw: (law) => [pointDraw((law as { point: number }).point)],
        });
        const found: Float32Array[] = [];
        const drafter = speculator.drafter();
        const draft = await drafter.draft(request(found));
        drafter.dispose?.();
        expect(draft.tokens.map(({ token }) => token)).toEqual(expected.map(({ token }) => token));
        for (const [place, { logits }] of expected.entries())
          for (const [token, value] of logits.entries())
            expect(Math.abs(found[place][token] - value)).toBeLessThan(1e-4);

        // Stops before the place at which the product of confidences falls below.
        const products = expected.map((_, place) =>
          expected.slice(0, place + 1).reduce((product, { confidence }) => product * confidence, 1),
        );
        for (const stop of [1, 2, 3]) {
          const least = (products[stop - 1] + products[stop]) / 2;
          const careful = speculator.drafter({ confidence: least });
          expect((await careful.draft(request([]))).tokens).toHaveLength(stop);
          careful.dispose?.();
        }
      },
    );

    it('leaves the text of the target as it is', async () => {
      using speculator = await Speculator.fromPretrained(makeSpark(type), { verifier });
      const target = { model: verifier, tokenizer: spelled };
      const options = { maxTokens: 40, ignoreEos: true, temperature: 0.9, seed: 3 };
      const plain = await generate(target, PROMPT, { ...options, drafter: none() });
      const drafted = await generate(target, PROMPT, { ...options, ...speculator.proposal() });
      expect(drafted.tokens).toEqual(plain.tokens);
      expect(drafted.stats.draftedTokens).toBeGreaterThan(40);
    });
  });

  it('leaves the text of the target as it is, up to the end of its context', async () => {
    using speculator = await Speculator.fromPretrained(makeHead(), { verifier });
    const target = { model: verifier, tokenizer: spelled };
    for (const temperature of [0, 0.9]) {
      const options = { maxTokens: 200, ignoreEos: true, temperature, seed: 2 };
      const plain = await generate(target, PROMPT, { ...options, drafter: none() });
      const drafted = await generate(target, PROMPT, { ...options, ...speculator.proposal() });
      expect(drafted.tokens).toEqual(plain.tokens);
      expect(drafted.tokens).toHaveLength(96 - PROMPT.length);
      expect(drafted.stats.draftedTokens).toBeGreaterThan(40);
    }
  });

  it.each([1, 4, 6, 14])(
    'gives the same block however few rows a run takes: %i',
    async (maxRows) => {
      const text = [...PROMPT, ...PROMPT, 40];
      const small = await loadModel(TARGET, {
        backend: verifier.backend,
        contextLength: 96,
        maxRows,
      });
      const draftOn = async (target: Decoder) => {
        using speculator = await Speculator.fromPretrained(makeHead(), { verifier: target });
        const rows: Float32Array[] = [];
        const drafter = speculator.drafter();
        await drafter.draft({
          tokens: text,
          hidden: (await statesOf(verifier, text)).slice(0, -1),
          maxTokens: 16,
          maxDepth: 16,
          law(row) {
            rows.push(row);
            return { point: 0 };
          },
          draw: () => [pointDraw(0)],
        });
        drafter.dispose?.();
        return rows;
      };
      const rows = await draftOn(small);
      expect(rows).toHaveLength(BLOCK - 1);
      expect(rows).toEqual(await draftOn(verifier));
      small.dispose();
    },
  );

  it('says what it needs and what it does not do', async () => {
    const load = (source: FolderSource) => Speculator.fromPretrained(source, { verifier });
    await expect(load(makeHead({ mask_token_id: null }))).rejects.toThrow(
      'dflash: mask_token_id: expected a token below 64, got null',
    );
    await expect(load(makeHead({ aux_hidden_state_layer_ids: null }))).rejects.toThrow(
      /aux_hidden/,
    );
  });

  it('refuses to stop by a confidence that the head does not say', async () => {
    const silent = {
      speculators_model_type: 'dspark',
      markov_rank: 6,
      enable_confidence_head: false,
    };
    const source = makeHead(silent, {}, [
      ['markov_head.markov_w1.weight', [64, 6]],
      ['markov_head.markov_w2.weight', [64, 6]],
    ]);
    using speculator = await Speculator.fromPretrained(source, { verifier });
    expect(() => speculator.drafter({ confidence: 0.5 })).toThrow(
      'confidence: expected a chain of a head that says how probable its drafts are, got dspark',
    );
  });
});
