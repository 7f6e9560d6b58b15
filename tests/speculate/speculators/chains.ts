// Chains of drafts of heads for multi-token prediction, by the first implementation on every backend and by a second one, and what holds
// for every head: the bits of a row, and the text of the target.
import { expect } from 'vitest';
import { cpu } from '../../../src/kernels/cpu/index.ts';
import { gpu } from '../../../src/kernels/gpu/index.ts';
import { reference } from '../../../src/kernels/reference/index.ts';
import { wasm } from '../../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import type { WeightDType } from '../../../src/models/weights.ts';
import { none } from '../../../src/speculate/drafters/none.ts';
import { generate } from '../../../src/speculate/generate.ts';
import { argmax } from '../../../src/speculate/sample.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import { type FolderSource, openFolder } from '../../../src/tensor/source.ts';
import { spelled } from '../fixtures.ts';
import { type Pair, readTensors } from './float64.ts';
import { TARGET } from './research.ts';

/** The text that drafts continue. */
export const PROMPT = [1, 5, 9, 33, 9, 5, 60, 2, 17];
/** What heads borrow from the target. */
export const NAMES = { embed: 'model.embed_tokens.weight', head: 'lm_head.weight' };
/** Backends by name. */
export const BACKENDS = [
  ['reference', reference],
  ['cpu', cpu],
  ['wasm', () => wasm({ threads: 2 })],
  ['gpu', () => gpu({ mode: 'webasm' })],
] as const;

/** The tensors of a head and of its target. */
async function tensorsIn(source: FolderSource) {
  const target = await openFolder(TARGET);
  const tensors = new Map([...(await readTensors(target)), ...(await readTensors(source))]);
  await target.close();
  return tensors;
}

/** Logits of a pass of a head over some tokens and states, and what loading it had to tell. */
export async function passOf(verifier: Decoder, source: FolderSource, dtype: WeightDType = 'auto') {
  using speculator = await Speculator.fromPretrained(source, { verifier, dtype });
  const model = speculator.model!;
  const cache = model.createCache();
  const tokens = [3, 1, 4, 1, 5, 9];
  const states = tokens.map((token, row) =>
    Float32Array.from({ length: verifier.config.width }, (_, i) => Math.sin(1 + i * token + row)),
  );
  const keep = tokens.map((_, row) => row);
  const { logits } = await model.forward(cache, [
    { sequence: cache.sequence(), tokens, states, keep },
  ]);
  cache.dispose();
  return { logits, notes: speculator.notes };
}

/** One draft of a chain. */
export interface Step {
  readonly token: number;
  readonly logits: readonly number[];
  readonly state: readonly number[];
}

/** The pairs of a prompt, and a chain of drafts after it, pair by pair from states of the head's own. */
export async function chain(verifier: Decoder, { head, model: own }: Speculator, count: number) {
  const { taps, fuse } = head!;
  const model = own!;
  const cache = verifier.createCache({ taps });
  const { hidden, logits } = await verifier.forward(cache, [
    { sequence: cache.sequence(), tokens: PROMPT, keep: PROMPT.map((_, row) => row) },
  ]);
  cache.dispose();
  const text = [...PROMPT.slice(1), argmax(logits.at(-1)!)];
  const pairs: Pair[] = hidden.map((state, i) => ({ token: text[i], state: [...state] }));
  const heads = model.createCache({ taps: [0] });
  const sequence = heads.sequence();
  let tokens = text;
  let states = await fuse(hidden);
  const steps: Step[] = [];
  for (let step = 0; step < count; step++) {
    const found = await model.forward(heads, [{ sequence, tokens, states }]);
    const token = argmax(found.logits[0]);
    steps.push({ token, logits: [...found.logits[0]], state: [...found.hidden[0]] });
    tokens = [token];
    states = [found.hidden[0]];
  }
  heads.dispose();
  return { pairs, steps };
}

/** The same chain by a second implementation. */
export async function expectedChain(
  source: FolderSource,
  passes: (
    tensors: Awaited<ReturnType<typeof readTensors>>,
    pairs: readonly Pair[],
    names: typeof NAMES,
  ) => readonly { readonly state: readonly number[]; readonly logits: readonly number[] }[],
  start: readonly Pair[],
  count: number,
) {
  const tensors = await tensorsIn(source);
  const pairs = [...start];
  return Array.from({ length: count }, (): Step => {
    const { state, logits } = passes(tensors, pairs, NAMES).at(-1)!;
    const token = argmax(Float32Array.from(logits));
    pairs.push({ token, state });
    return { token, logits, state };
  });
}

/** Expects the same tokens, and numbers within a tolerance. */
export function expectClose(
  found: readonly Step[],
  wanted: readonly Step[],
  tolerance = 1e-4,
): void {
  expect(found.map(({ token }) => token)).toEqual(wanted.map(({ token }) => token));
  const worst = (a: readonly number[], b: readonly number[]) =>
    a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
  for (const [i, { logits, state }] of wanted.entries()) {
    expect(found[i].logits).toHaveLength(logits.length);
    expect(worst(found[i].logits, logits)).toBeLessThan(tolerance);
    expect(worst(found[i].state, state)).toBeLessThan(tolerance);
  }
}

/** Expects of every row of a head the same bits alone and in any company. */
export async function expectSameBits(verifier: Decoder, source: FolderSource): Promise<void> {
  using speculator = await Speculator.fromPretrained(source, { verifier });
  const model = speculator.model!;
  const states = PROMPT.map((token, row) =>
    Float32Array.from({ length: verifier.config.width }, (_, i) => Math.sin(1 + i * token + row)),
  );
  const pass = async (sizes: readonly number[]) => {
    const cache = model.createCache({ taps: [0] });
    const sequence = cache.sequence();
    const rows: Float32Array[] = [];
    let from = 0;
    for (const size of sizes) {
      const [tokens, own] = [PROMPT, states].map((each) => each.slice(from, from + size));
      const keep = tokens.map((_, row) => row);
      const segment = {
        sequence,
        tokens: tokens as number[],
        states: own as Float32Array[],
        keep,
      };
      const { logits, hidden } = await model.forward(cache, [segment]);
      rows.push(...logits.flatMap((each, row) => [each, hidden[row]]));
      from += size;
    }
    cache.dispose();
    return rows;
  };
  const alone = await pass(PROMPT.map(() => 1));
  expect(alone).toHaveLength(2 * PROMPT.length);
  for (const sizes of [[9], [4, 5], [1, 2, 3, 3], [7, 2]]) expect(await pass(sizes)).toEqual(alone);
}

/** Expects the text of the target, greedy and drawn, whatever a head drafts as a chain or as a tree. */
export async function expectPlainText(verifier: Decoder, source: FolderSource): Promise<void> {
  using speculator = await Speculator.fromPretrained(source, { verifier });
  const target = { model: verifier, tokenizer: spelled };
  for (const temperature of [0, 0.9]) {
    const options = { maxTokens: 24, ignoreEos: true, temperature, seed: 2 };
    const plain = await generate(target, PROMPT, { ...options, drafter: none() });
    for (const shape of [{}, { branching: [2, 2] }]) {
      const drafter = speculator.drafter(shape);
      const drafted = await generate(target, PROMPT, { ...options, drafter, draftLength: 3 });
      expect(drafted.tokens).toEqual(plain.tokens);
      expect(drafted.stats.draftedTokens).toBeGreaterThan(20);
    }
  }
}
