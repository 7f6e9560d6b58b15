// Verifiers that judge a path as a whole, and siblings drawn with replacement: worked examples, exact laws, and wrong variants that the
// proof has to find.
import { describe, expect, it } from 'vitest';
import { chiSquare } from '../../site/chi-square.ts';
import { lawDraw, pointDraw } from '../../src/speculate/drawn.ts';
import { createNoise } from '../../src/speculate/noise.ts';
import { emit, prove } from '../../src/speculate/prove.ts';
import type { Verifier } from '../../src/speculate/verifier.ts';
import { rejection, rejectionWithReplacement } from '../../src/speculate/verifiers/rejection.ts';
import { block, traversal } from '../../src/speculate/verifiers/traversal.ts';
import { blockMutants, blockOf } from './block-mutants.ts';
import { chain, constant, probs, rounded, totalVariation, vectors } from './laws.ts';
import { rowOf, scripted } from './scripted.ts';
import { verifierConformance } from './verifier-conformance.ts';

verifierConformance('block', block);
verifierConformance('traversal', traversal);
verifierConformance('rejection with replacement', rejectionWithReplacement, {
  skip: {
    'draws different tokens of positive probability, as many as there are':
      'with replacement a token may come twice',
  },
});

const { C, D, E } = vectors;
const startOf = (token: number | undefined, start: number[], rows: number[][]) =>
  token === undefined ? start : rows[token];

/** The drafted path of vector C with these tokens, judged with coins from the leaf up. */
function judged(path: readonly number[], coins: readonly number[]) {
  const script = scripted(coins, 0);
  const tokens = path.map((token, depth) =>
    lawDraw(token, probs(startOf(path[depth - 1], C.draft_start, C.draft_rows))),
  );
  const law = (row: number) => probs(startOf(path[row - 1], C.target_start, C.target_rows));
  const verdict = block.verify({ draft: { tokens }, law, position: 0, noise: script.noise });
  return { verdict, ...script };
}

describe('block', () => {
  it('accepts with the weights of vector C and owes what they leave', () => {
    for (const [key, { h, residual_after_0, residual_after_1 }] of Object.entries(
      C.block_quantities,
    )) {
      const path = key.split(',').map(Number);
      const least = judged(path, [0.999, 0.999]);
      expect(rounded(least.thresholds)).toEqual(
        h.slice(1).toReversed().slice(0, least.thresholds.length),
      );
      // A certain coin says yes.
      const accepted = h.lastIndexOf(1);
      expect(least.verdict.path).toHaveLength(accepted);
      const owed = [residual_after_0, residual_after_1, C.target_rows[path[1]]];
      expect(rowOf(least.picks[0]).slice(0, 3)).toEqual(owed[accepted]);
    }
  });

  it('goes by the last coin that says yes, not by the first that says no', () => {
    const { path, coins } = C.block_non_contiguous;
    expect(judged(path, coins.toReversed()).verdict.path).toEqual([0, 1]);
  });

  it('has the lengths and the law of the blocks of vector C', () => {
    for (const [length, wanted] of Object.entries(C.length_distribution_block)) {
      const branching = Array(Number(length)).fill(1);
      const { blocks, expectedTokens } = prove({ ...chain, verifier: block, branching });
      const lengths = wanted.map((_, index) => {
        const ofLength = [...blocks].filter(([key]) => key.split(',').length === index + 1);
        return ofLength.reduce((sum, [, probability]) => sum + probability, 0);
      });
      expect(rounded(lengths)).toEqual(wanted);
      const policies = C.E_tokens_by_policy as Record<string, { readonly block: number }>;
      expect(expectedTokens).toBeCloseTo(policies[length].block, 6);
    }
    const { blocks } = prove({ ...chain, verifier: block, branching: [1, 1] });
    const wanted = Object.entries(C.emission_block_2);
    expect(blocks.size).toBe(wanted.length);
    for (const [key, probability] of wanted) expect(blocks.get(key)).toBeCloseTo(probability, 6);
  });

  it('accepts as much as vector D says, never less than rejection', () => {
    for (const [length, accepted] of Object.entries(D.E_accepted_block)) {
      const options = {
        vocabulary: 2,
        target: constant([1 / 3, 2 / 3]),
        draft: constant([2 / 3, 1 / 3]),
        branching: Array(Number(length)).fill(1),
      };
      const { expectedTokens } = prove({ ...options, verifier: block });
      expect(expectedTokens - 1).toBeCloseTo(accepted, 6);
      const plain = prove({ ...options, verifier: rejection });
      expect(expectedTokens).toBeGreaterThan(plain.expectedTokens - 1e-12);
    }
  });
});

