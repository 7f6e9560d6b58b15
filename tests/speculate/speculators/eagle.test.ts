// EAGLE heads against golden values: fusion, every row of a first pass, a greedy chain; and the loop that drafts with them.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../../src/kernels/backend.ts';
import { cpu } from '../../../src/kernels/cpu/index.ts';
import { reference } from '../../../src/kernels/reference/index.ts';
import { wasm } from '../../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import { none } from '../../../src/speculate/drafters/none.ts';
import { generate } from '../../../src/speculate/generate.ts';
import { argmax } from '../../../src/speculate/sample.ts';
import type { DecoderHead } from '../../../src/speculate/speculators/head.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import { spelled } from '../fixtures.ts';

const golden = (path: string) => fileURLToPath(new URL(`../../golden/${path}`, import.meta.url));
const TARGET = golden('tiny-random-llama-8l');
const HEADS = ['eagle1', 'hass', 'eagle3', 'eagle31-fcnorm', 'eagle3-nbr-fullvocab'];
const TOLERANCE = 1e-4;

interface Golden {
  readonly prompt_ids: readonly number[];
  readonly next_token: number;
  readonly draft_row_tokens: readonly number[];
  readonly target_hidden: readonly (readonly number[])[];
  readonly fused: readonly (readonly number[])[];
  readonly step0_logits: readonly (readonly number[])[];
  readonly chain_ids: readonly number[];
  readonly chain_logits: readonly (readonly number[])[];
  readonly chain_hidden: readonly (readonly number[])[];
  /** EAGLE-2's tree over the first pass: node 0 is the text, row i of the mask the ancestors of node i. */
  readonly eagle2_tree: {
    readonly total_tokens: number;
    readonly depth: number;
    readonly top_k: number;
    readonly draft_tokens: readonly number[];
    readonly tree_mask: readonly (readonly number[])[];
  } | null;
}

/**
 * Within 1e-4, of the largest number of the row where that is above 1: EAGLE-1 has no norm between its steps, so that a chain of
 * random weights grows to 900, where neighbouring f32 are 6e-5 apart.
 */
function close(found: ArrayLike<number>, expected: readonly number[]): void {
  expect(found).toHaveLength(expected.length);
  const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - found[i])), 0);
  const scale = Math.max(1, ...expected.map(Math.abs));
  expect(worst / scale).toBeLessThan(TOLERANCE);
}

const BACKENDS: readonly { readonly name: string; open(): Backend }[] = [
  { name: 'reference', open: reference },
  { name: 'cpu', open: cpu },
  { name: 'wasm', open: () => wasm({ threads: 2 }) },
];

describe.each(BACKENDS)('heads on $name', ({ open }) => {
  let backend: Backend;
  let verifier: Decoder;
  beforeAll(async () => {
    backend = open();
    verifier = await loadModel(TARGET, { backend, contextLength: 96 });
  });
  afterAll(() => {
    verifier.dispose();
    backend.dispose();
  });

  describe.each(HEADS)('%s', (name) => {
    const values = JSON.parse(readFileSync(golden(`heads/${name}/golden.json`), 'utf8')) as Golden;

    it('fuses the states that the target gives', async () => {
      using speculator = await Speculator.fromPretrained(golden(`heads/${name}`), { verifier });
      const head = speculator.head!;
      const cache = verifier.createCache({ taps: head.taps });
      const tokens = values.prompt_ids;
      const { hidden, logits } = await verifier.forward(cache, [
        { sequence: cache.sequence(), tokens, keep: tokens.map((_, row) => row) },
      ]);
      cache.dispose();
      expect(argmax(logits.at(-1)!)).toBe(values.next_token);
      // What is written down of EAGLE-1 is the state after the final norm, which is what its fusion gives.
      if (name.startsWith('eagle3'))
        for (const [row, state] of hidden.entries()) close(state, values.target_hidden[row]);
      const fused = await head.fuse(hidden);
      for (const [row, state] of fused.entries()) close(state, values.fused[row]);
    });

    it('gives the logits of every row, and the greedy chain with its states', async () => {
      using speculator = await Speculator.fromPretrained(golden(`heads/${name}`), { verifier });
      const { model, targetIds } = speculator.head as DecoderHead;
      const cache = model.createCache({ taps: [0] });
      const sequence = cache.sequence();
      const tokens = values.draft_row_tokens;
      const states = values.fused.map((state) => Float32Array.from(state));
      const keep = tokens.map((_, row) => row);
      const first = await model.forward(cache, [{ sequence, tokens, states, keep }]);
      for (const [row, logits] of first.logits.entries()) close(logits, values.step0_logits[row]);
      let logits = first.logits.at(-1)!;
      let state = first.hidden.at(-1)!;
      for (const [step, id] of values.chain_ids.entries()) {
        close(logits, values.chain_logits[step]);
        close(state, values.chain_hidden[step]);
        const token = argmax(logits);
        expect(targetIds?.[token] ?? token).toBe(id);
        const next = await model.forward(cache, [{ sequence, tokens: [id], states: [state] }]);
        logits = next.logits[0];
        state = next.hidden[0];
      }
      cache.dispose();
    });

    it.skipIf(values.eagle2_tree == null)('gives the dynamic tree of EAGLE-2', async () => {
      const tree = values.eagle2_tree!;
      using speculator = await Speculator.fromPretrained(golden(`heads/${name}`), { verifier });
      const head = speculator.head!;
      const cache = verifier.createCache({ taps: head.taps });
      const tokens = values.prompt_ids;
      const { hidden } = await verifier.forward(cache, [
        { sequence: cache.sequence(), tokens, keep: tokens.map((_, row) => row) },
      ]);
      cache.dispose();
      const nodes = tree.total_tokens - 1;
      const drafter = speculator.drafter({
        dynamic: { expansion: tree.top_k, levels: tree.depth + 1, tokens: nodes },
      });
      const unused = () => {
        throw new Error('a dynamic tree chooses its tokens itself');
      };
      const draft = await drafter.draft({
        tokens: [...tokens, values.next_token],
        hidden,
        maxTokens: 64,
        maxDepth: 16,
        law: unused,
        draw: unused,
      });
      expect(draft.tokens.map(({ token }) => token)).toEqual(tree.draft_tokens.slice(1));
      const parents = tree.tree_mask.slice(1).map((row, index) => {
        // The deepest ancestor is the last one before the node itself.
        const ancestors = row.flatMap((seen, node) => (seen && node <= index ? [node] : []));
        return ancestors.at(-1)! - 1;
      });
      expect(draft.parents).toEqual(parents);
      drafter.dispose?.();
    });

    it('leaves the text of the target as it is, as a chain and as a tree', async () => {
      using speculator = await Speculator.fromPretrained(golden(`heads/${name}`), { verifier });
      const target = { model: verifier, tokenizer: spelled };
      const prompt = values.prompt_ids;
      for (const temperature of [0, 0.9]) {
        const options = { maxTokens: 24, ignoreEos: true, temperature, seed: 4 };
        const plain = await generate(target, prompt, { ...options, drafter: none() });
        const shapes = [
          { branching: [1] },
          { branching: [3, 2, 1] },
          { dynamic: { expansion: 3, levels: 3, tokens: 6 } },
        ];
        for (const shape of shapes) {
          const drafter = speculator.drafter(shape);
          const drafted = await generate(target, prompt, { ...options, drafter, draftLength: 6 });
          expect(drafted.tokens).toEqual(plain.tokens);
          expect(drafted.stats.draftedTokens).toBeGreaterThan(10);
          drafter.dispose?.();
        }
      }
    });
  });
});
