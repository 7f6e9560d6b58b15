// Draft models of another tokenizer: the law of a draft, the text as the draft model sees it, and that no token of the target's
// changes.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { type LoadedModel, load, loadModel } from '../../src/models/load.ts';
import type { Model } from '../../src/models/model.ts';
import { createTokenizer, type Tokenizer } from '../../src/models/tokenizer.ts';
import { draftModel } from '../../src/speculate/drafters/model.ts';
import {
  type SharedVocabulary,
  sharedVocabulary,
} from '../../src/speculate/drafters/shared-vocabulary.ts';
import { lawDraw } from '../../src/speculate/drawn.ts';
import { generate, type Target } from '../../src/speculate/generate.ts';
import type { Law } from '../../src/speculate/law.ts';
import type { GenerateOptions } from '../../src/speculate/options.ts';
import { createProcessor, SamplingOptions } from '../../src/speculate/processors.ts';
import { prove } from '../../src/speculate/prove.ts';
import { rejection } from '../../src/speculate/verifiers/rejection.ts';
import { openCheckpoint, type TensorData, writeSafetensors } from '../../src/tensor/safetensors.ts';
import { memorySource, openFolder } from '../../src/tensor/source.ts';
import { tiny } from '../models/fixtures.ts';
import { byteFallbackJson, byteLevel } from '../models/tokenizers.ts';
import { demo } from './fixtures.ts';
import { constant, probs, rounded, vectors } from './laws.ts';
import { rejectionOf } from './mutants.ts';

const PROMPT = [1, 5, 9, 5, 9, 5];

/** A model of so many tokens that says the same after every text. */
function constantModel(logits: readonly number[]): Model {
  const nothing = () => {};
  const sequence = { length: 0, truncate: nothing, keep: nothing, free: nothing };
  return {
    config: { vocab: logits.length },
    contextLength: 64,
    maxRows: 8,
    createCache: () => ({ taps: [], sequence: () => sequence, dispose: nothing }),
    forward: async () => ({ logits: [Float32Array.from(logits)], hidden: [] }),
    dispose: nothing,
  } as unknown as Model;
}

/** The law that a draft of this model is drawn from. */
async function draftLaw(model: Model, vocabulary: SharedVocabulary): Promise<Law> {
  const law = createProcessor(SamplingOptions.parse({ temperature: 1 }), 1);
  let asked: Law | undefined;
  await draftModel(model, { vocabulary }).draft({
    tokens: [0],
    maxTokens: 1,
    maxDepth: 1,
    law,
    draw(law) {
      asked = law;
      return [];
    },
  });
  return asked!;
}

describe('the law of a draft over what both vocabularies have', () => {
  const { V } = vectors;
  const draft = {
    model: constantModel(V.q_draft_space.map(Math.log)),
    tokenizer: byteLevel(V.draft_vocab),
  };
  const target = { model: constantModel(V.p), tokenizer: byteLevel(V.target_vocab) };
  const vocabulary = sharedVocabulary(draft, target);

  it('is the renormalised one of the worked example', async () => {
    const ids = Object.entries(V.draft_to_target);
    expect([...vocabulary.targetIds!]).toEqual(
      V.draft_vocab.map((_, id) => Object.fromEntries(ids)[id] ?? -1),
    );
    const law = await draftLaw(draft.model, vocabulary);
    if (!('probs' in law)) throw new Error('expected probabilities');
    expect(rounded([...law.probs])).toEqual(V.q_in_target_space);
  });

  it('leaves the law of the target as it is, in chains and among siblings', async () => {
    const law = await draftLaw(draft.model, vocabulary);
    for (const branching of [[1], [1, 1], [2], [2, 1]]) {
      const parts = { verifier: rejection, vocabulary: 4, target: constant(V.p), branching };
      const { maxError, expectedTokens } = prove({ ...parts, draft: () => law });
      expect(maxError).toBeLessThan(1e-8);
      if (branching.join() === '1') expect(expectedTokens - 1).toBeCloseTo(V.acceptance, 6);
    }
  });

  it('is missed by a proof with the numbers before they were renormalised', async () => {
    const law = await draftLaw(draft.model, vocabulary);
    const raw = probs(V.wrong_without_renormalisation.q);
    const mutant = rejectionOf({}, (_law, position, count, noise) =>
      rejection.draw(law, position, count, noise).map(({ token }) => lawDraw(token, raw)),
    );
    const { maxError } = prove({
      verifier: mutant,
      vocabulary: 4,
      target: constant(V.p),
      draft: () => law,
      branching: [1],
    });
    expect(maxError).toBeGreaterThan(1e-3);
  });

  it('needs a token that both have', () => {
    const other = { ...draft, tokenizer: byteLevel(['x', 'y', 'z', '<s>']) };
    const same = { ...target, tokenizer: byteLevel(['a', 'b', 'ab', '<s>']) };
    expect(() => sharedVocabulary(other, same)).toThrow(/expected tokens that .* both have/);
  });

  it('belongs to the model it was made for', () => {
    expect(() => draftModel(constantModel([0, 0]), { vocabulary })).toThrow(
      /draftModel: vocabulary: expected one of a draft model of 2 tokens, got one of 4/,
    );
  });
});