describe('traversal', () => {
  it('has the tokens per round of vector I for every tree', () => {
    for (const { branching, E_tokens_traversal } of Object.values(vectors.I)) {
      const { expectedTokens } = prove({ ...chain, verifier: traversal, branching });
      expect(expectedTokens).toBeCloseTo(E_tokens_traversal, 6);
    }
  });

  it('visits the worked tree of vector I in order, with its thresholds and what each would owe', () => {
    const { visits } = vectors.I_worked_tree;
    const [first, second] = [probs(C.draft_start), C.draft_rows.map((row) => probs(row))];
    const shape = [
      [2, -1],
      [0, -1],
      [0, 0],
      [1, 0],
      [1, 1],
    ];
    const tokens = shape.map(([token, parent]) =>
      lawDraw(token, parent < 0 ? first : second[shape[parent][0]]),
    );
    const draft = { tokens, parents: shape.map(([, parent]) => parent) };
    const law = (row: number) =>
      probs(row === 0 ? C.target_start : C.target_rows[shape[row - 1][0]]);
    for (const [stop, visit] of visits.entries()) {
      const coins = visits.map((_, index) => (index === stop ? 0 : 2));
      const { noise, thresholds, picks } = scripted(coins, 0);
      const { path } = traversal.verify({ draft, law, position: 0, noise });
      const reached = visits.slice(0, stop + 1).map((each) => each.accept_if_u_below);
      // The root is accepted without a coin.
      const tossed = reached.slice(0, visits.length - 1);
      expect(rounded(thresholds).slice(0, tossed.length)).toEqual(tossed);
      if (visit.accept_if_u_below === 0) continue;
      expect(path.map((node) => shape[node][0])).toEqual(visit.path);
      expect(rowOf(picks[0]).slice(0, 3)).toEqual(visit.bonus_distribution_if_accepted);
    }
  });

  it('emits what vector I says of that tree', () => {
    const [first, second] = [probs(C.draft_start), C.draft_rows.map((row) => probs(row))];
    const { root, ...below } = vectors.I_worked_tree.children_in_order;
    const childrenOf: Readonly<Record<string, readonly number[]>> = below;
    const draft = ([, parent]: readonly number[]) =>
      parent === undefined
        ? root.map((token) => lawDraw(token, first))
        : (childrenOf[parent] ?? []).map((token) => lawDraw(token, second[parent]));
    const { blocks } = prove({ ...chain, draft, verifier: traversal, branching: [2, 2] });
    const wanted = Object.entries(vectors.I_worked_tree.emission);
    expect(blocks.size).toBe(wanted.length);
    for (const [text, probability] of wanted) expect(blocks.get(text)).toBeCloseTo(probability, 6);
  });

  it('asks for no law below a token that the target excludes', () => {
    const asked: number[] = [];
    const draft = { tokens: [lawDraw(0, probs([0.5, 0.5])), pointDraw(1), pointDraw(1)] };
    const law = (row: number) => {
      asked.push(row);
      return probs([0, 1]);
    };
    const { noise } = scripted([], 0.5);
    expect(traversal.verify({ draft, law, position: 3, noise }).path).toEqual([]);
    expect(asked).toEqual([0]);
  });
});

