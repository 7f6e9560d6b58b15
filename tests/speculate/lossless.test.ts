// Speculation changes nothing but the time: every drafter, length, tree, backend and dtype against a loop without cache
// and without speculation.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { randomHead } from '../../bench/heads.ts';
import { chiSquare } from '../../site/chi-square.ts';
import type { Backend } from '../../src/kernels/backend.ts';
import type { Decoder } from '../../src/models/decoder.ts';
import type { Drafter } from '../../src/speculate/drafter.ts';
import { layerSkip } from '../../src/speculate/drafters/layer-skip.ts';
import { draftModel } from '../../src/speculate/drafters/model.ts';
import { ngram } from '../../src/speculate/drafters/ngram.ts';
import { none } from '../../src/speculate/drafters/none.ts';
import { prediction } from '../../src/speculate/drafters/prediction.ts';
import { suffix } from '../../src/speculate/drafters/suffix.ts';
import { pointDraw } from '../../src/speculate/drawn.ts';
import { generate, type Target } from '../../src/speculate/generate.ts';
import type { GenerateOptions } from '../../src/speculate/options.ts';
import { argmax } from '../../src/speculate/sample.ts';
import type { Verifier } from '../../src/speculate/verifier.ts';
import { VERIFIERS } from '../../src/speculate/verifiers/named.ts';
import { rejection, rejectionWithReplacement } from '../../src/speculate/verifiers/rejection.ts';
import { block, traversal } from '../../src/speculate/verifiers/traversal.ts';
import { BACKENDS } from '../models/fixtures.ts';
import {
  decodeWithoutCache,
  oracleDrafter,
  randomDrafter,
  request,
  tinyTarget,
} from './fixtures.ts';

const PROMPT = [1, 5, 9, 5, 9, 5];
const COUNT = 40;
const VOCAB = 64;

/** Fresh drafters of every kind around a target; `text` is what the target will say. */
function draftersOf(
  target: Target & { readonly model: Decoder },
  draft: Target,
  text: readonly number[],
): Record<string, () => Drafter> {
  return {
    none: () => none(),
    ngram: () => ngram(),
    'a tree of ngram': () => ngram({ branches: 4 }),
    suffix: () => suffix(),
    'a tree of suffix': () => suffix({ tree: true, factor: 2, offset: 3, minProbability: 0 }),
    'suffix, all that was ever seen': () =>
      suffix({ maxDepth: 9, factor: 2, offset: 1, minProbability: 0 }),
    'a prediction with tokens missing, wrong and too many': () =>
      prediction({ tokens: edited(text.slice(PROMPT.length)) }),
    'model, which is the target itself': () => draftModel(target.model),
    'model, which is another one': () => draftModel(draft.model),
    'tree [3, 2, 1]': () => draftModel(draft.model, { branching: [3, 2, 1] }),
    'tree [2, 2, 2] of the target itself': () => draftModel(target.model, { branching: [2, 2, 2] }),
    'layers of the target': () => layerSkip(target.model, { layers: [1] }),
    'the best tree': () => draftModel(draft.model, { best: { ladder: target.model.ladder } }),
    'the best tree of the target itself': () =>
      draftModel(target.model, { best: { ladder: target.model.ladder, width: 2 } }),
    'random trees': () => randomDrafter(3, VOCAB, pointDraw),
    'an oracle': () => oracleDrafter(text, 99, VOCAB, pointDraw),
    'an oracle wrong at once': () => oracleDrafter(text, 0, VOCAB, pointDraw),
    'an oracle wrong at the third token': () => oracleDrafter(text, 2, VOCAB, pointDraw),
  };
}

function edited(text: readonly number[]): number[] {
  const other = (token: number) => (token + 1) % VOCAB;
  return [
    ...text.slice(0, 6),
    ...text.slice(8, 14),
    other(text[14]),
    ...text.slice(15, 20),
    3,
    3,
    ...text.slice(20),
  ];
}

async function tokensOf(target: Target, options: GenerateOptions): Promise<readonly number[]> {
  return (await generate(target, PROMPT, { maxTokens: COUNT, ignoreEos: true, ...options })).tokens;
}