describe('a text in the tokens of a draft model', () => {
  const json = readFileSync(new URL('../../models/target/tokenizer.json', import.meta.url), 'utf8');
  const embedded = createTokenizer({ tokenizerJson: JSON.parse(json) });
  const pieces = ['th', 'he', 'the', 'in', '\u2581t', '\u2581the', 'é', '😀'];
  const merges = ['\u2581 a', '\u2581 t', 'h e', '\u2581t he', 't h', 'i n'];
  const fallback = createTokenizer({
    tokenizerJson: byteFallbackJson([...'thein'].concat(pieces), merges),
    tokenizerConfig: { bos_token: '<s>', eos_token: '</s>', add_bos_token: true },
  });
  const worded = (tokenizer: Tokenizer) => ({
    model: constantModel(Array.from({ length: tokenizer.vocabSize }, () => 0)),
    tokenizer,
  });
  const translate = (draft: Tokenizer, target: Tokenizer) =>
    sharedVocabulary(worded(draft), worded(target)).translate();
  const bytesOf = (tokenizer: Tokenizer, ids: readonly number[]) =>
    ids.filter((id) => !tokenizer.isSpecial(id)).flatMap((id) => [...tokenizer.tokenBytes(id)]);
  const spelled = (tokenizer: Tokenizer, ids: readonly number[]) =>
    ids.map((id) => tokenizer.idToToken(id));

  it('keeps what both have, and spells the rest again', () => {
    const ids = embedded.encode('Once the man ate');
    const read = translate(fallback, embedded).read(ids);
    expect(spelled(fallback, read).slice(0, 6)).toEqual([
      '<s>',
      '<0x4F>',
      'n',
      '<0x63>',
      'e',
      '▁the',
    ]);
    expect(bytesOf(fallback, read)).toEqual(bytesOf(embedded, ids));
  });

  it('begins as the draft model expects a text to begin', () => {
    const plain = byteLevel(['a', 'b', 'Ġ']);
    expect(spelled(fallback, translate(fallback, plain).read([0, 1]))).toEqual(['<s>', 'a', 'b']);
    const ids = fallback.encode('ab');
    expect(spelled(plain, translate(plain, fallback).read(ids))).toEqual(['Ġ', 'a', 'b']);
    const own = byteLevel(['</s>', '<s>', 'a'], { addsBos: true });
    expect(translate(own, fallback).read([1, fallback.tokenToId('a')!])).toEqual([1, 2]);
    expect(translate(own, fallback).read([fallback.tokenToId('a')!])).toEqual([2]);
  });

  it('cuts what it spells anew when the text goes on', () => {
    const target = byteLevel(['Ġth', 'ei', 'n', 'x']);
    const translation = translate(fallback, target);
    expect(spelled(fallback, translation.read([0]))).toEqual(['<s>', '▁t', 'h']);
    expect(spelled(fallback, translation.read([0, 1]))).toEqual(['<s>', '▁the', 'i']);
    expect(spelled(fallback, translation.read([0, 1, 2]))).toEqual(['<s>', '▁the', 'i', 'n']);
    expect(spelled(fallback, translation.read([0, 2]))).toEqual(['<s>', '▁t', 'h', 'n']);
  });

  it('leaves out a character until it is finished, and what the draft model cannot spell', () => {
    const target = byteLevel(['ðŁ', 'ĺĢ', 'a', 'x']);
    const emoji = translate(fallback, target);
    expect(spelled(fallback, emoji.read([2, 0]))).toEqual(['<s>', 'a']);
    expect(spelled(fallback, emoji.read([2, 0, 1]))).toEqual(['<s>', 'a', '😀']);
    const draft = translate(byteLevel(['a', 'b']), target);
    expect(draft.read([2, 3, 2])).toEqual([0, 0]);
  });

  it('is the same read at once, token by token, and after any change, and has the bytes of the text', () => {
    const shared = ['a', 'b', 't', 'h', 'n', 'he', 'Ġt', 'Ã©', 'ðŁĺĢ', 'Ã', 'ĺ'];
    const others = ['Ġth', 'ei', 'nth', 'eth', 'eĠ', 'Ġhe', '©a', 'ðŁ', 'ĺĢ', 'Ģx', 'ĠĠ', 'Ċ'];
    const target = byteLevel(['</s>', ...shared, ...others]);
    const text = fc.array(fc.integer({ min: 0, max: target.vocabSize - 1 }), { maxLength: 50 });
    fc.assert(
      fc.property(text, text, fc.nat(60), (first, second, cut) => {
        const translation = translate(fallback, target);
        for (let length = 1; length <= first.length; length++)
          translation.read(first.slice(0, length));
        const changed = [...first.slice(0, cut), ...second];
        const read = translation.read(changed);
        expect(read).toEqual(translate(fallback, target).read(changed));
        const given = Uint8Array.from(bytesOf(target, changed));
        const got = Uint8Array.from(bytesOf(fallback, read));
        const whole = new TextDecoder('utf-8', { fatal: true });
        let valid: string | null = null;
        try {
          valid = whole.decode(given);
        } catch {}
        if (valid !== null) expect(new TextDecoder().decode(got)).toBe(valid);
      }),
      { seed: 4, numRuns: 300 },
    );
  });
});

