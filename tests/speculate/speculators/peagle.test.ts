// P-EAGLE against a second implementation in float64: a chain of masked places after the real pairs, in one pass.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { wasm } from '../../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import type { Draft, Drafter } from '../../../src/speculate/drafter.ts';
import { none } from '../../../src/speculate/drafters/none.ts';
import { generate } from '../../../src/speculate/generate.ts';
import { argmax } from '../../../src/speculate/sample.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import { spelled } from '../fixtures.ts';
import { MASK, peagleHead, SHAPE } from './eagle-heads.ts';
import { eagle3Passes } from './eagle-passes.ts';
import { fuseStates, readTensors } from './float64.ts';

const golden = (path: string) => fileURLToPath(new URL(`../../golden/${path}`, import.meta.url));

describe('P-EAGLE', () => {
  let verifier: Decoder;
  beforeAll(async () => {
    const backend = wasm({ threads: 1 });
    verifier = await loadModel(golden('tiny-random-llama-8l'), { backend, contextLength: 96 });
  });
  afterAll(() => verifier.dispose());

  const prompt: readonly number[] = JSON.parse(
    readFileSync(golden('heads/eagle3/golden.json'), 'utf8'),
  ).prompt_ids;

  it('drafts from every place what the second implementation does, in one pass', async () => {
    const source = await peagleHead();
    using speculator = await Speculator.fromPretrained(source, { verifier });
    const head = speculator.head!;
    const cache = verifier.createCache({ taps: head.taps });
    const { hidden, logits } = await verifier.forward(cache, [
      { sequence: cache.sequence(), tokens: prompt, keep: prompt.map((_, row) => row) },
    ]);
    cache.dispose();
    const text = [...prompt, argmax(logits.at(-1)!)];

    const tensors = await readTensors(source);
    const mask = fuseStates(tensors, tensors.get('mask_hidden')!.data);
    const pairs = [
      ...hidden.map((states, i) => ({
        token: text[i + 1],
        state: fuseStates(tensors, [...states]),
      })),
      ...Array.from({ length: 3 }, () => ({ token: MASK, state: mask })),
    ];
    const expected = eagle3Passes(tensors, pairs, [0], SHAPE).slice(-4);

    const found: Float32Array[] = [];
    const drafter = speculator.drafter();
    let passes = 0;
    const { forward } = head.model!;
    Object.assign(head.model!, {
      forward: (...args: Parameters<typeof forward>) => {
        passes += 1;
        return forward(...args);
      },
    });
    await drafter.draft({
      tokens: text,
      hidden,
      maxTokens: 4,
      maxDepth: 4,
      law(row) {
        found.push(row);
        return { point: argmax(row) };
      },
      draw: () => [{ token: 0, law: { point: 0 } } as never],
    });
    expect(passes).toBe(1);
    expect(found).toHaveLength(4);
    for (const [place, { logits: row }] of expected.entries()) {
      for (const [token, value] of row.entries()) {
        const id = head.targetIds![token];
        expect(Math.abs(found[place][id] - value)).toBeLessThan(1e-4);
      }
      expect([...found[place]].filter(Number.isFinite)).toHaveLength(row.length);
    }
    drafter.dispose?.();
  });

  it('leaves the text of the target as it is', async () => {
    using speculator = await Speculator.fromPretrained(await peagleHead(), { verifier });
    const target = { model: verifier, tokenizer: spelled };
    for (const temperature of [0, 0.9])
      for (const seed of [1, 2, 3]) {
        const options = { maxTokens: 24, ignoreEos: true, temperature, seed };
        const plain = await generate(target, prompt, { ...options, drafter: none() });
        const { proposal } = speculator;
        const { tokens, stats } = await generate(target, prompt, { ...options, ...proposal() });
        expect(tokens).toEqual(plain.tokens);
        expect(stats.draftedTokens).toBeGreaterThan(20);
      }
  });

  it('needs a token for its mask', async () => {
    const without = await peagleHead([0], { mask_token_id: undefined });
    await expect(Speculator.fromPretrained(without, { verifier })).rejects.toThrow(
      'peagle: mask_token_id: expected a token below 64, got undefined',
    );
  });

  it('ranks the same tokens below every node of a level, since no place sees what was drawn', async () => {
    using speculator = await Speculator.fromPretrained(await peagleHead(), { verifier });
    const roundsOf = async (drafter: Drafter) => {
      const drafts: Draft[] = [];
      await generate({ model: verifier, tokenizer: spelled }, [1, 5, 9], {
        drafter,
        draftLength: 6,
        maxTokens: 8,
        ignoreEos: true,
        onRound: ({ draft }) => drafts.push(draft),
      });
      drafter.dispose?.();
      return drafts.find(({ tokens }) => tokens.length > 0)!;
    };
    const chain = await roundsOf(speculator.drafter());
    const { tokens, parents } = await roundsOf(speculator.drafter({ branching: [2, 2] }));
    expect(parents).toEqual([-1, -1, 0, 0, 1, 1]);
    const ids = tokens.map(({ token }) => token);
    expect(ids.slice(2, 4)).toEqual(ids.slice(4, 6));
    expect([ids[0], ids[2]]).toEqual(chain.tokens.slice(0, 2).map(({ token }) => token));
    expect(() => speculator.drafter({ confidence: 0.5 })).toThrow(
      'confidence: expected a chain of a head that says how probable its drafts are, got peagle',
    );
  });
});