describe.each(BACKENDS.filter(({ name }) => name !== 'gpu cpu'))('greedy on $name', ({ open }) => {
  describe.each(['f32', 'bf16'] as const)('in %s', (dtype) => {
    let backend: Backend;
    let target: Target & { readonly model: Decoder };
    let draft: Target;
    let expected: number[];

    beforeAll(async () => {
      backend = await open();
      target = await tinyTarget('llama', { backend, dtype });
      draft = await tinyTarget('llama-mha', { backend, dtype });
      expected = await decodeWithoutCache(target.model, PROMPT, COUNT, argmax);
    }, 60_000);
    afterAll(() => backend.dispose());

    it('gives the tokens of a loop without a cache with every drafter', async () => {
      const drafters = draftersOf(target, draft, [...PROMPT, ...expected]);
      for (const [name, make] of Object.entries(drafters)) {
        for (const draftLength of [1, 4, 9, 'auto'] as const) {
          const drafter = make();
          const tokens = await tokensOf(target, { drafter, draftLength });
          expect({ name, draftLength, tokens }).toEqual({ name, draftLength, tokens: expected });
          drafter.dispose?.();
        }
      }
    }, 60_000);

    it('gives them with the other verifiers too, since temperature 0 leaves nothing to chance', async () => {
      const drafter = draftModel(draft.model, { branching: [2, 2] });
      for (const verifier of Object.values(VERIFIERS)) {
        const tokens = await tokensOf(target, { drafter, draftLength: 4, verifier });
        expect({ verifier: verifier.name, tokens }).toEqual({
          verifier: verifier.name,
          tokens: expected,
        });
      }
      drafter.dispose?.();
    });
  });
});

describe('sampling with shared noise', () => {
  const SETTINGS: readonly GenerateOptions[] = [
    { temperature: 1 },
    { temperature: 0.7, topK: 12, topP: 0.9 },
    {
      temperature: 1.3,
      minP: 0.02,
      repetitionPenalty: 1.2,
      presencePenalty: 0.3,
      logitBias: { 7: 2 },
    },
  ];

  it('gives the same tokens for a seed with every drafter, draft length and tree', async () => {
    const target = await tinyTarget('llama');
    const draft = await tinyTarget('llama-mha');
    for (const [index, settings] of SETTINGS.entries()) {
      for (let seed = 0; seed < 20; seed++) {
        const plain = await tokensOf(target, { ...settings, seed });
        const drafters = draftersOf(target, draft, [...PROMPT, ...plain]);
        for (const [name, make] of Object.entries(drafters)) {
          const draftLength = 1 + ((seed + name.length) % 7);
          const drafter = make();
          const tokens = await tokensOf(target, { ...settings, seed, drafter, draftLength });
          expect({ index, seed, name, tokens }).toEqual({ index, seed, name, tokens: plain });
          drafter.dispose?.();
        }
      }
    }
  }, 120_000);

  it('gives different tokens for different seeds', async () => {
    const target = await tinyTarget('llama');
    const texts = await Promise.all(
      [0, 1, 2, 3].map((seed) => tokensOf(target, { temperature: 1, seed })),
    );
    expect(new Set(texts.map((tokens) => tokens.join())).size).toBe(4);
  });

  it('accepts every token of a draft model that is the target itself', async () => {
    const target = await tinyTarget('llama');
    const drafter = draftModel(target.model);
    const { stats } = await generate(target, PROMPT, {
      maxTokens: 20,
      temperature: 1,
      drafter,
      draftLength: 4,
      ignoreEos: true,
    });
    expect(stats.acceptedTokens).toBe(stats.draftedTokens);
    expect(stats.targetForwards).toBe(4);
  });
});

