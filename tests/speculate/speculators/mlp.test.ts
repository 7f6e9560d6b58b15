// MLP speculators against a second implementation in float64: chains and trees, and what is refused.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../../src/kernels/backend.ts';
import { FormatError, OptionError, UnsupportedError } from '../../../src/kernels/errors.ts';
import { wasm } from '../../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import type { Draft } from '../../../src/speculate/drafter.ts';
import type { DraftHeadOptions } from '../../../src/speculate/drafters/head.ts';
import { mixOf } from '../../../src/speculate/drafters/mlp.ts';
import type { DepthHead } from '../../../src/speculate/speculators/head.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import type { FolderSource } from '../../../src/tensor/source.ts';
import { numbers } from '../../kernels/toy.ts';
import {
  BACKENDS,
  best,
  distance,
  lastOf,
  PROMPT,
  TARGET,
  tensorsWith,
  VOCAB,
  WIDTH,
} from './depth-heads.ts';
import { after, firstState, IBM, INNER, makeHead, VARIANTS, type Variant } from './mlp-head.ts';

describe.each(BACKENDS)('MLP speculators on $name', ({ open }) => {
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

  it.each(VARIANTS)(
    'give the logits and states of the second implementation: %j',
    async (variant) => {
      const source = makeHead(variant);
      using speculator = await Speculator.fromPretrained(source, { verifier });
      const head = speculator.head as DepthHead;
      const { hidden, token } = await lastOf(verifier);
      const tensors = await tensorsWith(source);
      const first = firstState(tensors, [...hidden[0]], variant);
      let [state] = await head.fuse(hidden);
      expect(distance(state, first)).toBeLessThan(1e-4);
      const path = [token];
      for (let depth = 0; depth < head.steps; depth++) {
        const [found] = await head.pass(depth, [{ token: path[depth], state }]);
        const expected = after(tensors, first, path, variant);
        expect(distance(found.logits, expected.logits)).toBeLessThan(1e-4);
        expect(distance(found.state, expected.state)).toBeLessThan(1e-4);
        path.push(best(expected.logits, 1)[0].token);
        state = found.state;
      }
    },
  );

  it('give a row the same bits in any company', async () => {
    using speculator = await Speculator.fromPretrained(makeHead(IBM), { verifier });
    const head = speculator.head as DepthHead;
    for (const [depth, width] of [WIDTH, INNER, INNER].entries()) {
      // More than one run.
      const count = verifier.maxRows + 5;
      const pairs = Array.from({ length: count }, (_, at) => ({
        token: (at * 7) % VOCAB,
        state: numbers(at, width),
      }));
      const together = await head.pass(depth, pairs);
      for (const at of [0, 3, verifier.maxRows - 1, count - 1]) {
        const [alone] = await head.pass(depth, [pairs[at]]);
        expect(alone).toEqual(together[at]);
      }
    }
  });
});