describe('rejection with replacement', () => {
  it('keeps the law with numbers of seeds, by chi-square', () => {
    const laws = { vocabulary: 4, target: constant(E.p), draft: constant(E.q) };
    const options = { ...laws, verifier: rejectionWithReplacement, branching: [3] };
    const counts = new Map<string, number>();
    for (let seed = 0; seed < 20_000; seed++) {
      const [first] = emit(options, createNoise(seed));
      counts.set(String(first), (counts.get(String(first)) ?? 0) + 1);
    }
    const expected = new Map(E.p.map((mass, token) => [String(token), mass]));
    expect(chiSquare(expected, counts).pValue).toBeGreaterThan(1e-4);
  });

  it('accepts as often as vectors E and I say', () => {
    for (const [count, acceptance] of Object.entries(E.recursive_with_replacement)) {
      const laws = { vocabulary: 4, target: constant(E.p), draft: constant(E.q) };
      const { expectedTokens, maxError } = prove({
        ...laws,
        verifier: rejectionWithReplacement,
        branching: [Number(count)],
      });
      expect(expectedTokens - 1).toBeCloseTo(acceptance, 6);
      expect(maxError).toBeLessThan(1e-12);
    }
    for (const { branching, E_tokens } of Object.values(vectors.I_with_replacement)) {
      const proof = prove({ ...chain, verifier: rejectionWithReplacement, branching });
      expect(proof.expectedTokens).toBeCloseTo(E_tokens, 6);
    }
  });
});

describe('the proof', () => {
  const worst = (verifier: Verifier) =>
    Math.max(
      ...[
        { branching: [1, 1], rounds: 1 },
        { branching: [1, 1], rounds: 3 },
        { branching: [1, 1, 1], rounds: 1 },
      ].map((trial) => prove({ ...chain, verifier, ...trial }).maxError),
    );

  it('accepts the parts that the mutants are made from', () => {
    expect(worst(blockOf({}))).toBeLessThan(1e-12);
  });

  for (const [name, verifier] of Object.entries(blockMutants))
    it(`finds the block verifier that ${name}`, () => {
      expect(worst(verifier)).toBeGreaterThan(1e-3);
    });

  it('measures the wrong variants of vector C as worked out', () => {
    for (const [name, { tv_vs_target_joint, E_tokens }] of Object.entries(C.block_wrong_variants)) {
      const names: Record<string, string> = {
        contiguous: 'stops at the first coin that says no',
        w_as_h: 'tosses the running weight instead of what the rest leaves of it',
        token_residual: 'owes the residual of the last token instead of the path',
      };
      const verifier = blockMutants[names[name]];
      const { emitted, target, expectedTokens } = prove({ ...chain, verifier, branching: [1, 1] });
      const keys = [...new Set([...emitted.keys(), ...target.keys()])];
      const row = (law: ReadonlyMap<string, number>) => keys.map((key) => law.get(key) ?? 0);
      expect(totalVariation(row(emitted), row(target))).toBeCloseTo(tv_vs_target_joint, 6);
      expect(expectedTokens).toBeCloseTo(E_tokens, 6);
    }
  });

  it('finds siblings drawn without replacement that are judged as drawn with, and not the other way round', () => {
    const drawnWithout: Verifier = { ...rejectionWithReplacement, draw: rejection.draw };
    expect(prove({ ...chain, verifier: drawnWithout, branching: [2] }).maxError).toBeGreaterThan(
      1e-3,
    );
    // What is left when copies are passed over is a draw without replacement.
    const drawnWith: Verifier = { ...rejection, draw: rejectionWithReplacement.draw };
    expect(prove({ ...chain, verifier: drawnWith, branching: [2] }).maxError).toBeLessThan(1e-12);
    // So does traversal.
    const traversed: Verifier = { ...traversal, draw: rejectionWithReplacement.draw };
    for (const branching of [[2], [2, 1], [1, 2]])
      expect(prove({ ...chain, verifier: traversed, branching }).maxError).toBeLessThan(1e-12);
  });
});
