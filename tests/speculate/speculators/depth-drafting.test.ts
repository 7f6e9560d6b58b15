// Text with heads without attention: what the target says alone, in every shape, whatever the heads guess.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { wasm } from '../../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import type { DraftHeadOptions } from '../../../src/speculate/drafters/head.ts';
import { none } from '../../../src/speculate/drafters/none.ts';
import { generate } from '../../../src/speculate/generate.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import { rejection } from '../../../src/speculate/verifiers/rejection.ts';
import { spelled } from '../fixtures.ts';
import { PROMPT, TARGET } from './depth-heads.ts';
import * as medusa from './medusa-head.ts';
import * as mlp from './mlp-head.ts';

const SHAPES: readonly DraftHeadOptions[] = [
  { branching: [1] },
  { branching: [3, 2, 1] },
  { dynamic: { expansion: 3, levels: 3, tokens: 6 } },
  { paths: { expansion: [4, 2, 2], kept: 3 } },
];
const SEEDS = Array.from({ length: 50 }, (_, each) => each + 1);
const HEADS = [
  { name: 'an MLP speculator', open: () => mlp.makeHead(mlp.IBM) },
  { name: 'Medusa heads', open: () => medusa.makeHead(medusa.PLAIN) },
  {
    name: 'Medusa heads over some tokens',
    open: () => medusa.makeHead({ ...medusa.PLAIN, truncated: true }),
  },
];

describe.each(HEADS)('$name', ({ open }) => {
  let verifier: Decoder;
  let speculator: Speculator;
  beforeAll(async () => {
    verifier = await loadModel(TARGET, { backend: wasm({ threads: 1 }), contextLength: 96 });
    speculator = await Speculator.fromPretrained(open(), { verifier });
  });
  afterAll(() => {
    speculator.dispose();
    verifier.dispose();
  });

  it.each(SHAPES)(
    'leaves the text of the target as it is, greedy and of 50 seeds: %j',
    async (shape) => {
      const target = { model: verifier, tokenizer: spelled };
      const drafter = speculator.drafter(shape);
      let drafted = 0;
      let accepted = 0;
      for (const seed of [0, ...SEEDS]) {
        const options = { maxTokens: 12, ignoreEos: true, temperature: seed === 0 ? 0 : 0.9, seed };
        const plain = await generate(target, PROMPT, { ...options, drafter: none() });
        const { tokens, stats } = await generate(target, PROMPT, {
          ...options,
          drafter,
          draftLength: 6,
        });
        expect(tokens, `seed ${seed}`).toEqual(plain.tokens);
        drafted += stats.draftedTokens;
        accepted += stats.acceptedTokens;
      }
      expect(drafted).toBeGreaterThan(500);
      expect(accepted).toBeGreaterThan(0);
      drafter.dispose?.();
    },
  );

  it.each(SHAPES)('drafts for the verifier rejection, too: %j', async (shape) => {
    const drafter = speculator.drafter(shape);
    let accepted = 0;
    for (const seed of SEEDS.slice(0, 20)) {
      const { tokens, stats } = await generate({ model: verifier, tokenizer: spelled }, PROMPT, {
        maxTokens: 32,
        ignoreEos: true,
        temperature: 1.2,
        seed,
        drafter,
        draftLength: 6,
        verifier: rejection,
      });
      expect(tokens).toHaveLength(32);
      accepted += stats.acceptedTokens;
    }
    expect(accepted).toBeGreaterThan(0);
    drafter.dispose?.();
  });
});