/** 64 tokens: control, letters, and pairs of letters from `pairs`. */
function letters(order: string, pairs: readonly string[]): readonly string[] {
  return ['<s>', '</s>', ...order, ...pairs].slice(0, 64);
}
const ALPHABET = 'abcdefghijklmnopqrstuvwxyzĠ';
const PAIRS = [...'abcdefgh'].flatMap((first) => [...'aeiou'].map((second) => first + second));
const TARGET_TOKENS = letters(ALPHABET, PAIRS);

/** A tiny model with its rows in another order: row i is row order[i] of the original. */
async function reordered(name: string, order: readonly number[]): Promise<Model> {
  const source = await openFolder(tiny(name).folder);
  const { tensors, readInto } = await openCheckpoint(source);
  const made: TensorData[] = [];
  for (const [tensor, { dtype, shape, from, to }] of tensors) {
    const data = new Uint8Array(to - from);
    await readInto(tensor, 0, data);
    const row = data.length / shape[0];
    const isWords = ['model.embed_tokens.weight', 'lm_head.weight'].includes(tensor);
    const moved = isWords
      ? order.flatMap((at) => [...data.subarray(at * row, (at + 1) * row)])
      : data;
    made.push({ name: tensor, dtype: dtype!, shape, data: Uint8Array.from(moved) });
  }
  const config = await source.text('config.json');
  await source.close();
  const files = { 'config.json': config, 'model.safetensors': writeSafetensors(made) };
  return loadModel(memorySource(files, name), { contextLength: 96, maxRows: 16 });
}

