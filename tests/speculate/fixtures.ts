// Small targets for the loop: the tiny checkpoints with a tokenizer that spells ids, and a decode loop without a cache.
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import type { Decoder } from '../../src/models/decoder.ts';
import type { LoadOptions } from '../../src/models/load.ts';
import { load } from '../../src/models/load.ts';
import type { Model } from '../../src/models/model.ts';
import type { Tokenizer } from '../../src/models/tokenizer.ts';
import type { Draft, Drafter, DraftRequest } from '../../src/speculate/drafter.ts';
import type { Target } from '../../src/speculate/generate.ts';
import { createNoise } from '../../src/speculate/noise.ts';
import { loadTiny } from '../models/fixtures.ts';

/** Ids as `<id>`; only what the loop asks for. */
export const spelled: Tokenizer = {
  vocabSize: 64,
  bosToken: null,
  eosToken: null,
  chatTemplate: null,
  encode: (text) => [...text.matchAll(/<(\d+)>/g)].map(([, id]) => Number(id)),
  decode: (ids) => ids.map((id) => `<${id}>`).join(''),
  stream: () =>
    ({ push: (id: number) => `<${id}>`, flush: () => '' }) as ReturnType<Tokenizer['stream']>,
  tokenBytes: (id) => new TextEncoder().encode(`<${id}>`),
  idToToken: (id) => `<${id}>`,
  tokenToId: (token) => Number(token.slice(1, -1)),
  isSpecial: () => false,
  chat: () => [1],
  renderChat: () => '',
};

/** A tiny checkpoint as a target. */
export async function tinyTarget(
  name = 'llama',
  options: LoadOptions = {},
): Promise<Target & { readonly model: Decoder }> {
  return {
    model: await loadTiny(name, { contextLength: 96, maxRows: 16, ...options }),
    tokenizer: spelled,
  };
}

/** One of the embedded pair. */
export function demo(name: 'target' | 'draft', options: LoadOptions = {}) {
  return load(fileURLToPath(new URL(`../../models/${name}`, import.meta.url)), options);
}

/** Logits after `tokens`, from an empty cache. */
export async function logitsWithoutCache(
  model: Model,
  tokens: readonly number[],
): Promise<Float32Array> {
  const cache = model.createCache();
  const { logits } = await model.forward(cache, [{ sequence: cache.sequence(), tokens }]);
  cache.dispose();
  return logits[0];
}

/** The tokens that `next` chooses one at a time, every forward from an empty cache. */
export async function decodeWithoutCache(
  model: Model,
  prompt: readonly number[],
  count: number,
  next: (logits: Float32Array, tokens: readonly number[]) => number,
): Promise<number[]> {
  const tokens = [...prompt];
  for (let index = 0; index < count; index++)
    tokens.push(next(await logitsWithoutCache(model, tokens), tokens));
  return tokens.slice(prompt.length);
}

/** Drafts chains or trees of tokens that know nothing, so that every kind of rejection happens. */
export function randomDrafter(
  seed: number,
  vocab: number,
  draw: (token: number) => Draft['tokens'][number],
): Drafter {
  const noise = createNoise(seed).round(0);
  let round = 0;
  const whole = (below: number, index: number) =>
    Math.floor(noise.uniform('draft', round, index) * below);
  return {
    name: 'random',
    draft({ maxTokens, maxDepth }) {
      round += 1;
      const parents: number[] = [];
      const depths: number[] = [];
      const count = whole(maxTokens + 1, 0);
      for (let node = 0; node < count; node++) {
        const open = [-1, ...depths.flatMap((depth, each) => (depth < maxDepth ? [each] : []))];
        const parent = open[whole(open.length, 2 * node + 1)];
        parents.push(parent);
        depths.push(parent < 0 ? 1 : depths[parent] + 1);
      }
      // Siblings are different tokens: node + a random offset would not be.
      const tokens = parents.map((_, node) => draw((whole(vocab, 1000 + round) + node) % vocab));
      return { tokens, parents };
    },
  };
}

/** Drafts the true continuation, wrong from `wrongFrom` on. */
export function oracleDrafter(
  text: readonly number[],
  wrongFrom: number,
  vocab: number,
  draw: (token: number) => Draft['tokens'][number],
): Drafter {
  return {
    name: 'oracle',
    draft: ({ tokens, maxDepth }) => ({
      tokens: text
        .slice(tokens.length, tokens.length + maxDepth)
        .map((token, index) => draw(index < wrongFrom ? token : (token + 1) % vocab)),
    }),
  };
}

/** What a drafter without a model is told. */
export function request(
  tokens: readonly number[],
  maxTokens = 4,
  maxDepth = maxTokens,
): DraftRequest {
  const unused = () => {
    throw new Error('expected no law, got a call');
  };
  return { tokens, maxTokens, maxDepth, law: unused, draw: unused };
}

/** The tokens of a chain. */
export async function drafted(drafter: Drafter, asked: DraftRequest): Promise<number[]> {
  const draft: Draft = await drafter.draft(asked);
  expect(draft.parents).toBeUndefined();
  return draft.tokens.map(({ token }) => token);
}
