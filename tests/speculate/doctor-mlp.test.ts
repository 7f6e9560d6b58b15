// The doctor on MLP speculators, whose state may be that before or that after the final norm. A head that has learnt from one of them
// tells which, whatever its config says.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { wasm } from '../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../src/models/decoder.ts';
import { diagnose } from '../../src/speculate/doctor/diagnose.ts';
import { generate } from '../../src/speculate/generate.ts';
import type { FolderSource } from '../../src/tensor/source.ts';
import { loadTiny } from '../models/fixtures.ts';
import { spelled } from './fixtures.ts';
import { tensorsWith, VOCAB } from './speculators/depth-heads.ts';
import { after, firstState, INNER, makeHead, tensorsOf } from './speculators/mlp-head.ts';

const PROMPTS = [
  [1, 5, 9, 33],
  [60, 2, 17],
  [7, 40, 21, 3, 3],
];
const LENGTH = 40;

let model: Decoder;
beforeAll(async () => {
  model = await loadTiny('llama-8l', { backend: wasm({ threads: 1 }), contextLength: 64 });
});
afterAll(() => model.dispose());

/** The numbers x with (A + 0.001) x = b for each column b, by elimination. */
function solved(matrix: readonly number[][], columns: readonly number[][]): number[][] {
  const rows = matrix.map((row, i) => [
    ...row.map((value, j) => value + (i === j ? 1e-3 : 0)),
    ...columns.map((column) => column[i]),
  ]);
  for (const [i, row] of rows.entries())
    for (const [j, other] of rows.entries()) {
      if (i === j) continue;
      const factor = other[i] / row[i];
      for (let k = i; k < row.length; k++) other[k] -= factor * row[k];
    }
  return columns.map((_, at) => rows.map((row, i) => row[rows.length + at] / row[i]));
}

/** A head whose first step has learnt the target's texts from one kind of state, by least squares; its config may say another. */
async function taught(normalized: boolean, said: boolean): Promise<FolderSource> {
  const variant = {
    tie_weights: false,
    inputs_hidden_states_normalized: normalized,
    scale_input: false,
  };
  // States before the norm are some seven times as large, so that who reads them needs smaller weights beside the token.
  const scale = normalized ? 1 : 1 / 7;
  const initial = tensorsOf(variant).map((tensor) =>
    tensor.name === 'proj.0.weight'
      ? { ...tensor, data: (tensor.data as Float32Array).map((value) => scale * value) }
      : tensor,
  );
  const tensors = await tensorsWith(makeHead(variant, {}, initial));
  const features: (readonly number[])[] = [];
  const next: number[] = [];
  for (const prompt of PROMPTS) {
    const options = { maxTokens: LENGTH, ignoreEos: true };
    const { tokens } = await generate({ model, tokenizer: spelled }, prompt, options);
    const text = [...prompt, ...tokens];
    using cache = model.createCache({ taps: [model.config.layers] });
    const segment = { sequence: cache.sequence(), tokens: text, keep: [...text.keys()] };
    const { hidden } = await model.forward(cache, [segment]);
    for (let at = prompt.length + 1; at < text.length; at++) {
      const state = firstState(tensors, [...hidden[at - 2]], variant);
      features.push(after(tensors, state, [text[at - 1]], variant).state);
      next.push(text[at]);
    }
  }
  const sum = (of: (place: number) => number) =>
    next.reduce((total, _, place) => total + of(place), 0);
  const inner = Array.from({ length: INNER }, (_, i) => i);
  const squares = inner.map((i) =>
    inner.map((j) => sum((place) => features[place][i] * features[place][j])),
  );
  const wanted = Array.from({ length: VOCAB }, (_, token) =>
    inner.map((i) => sum((place) => (next[place] === token ? 8 * features[place][i] : 0))),
  );
  const learnt = Float32Array.from(solved(squares, wanted).flat());
  const weights = initial.map((tensor) =>
    tensor.name === 'head.0.weight' ? { ...tensor, data: learnt } : tensor,
  );
  return makeHead(variant, { inputs_hidden_states_normalized: said }, weights);
}

describe('the state of an MLP speculator', () => {
  const examine = async (head: FolderSource) => {
    const options = { prompts: PROMPTS, maxTokens: LENGTH, draftLength: 1 };
    const { findings, fits } = await diagnose({ model, tokenizer: spelled }, head, options);
    const reading = findings.find(({ subject }) => subject === 'reading')!;
    return { gravity: reading.gravity, message: reading.message, best: fits[0].label };
  };

  it.each([true, false])('fits as the file says where it says so: %s', async (normalized) => {
    expect(await examine(await taught(normalized, normalized))).toEqual({
      gravity: 'fine',
      message: 'none of 1 others fits better beyond chance',
      best: '',
    });
  });

  it.each([true, false])('is found out where the file says otherwise: %s', async (normalized) => {
    const label = `inputs_hidden_states_normalized ${normalized}`;
    const found = await examine(await taught(normalized, !normalized));
    expect(found).toMatchObject({ gravity: 'error', best: label });
    expect(found.message.startsWith(`${label} fits better, by`)).toBe(true);
  });
});
