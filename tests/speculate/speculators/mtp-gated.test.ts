// Multi-token prediction with layers of Qwen3-Next and Qwen3.5 against transformers and a second implementation in float64: gated
// attention, heads of which a part turns, experts.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cpu } from '../../../src/kernels/cpu/index.ts';
import { gpu } from '../../../src/kernels/gpu/index.ts';
import { reference } from '../../../src/kernels/reference/index.ts';
import { wasm } from '../../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import { none } from '../../../src/speculate/drafters/none.ts';
import { generate } from '../../../src/speculate/generate.ts';
import { argmax } from '../../../src/speculate/sample.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import { type FolderSource, openFolder } from '../../../src/tensor/source.ts';
import { spelled } from '../fixtures.ts';
import { type Pair, readTensors } from './float64.ts';
import { type GatedShape, gatedPasses } from './gated-head.ts';
import { headOf, KINDS, WIDTH } from './gated-kinds.ts';
import { golden, TARGET } from './research.ts';

const PROMPT = [1, 5, 9, 33, 9, 5, 60, 2, 17];
const NAMES = { embed: 'model.embed_tokens.weight', head: 'lm_head.weight' };
const BACKENDS = [
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

interface Step {
  readonly token: number;
  readonly logits: readonly number[];
  readonly state: readonly number[];
}

/** The pairs of a prompt, and a chain of drafts after it, pair by pair from states of the head's own. */
async function chain(verifier: Decoder, { model, taps, fuse }: Chained, count: number) {
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

type Chained = Pick<NonNullable<Speculator['head']>, 'taps' | 'fuse'> & { readonly model: Decoder };

const chainedOf = ({ head, model }: Speculator): Chained => ({
  taps: head!.taps,
  fuse: head!.fuse,
  model: model!,
});

/** The same chain by the second implementation. */
async function expected(
  source: FolderSource,
  shape: GatedShape,
  start: readonly Pair[],
  count: number,
) {
  const tensors = await tensorsIn(source);
  const pairs = [...start];
  return Array.from({ length: count }, (): Step => {
    const { state, logits } = gatedPasses(tensors, pairs, shape, NAMES).at(-1)!;
    const token = argmax(Float32Array.from(logits));
    pairs.push({ token, state });
    return { token, logits, state };
  });
}

function expectClose(found: readonly Step[], wanted: readonly Step[], tolerance = 1e-4): void {
  expect(found.map(({ token }) => token)).toEqual(wanted.map(({ token }) => token));
  const worst = (a: readonly number[], b: readonly number[]) =>
    a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
  for (const [i, { logits, state }] of wanted.entries()) {
    expect(found[i].logits).toHaveLength(logits.length);
    expect(worst(found[i].logits, logits)).toBeLessThan(tolerance);
    expect(worst(found[i].state, state)).toBeLessThan(tolerance);
  }
}

const GOLDEN: readonly [string, GatedShape][] = [
  [
    'mtp-qwen3-next',
    {
      ...{ heads: 2, kvHeads: 1, headDim: 16, turning: 4, theta: 1e7, eps: 1e-6 },
      routing: { perRow: 2, normalised: true },
    },
  ],
  ['mtp-qwen3-5', { heads: 2, kvHeads: 1, headDim: 8, turning: 4, theta: 1e6, eps: 1e-6 }],
];

describe.each(BACKENDS)('gated layers on %s', (_, make) => {
  let verifier: Decoder;
  beforeAll(async () => {
    verifier = await loadModel(TARGET, { backend: await make(), contextLength: 96 });
  });
  afterAll(() => {
    verifier.dispose();
    verifier.backend.dispose();
  });

  it.each(GOLDEN)('give the logits and states of transformers: %s', async (name) => {
    const { prompt, steps } = JSON.parse(readFileSync(golden(`heads/${name}/golden.json`), 'utf8'));
    expect(prompt).toEqual(PROMPT);
    using speculator = await Speculator.fromPretrained(golden(`heads/${name}`), { verifier });
    const found = await chain(verifier, chainedOf(speculator), steps.length);
    expectClose(found.steps, steps);
  });

  it.each(Object.entries(KINDS))('give those of the second implementation: %s', async (_, kind) => {
    const source = headOf(kind);
    using speculator = await Speculator.fromPretrained(source, { verifier });
    expect(speculator.notes).toEqual([]);
    const { pairs, steps } = await chain(verifier, chainedOf(speculator), 5);
    expectClose(steps, await expected(source, kind.shape, pairs, 5));
  });

  it.each(['Qwen3.5', 'Qwen3-Next'])(
    'give a row the same bits in any company: %s',
    async (name) => {
      using speculator = await Speculator.fromPretrained(headOf(KINDS[name]), { verifier });
      const model = speculator.model!;
      const states = PROMPT.map((token, row) =>
        Float32Array.from({ length: WIDTH }, (_, i) => Math.sin(1 + i * token + row)),
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
      for (const sizes of [[9], [4, 5], [1, 2, 3, 3], [7, 2]])
        expect(await pass(sizes)).toEqual(alone);
    },
  );
});

describe('heads with gated layers', () => {
  let verifier: Decoder;
  beforeAll(async () => {
    verifier = await loadModel(TARGET, { backend: wasm({ threads: 1 }), contextLength: 96 });
  });
  afterAll(() => verifier.dispose());

  it.each(GOLDEN)('have a second implementation that is right: %s', async (name, shape) => {
    const { steps } = JSON.parse(readFileSync(golden(`heads/${name}/golden.json`), 'utf8'));
    const source = await openFolder(golden(`heads/${name}`));
    using speculator = await Speculator.fromPretrained(source, { verifier });
    const { pairs } = await chain(verifier, chainedOf(speculator), 1);
    expectClose(await expected(source, shape, pairs, steps.length), steps);
    await source.close();
  });

  it.each(Object.keys(KINDS))('leave the text of the target as it is: %s', async (name) => {
    using speculator = await Speculator.fromPretrained(headOf(KINDS[name]), { verifier });
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
  });
});