describe('generation with a draft model of another vocabulary', () => {
  const order = Array.from({ length: 64 }, (_, at) => (at * 29 + 7) % 64);
  let target: Target;
  let drafts: Record<string, Target>;

  beforeAll(async () => {
    const plain = Array.from({ length: 64 }, (_, at) => at);
    target = { model: await reordered('llama', plain), tokenizer: byteLevel(TARGET_TOKENS) };
    const other = letters([...ALPHABET].toReversed().join(''), [...PAIRS].slice(20));
    drafts = {
      'the target in another order': {
        model: await reordered('llama', order),
        tokenizer: byteLevel(order.map((at) => TARGET_TOKENS[at])),
      },
      'another model with other tokens': {
        model: await reordered('llama-mha', plain),
        tokenizer: byteLevel(other, { addsBos: true }),
      },
      'another model with a third of the tokens': {
        model: await reordered('llama-mha', plain),
        tokenizer: byteLevel(other.slice(0, 20)),
      },
    };
  });

  const tokensOf = async (options: GenerateOptions) =>
    generate(target, PROMPT, { maxTokens: 24, ignoreEos: true, ...options });
  const drafterOf = (draft: Target, branching: readonly number[]) =>
    draftModel(draft.model, { vocabulary: sharedVocabulary(draft, target), branching });

  it('gives the tokens of plain decoding, in chains and trees', async () => {
    const plain = (await tokensOf({})).tokens;
    for (const [name, draft] of Object.entries(drafts))
      for (const branching of [[1], [3, 2, 1]])
        for (const draftLength of [1, 4, 9, 'auto'] as const) {
          const drafter = drafterOf(draft, branching);
          const { tokens } = await tokensOf({ drafter, draftLength });
          expect({ name, branching, draftLength, tokens }).toMatchObject({ tokens: plain });
          drafter.dispose?.();
        }
  });

  it('gives the sampled tokens of every seed, with shared noise', async () => {
    for (let seed = 0; seed < 50; seed++) {
      const settings = { temperature: 0.9, topK: 30, repetitionPenalty: 1.1, seed };
      const plain = (await tokensOf(settings)).tokens;
      for (const [name, draft] of Object.entries(drafts)) {
        const drafter = drafterOf(draft, seed % 2 === 0 ? [1] : [2, 2]);
        const { tokens } = await tokensOf({ ...settings, drafter, draftLength: 4 });
        expect({ seed, name, tokens }).toMatchObject({ tokens: plain });
        drafter.dispose?.();
      }
    }
  }, 60_000);

  it('accepts every token of the target itself in another order', async () => {
    const drafter = drafterOf(drafts['the target in another order'], [1]);
    for (const temperature of [0, 1]) {
      const { stats } = await tokensOf({ temperature, drafter, draftLength: 4, maxTokens: 20 });
      expect(stats.acceptedTokens).toBe(stats.draftedTokens);
      expect(stats.targetForwards).toBe(4);
    }
    drafter.dispose?.();
  });

  it('drafts nothing but what both have', async () => {
    const draft = drafts['another model with a third of the tokens'];
    const { targetIds, sharedTokens } = sharedVocabulary(draft, target);
    expect(sharedTokens).toBe(18);
    const drafter = drafterOf(draft, [2, 2]);
    const seen = new Set<number>();
    await tokensOf({
      temperature: 1,
      drafter,
      draftLength: 4,
      onRound: ({ draft }) => {
        for (const { token } of draft.tokens) seen.add(token);
      },
    });
    expect(seen.size).toBeGreaterThan(3);
    for (const token of seen) expect([...targetIds!]).toContain(token);
    drafter.dispose?.();
  });

  it('stops drafting where the context of the draft model ends', async () => {
    const draft = drafts['another model with other tokens'];
    const model = { ...draft.model, contextLength: 16 };
    const drafter = drafterOf({ ...draft, model }, [1]);
    const plain = (await tokensOf({})).tokens;
    const { tokens, stats } = await tokensOf({ drafter, draftLength: 4 });
    expect(tokens).toEqual(plain);
    expect(stats.draftedTokens).toBeGreaterThan(0);
  });
});

describe('trained models of different tokenizers', () => {
  const stories = (name: string) =>
    fileURLToPath(new URL(`../../../shared/models/${name}`, import.meta.url));
  const absent = !existsSync(stories('stories260K'));

  it.skipIf(absent)(
    'write the text of the target, some of it drafted',
    async () => {
      const large = await demo('target');
      const small = await load(stories('stories260K'));
      const pairsOfModels: readonly (readonly [LoadedModel, LoadedModel])[] = [
        [large, small],
        [small, large],
      ];
      for (const [target, draft] of pairsOfModels) {
        const vocabulary = sharedVocabulary(draft, target);
        expect(vocabulary.note).toMatch(/another vocabulary: it drafts the \d+ of its/);
        for (const temperature of [0, 0.8]) {
          const settings = { maxTokens: 60, temperature, seed: 7 };
          const plain = await generate(target, 'Once upon a time', settings);
          for (const branching of [[1], [2, 2]]) {
            const drafter = draftModel(draft.model, { vocabulary, branching });
            const { tokens, stats } = await generate(target, 'Once upon a time', {
              ...settings,
              drafter,
              draftLength: 4,
            });
            expect(tokens).toEqual(plain.tokens);
            expect(stats.acceptedTokens).toBeGreaterThan(5);
            drafter.dispose?.();
          }
        }
      }
      large.dispose();
      small.dispose();
    },
    60_000,
  );
});