describe('an MLP speculator', () => {
  let verifier: Decoder;
  beforeAll(async () => {
    verifier = await loadModel(TARGET, { backend: wasm({ threads: 1 }), contextLength: 96 });
  });
  afterAll(() => verifier.dispose());
  const load = (variant: Variant = IBM, change: object = {}) =>
    Speculator.fromPretrained(makeHead(variant, change), { verifier });

  it('mixes state and token as it was trained to', () => {
    const { state, token } = mixOf(3, 4096);
    expect(state).toBeCloseTo(0.8909, 4);
    expect(token).toBeCloseTo(20.555, 3);
    expect(token / state).toBeCloseTo(23.072, 3);
  });

  /** What a drafter chooses after PROMPT. */
  async function drafted(speculator: Speculator, options: DraftHeadOptions, maxTokens = 64) {
    const { hidden, token } = await lastOf(verifier);
    const unused = () => {
      throw new Error('this tree chooses its tokens itself');
    };
    const drafter = speculator.drafter(options);
    const draft = await drafter.draft({
      tokens: [...PROMPT, token],
      hidden,
      maxTokens,
      maxDepth: 16,
      law: unused,
      draw: unused,
    });
    drafter.dispose?.();
    const paths = pathsIn(draft);
    expect(new Set(paths).size).toBe(paths.length);
    return paths;
  }

  /** The tokens from the text to every node. */
  const pathsIn = ({ tokens, parents }: Draft) =>
    tokens.map((_, node) => {
      const path: number[] = [];
      for (let each = node; each >= 0; each = parents![each]) path.unshift(tokens[each].token);
      return path.join();
    });

  /** All paths of a full tree with ln of their probability, from the second implementation. */
  async function pathsOf(source: FolderSource, expansion: readonly number[]) {
    const { hidden, token } = await lastOf(verifier);
    const tensors = await tensorsWith(source);
    const first = firstState(tensors, [...hidden[0]], IBM);
    let level: { path: number[]; score: number }[] = [{ path: [], score: 0 }];
    const all: (typeof level)[] = [];
    for (const count of expansion) {
      level = level.flatMap(({ path, score }) =>
        best(after(tensors, first, [token, ...path], IBM).logits, count).map((child) => ({
          path: [...path, child.token],
          score: score + child.value,
        })),
      );
      all.push(level);
    }
    return all;
  }

  it('proposes the most probable whole paths, their shared beginnings once', async () => {
    const expansion = [5, 4, 3];
    const source = makeHead(IBM, { top_k_tokens_per_head: expansion, n_candidates: 6 });
    using speculator = await Speculator.fromPretrained(source, { verifier });
    const leaves = (await pathsOf(source, expansion))[2].toSorted((a, b) => b.score - a.score);
    expect(leaves).toHaveLength(60);
    const expected = (count: number) =>
      new Set(
        leaves
          .slice(0, count)
          .flatMap(({ path }) => path.map((_, at) => path.slice(0, at + 1).join())),
      );
    const paths = { expansion, kept: 6 };
    expect(new Set(await drafted(speculator, { paths }))).toEqual(expected(6));
    expect(expected(6).size).toBeLessThan(18);
    // As many whole paths as there is room for.
    const room = expected(6).size - 1;
    const fewer = [5, 4, 3, 2, 1].find((count) => expected(count).size <= room)!;
    expect(new Set(await drafted(speculator, { paths }, room))).toEqual(expected(fewer));
    const proposal = speculator.proposal('paths');
    expect(proposal.drafter.name).toBe('mlp 6 paths of [5, 4, 3]');
    expect(proposal.draftLength).toBe(18);
    expect(proposal.drafter.nodesAt?.(2)).toBe(12);
  });

  it('proposes the tree of the most probable nodes', async () => {
    const source = makeHead(IBM);
    using speculator = await Speculator.fromPretrained(source, { verifier });
    // Wide enough that nothing that is kept hangs on what is not followed.
    const all = (await pathsOf(source, [4, 4, 4])).flat().toSorted((a, b) => b.score - a.score);
    const dynamic = { expansion: 4, levels: 3, tokens: 7 };
    const found = await drafted(speculator, { dynamic });
    expect(new Set(found)).toEqual(new Set(all.slice(0, 7).map(({ path }) => path.join())));
  });

  it('takes one run a level of a static tree, and drafts no deeper than it has steps', async () => {
    const source = makeHead(IBM);
    using speculator = await Speculator.fromPretrained(source, { verifier });
    const head = speculator.head as DepthHead;
    const runs: number[] = [];
    const { pass } = head;
    Object.assign(head, {
      pass: (...args: Parameters<typeof pass>) => {
        runs.push(args[1].length);
        return pass(...args);
      },
    });
    const drafter = speculator.drafter({ branching: [3, 2] });
    const { hidden, token } = await lastOf(verifier);
    const draft = await drafter.draft({
      tokens: [...PROMPT, token],
      hidden,
      maxTokens: 40,
      maxDepth: 16,
      law: (logits) => ({ probs: Float64Array.from(logits, Math.exp) }),
      draw: ({ probs }: never, _: number, count: number) =>
        best([...(probs as Float64Array)], count).map((each) => each as never),
    });
    expect(runs).toEqual([1, 3, 6]);
    const expected = (await pathsOf(source, [3, 2, 1])).flat();
    expect(pathsIn(draft)).toEqual(expected.map(({ path }) => path.join()));
    expect(expected).toHaveLength(3 + 6 + 6);
    expect(drafter.nodesAt?.(16)).toBe(3 + 6 + 6);
    using long = await load(IBM, {
      speculators_config: {
        algorithm: 'mlp',
        default_proposal_method: 'greedy',
        proposal_methods: [{ proposal_type: 'greedy', speculative_tokens: 5 }],
        verifier: { name_or_path: null, architectures: [] },
      },
    });
    expect(long.notesOn()).toContain('greedy: 5 levels are asked for, and the head drafts 3');
  });

  it('loads from the folder that it was saved to', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mlp-'));
    try {
      for (const variant of VARIANTS) {
        using read = await load(variant, { of_mine: [1] });
        await read.savePretrained(folder);
        using again = await Speculator.fromPretrained(folder, { verifier });
        expect(await again.files()).toEqual(await read.files());
        expect(again.config).toEqual(read.config);
        expect(again.config.raw['of_mine']).toEqual([1]);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.each<[string, object, string, new (...args: never[]) => Error]>([
    [
      'another width',
      { hidden_size: 48 },
      "mlp: hidden_size: expected the target's 32, got 48",
      FormatError,
    ],
    [
      'another vocabulary',
      { vocab_size: 65 },
      "mlp: vocab_size: expected the target's 64, got 65",
      FormatError,
    ],
    [
      'other inputs',
      { inputs: ['hidden_states[-2]'] },
      'mlp: inputs: expected input_embeddings, hidden_states[-1], got hidden_states[-2]',
      UnsupportedError,
    ],
    ['no steps', { num_layers: 0 }, 'num_layers', FormatError],
    ['a wrong type', { tie_weights: 'yes' }, 'tie_weights', FormatError],
    [
      'counts for other steps',
      { top_k_tokens_per_head: [5, 4] },
      'expected as many top_k_tokens_per_head as num_layers',
      FormatError,
    ],
    ['weights that are not there', { num_layers: 4 }, 'missing emb.3.weight [64, 24]', FormatError],
    ['weights that nobody uses', { tie_weights: true }, 'unused emb.1.weight', FormatError],
    [
      'weights of another shape',
      { intermediate_size: 25 },
      'proj.1.weight: expected shape [25, 25], got [24, 24]',
      FormatError,
    ],
  ])('refuses %s', async (_, change, message, kind) => {
    await expect(load(IBM, change)).rejects.toThrow(message);
    await expect(load(IBM, change)).rejects.toThrow(kind);
  });

  it('needs its target as long as it lives', async () => {
    const own = await loadModel(TARGET, { backend: verifier.backend, contextLength: 64 });
    using speculator = await Speculator.fromPretrained(makeHead(IBM), { verifier: own });
    const head = speculator.head as DepthHead;
    own.dispose();
    const pairs = [{ token: 1, state: new Float32Array(WIDTH) }];
    await expect(head.pass(0, pairs)).rejects.toThrow(
      'pass: expected the model whose weights it uses, got a disposed one',
    );
  });

  it('is disposed once and for all, and leaves the target', async () => {
    const speculator = await load();
    const head = speculator.head as DepthHead;
    const pairs = [{ token: 1, state: new Float32Array(WIDTH) }];
    await head.pass(0, pairs);
    speculator.dispose();
    speculator.dispose();
    await expect(head.pass(0, pairs)).rejects.toThrow('expected a head, got a disposed one');
    expect((await lastOf(verifier)).hidden).toHaveLength(1);
  });

  it('has no tree of its own unless its config says so, and one shape at a time', async () => {
    using speculator = await load();
    expect(() => speculator.proposal('paths')).toThrow('proposal: expected greedy, got paths');
    expect(() =>
      speculator.drafter({ branching: [2], paths: { expansion: [2], kept: 1 } }),
    ).toThrow('draftHead: expected one shape, got branching and paths');
    expect(() => speculator.drafter({ paths: { expansion: [0], kept: 1 } })).toThrow(OptionError);
    expect(() => speculator.drafter({ paths: { expansion: [2], kept: 0 } })).toThrow(
      'draftHead: paths.kept: expected a whole number from 1, got 0',
    );
  });
});