describe('verifiers that promise the law', () => {
  // Four tokens, which the drafters may draft, too: laws of all tokens, cut to a few, would have none in common.
  const logitBias = Object.fromEntries(
    Array.from({ length: VOCAB }, (_, token) => token)
      .filter((token) => ![7, 20, 33, 50].includes(token))
      .map((token) => [token, Number.NEGATIVE_INFINITY]),
  );
  const settings = { temperature: 0.6, logitBias, maxTokens: 3, ignoreEos: true };

  /** Texts of 3000 seeds, against the law by chi-square; and how many drafted tokens were accepted, of how many. */
  async function check(
    target: Target,
    expected: ReadonlyMap<string, number>,
    { verifier, drafter }: { readonly verifier: Verifier; readonly drafter: Drafter },
  ): Promise<{ readonly accepted: number; readonly drafted: number }> {
    const counts = new Map<string, number>();
    let accepted = 0;
    let drafted = 0;
    for (let seed = 0; seed < 3000; seed++) {
      const options = { ...settings, seed, drafter, verifier, draftLength: 6 };
      const { tokens, stats } = await generate(target, PROMPT, options);
      counts.set(tokens.join(), (counts.get(tokens.join()) ?? 0) + 1);
      accepted += stats.acceptedTokens;
      drafted += stats.draftedTokens;
    }
    drafter.dispose?.();
    const { pValue } = chiSquare(expected, counts);
    const trial = { verifier: verifier.name, drafter: drafter.name, pValue };
    expect({ ...trial, tooFar: pValue < 1e-4 }).toMatchObject({ tooFar: false });
    return { accepted, drafted };
  }

  it('draw the first three tokens from the joint law of the target, by chi-square', async () => {
    const target = await tinyTarget('llama');
    const draft = await tinyTarget('llama-mha');
    const expected = await jointLaw(target, settings);
    using head = await randomHead('eagle', target.model, { seed: 2, dtype: 'f32' });
    using spark = await randomHead('dspark', target.model, { seed: 2, dtype: 'f32' });
    const tree = { branching: [2, 2] };
    const best = { best: { ladder: target.model.ladder, width: 3 } };
    const trials = [
      { verifier: rejection, drafter: draftModel(draft.model) },
      { verifier: rejection, drafter: draftModel(draft.model, { minProbability: 0.13 }) },
      { verifier: rejection, drafter: draftModel(draft.model, tree) },
      { verifier: rejectionWithReplacement, drafter: draftModel(draft.model, tree) },
      { verifier: block, drafter: draftModel(draft.model) },
      { verifier: traversal, drafter: draftModel(draft.model, tree) },
      { verifier: traversal, drafter: draftModel(draft.model, best) },
      { verifier: rejection, drafter: head.drafter(best) },
      // Stops where it thinks little of what it has drawn so far.
      { verifier: block, drafter: spark.drafter({ confidence: 0.3 }) },
    ];
    for (const trial of trials) {
      const { accepted, drafted } = await check(target, expected, trial);
      expect(accepted).toBeGreaterThan(0.1 * drafted);
      expect(accepted).toBeLessThan(0.9 * drafted);
    }
  }, 120_000);

  it('do so with trees of points that are mostly right, copied from the texts of other seeds', async () => {
    const target = await tinyTarget('llama');
    const expected = await jointLaw(target, settings);
    for (const verifier of [rejection, traversal]) {
      const drafter = suffix({ tree: true, minProbability: 0 });
      for (let seed = 3000; seed < 3040; seed++) {
        const { tokens } = await generate(target, PROMPT, { ...settings, seed });
        await drafter.draft(request([...PROMPT, ...tokens]));
      }
      const { accepted } = await check(target, expected, { verifier, drafter });
      expect(accepted).toBeGreaterThan(3000 * 1.5);
    }
  }, 60_000);
});

/** The law of the first three tokens, by plain decoding from every prefix. */
async function jointLaw(target: Target, settings: GenerateOptions): Promise<Map<string, number>> {
  const { createProcessor } = await import('../../src/speculate/processors.ts');
  const { readOptions } = await import('../../src/speculate/options.ts');
  const { logitsWithoutCache } = await import('./fixtures.ts');
  const lawOf = createProcessor(readOptions(settings), PROMPT.length);
  let level = new Map<string, number>([['', 1]]);
  for (let depth = 0; depth < 3; depth++) {
    const next = new Map<string, number>();
    for (const [path, mass] of level) {
      const history = [...PROMPT, ...path.split(',').filter(Boolean).map(Number)];
      const law = lawOf(await logitsWithoutCache(target.model, history), history);
      if (!('probs' in law)) throw new Error('expected a law with probabilities');
      for (const [token, probability] of law.probs.entries())
        if (probability > 0)
          next.set(path === '' ? String(token) : `${path},${token}`, mass * probability);
    }
    level = next;
  }
  return level;
}
