// The dynamic tree of EAGLE-2 on the worked example: what is looked at and kept, its rows in a forward, and what is left after a verdict.
import { describe, expect, it } from 'vitest';
import { SlotPool, SlotSequence } from '../../src/models/cache.ts';
import { rowsOf } from '../../src/models/rows.ts';
import { depthsOf, pathTo } from '../../src/models/tree.ts';
import type { DraftRequest } from '../../src/speculate/drafter.ts';
import { growDynamic } from '../../src/speculate/drafters/explore.ts';
import type { Pass, Passes } from '../../src/speculate/drafters/passes.ts';
import { createNoise } from '../../src/speculate/noise.ts';
import { point } from '../../src/speculate/sample.ts';
import { greedy } from '../../src/speculate/verifiers/greedy.ts';
import { rounded, vectors } from './laws.ts';

const { G } = vectors;

interface Example {
  readonly draft_start: readonly number[];
  readonly draft_rows: readonly (readonly number[])[];
  readonly topk: number;
  readonly depth: number;
  readonly N: number;
}

/** The tree of an example, and the tokens that were followed on each level. */
async function treeOf({ draft_start, draft_rows, topk, depth, N }: Example) {
  const followed: { readonly token: number; readonly parent: number }[][] = [];
  const passOf = (row: readonly number[]): Pass => ({
    logits: Float32Array.from(row, Math.log),
    state: new Float32Array(),
  });
  const passes: Passes = {
    begin: () => Promise.reject(new Error('expected no new text')),
    push: () => Promise.reject(new Error('expected levels, got a chain')),
    async feed(nodes, { first }) {
      const level = nodes.slice(first);
      followed.push(level.map(({ token, parent }) => ({ token, parent })));
      return level.map(({ token }) => passOf(draft_rows[token]));
    },
    dispose() {},
  };
  const never = () => {
    throw new Error('expected tokens that are chosen, not drawn');
  };
  const request: DraftRequest = {
    tokens: [0],
    maxTokens: 60,
    maxDepth: 60,
    law: never,
    draw: never,
  };
  const shape = { expansion: topk, levels: depth, tokens: N };
  const { tokens, parents } = await growDynamic(passes, shape, request, passOf(draft_start));
  return { tokens, parents: parents!, followed };
}

describe('the dynamic tree of vector G', () => {
  it('follows the most probable paths of every level, each below the node that it came from', async () => {
    const { followed } = await treeOf(G);
    const byId = new Map(G.nodes.map((node) => [node.id, node]));
    const expanded = G.levels.map(({ kept_for_expansion: ids }) => ids);
    const order = expanded.flat();
    expect(followed).toEqual(
      expanded.slice(0, -1).map((ids) =>
        ids.map((id) => {
          const { token, parent } = byId.get(id)!;
          return { token, parent: order.indexOf(parent) };
        }),
      ),
    );
  });

  it('keeps the most probable nodes, and they are a tree', async () => {
    const { tokens, parents } = await treeOf(G);
    expect(tokens.map(({ token }) => token)).toEqual(G.tree_tokens_after_root);
    // Counted with the root.
    expect(parents.map((parent) => parent + 1)).toEqual(G.tree_parent_index.slice(1));
    expect(depthsOf(parents)).toEqual(G.tree_depth.slice(1));
    const scores = parents.map((_, node) =>
      pathTo(node, (each) => parents[each]).reduce((product, each) => {
        const row = parents[each] < 0 ? G.draft_start : G.draft_rows[tokens[parents[each]].token];
        return product * row[tokens[each].token];
      }, 1),
    );
    expect(rounded(scores)).toEqual(G.selected_ids.map((id) => G.nodes[id].score));
    expect(scores.reduce((sum, score) => sum + score, 1)).toBeCloseTo(G.sum_of_scores_plus_root, 9);
  });

  it('never keeps a node without its parent, whatever is equally probable', async () => {
    const { tokens, parents } = await treeOf(G.tie_trap);
    expect(tokens.map(({ token }) => token)).toEqual(G.tie_trap.correct_selection);
    expect(parents).toEqual([-1, -1]);
  });
});

describe('a forward over that tree', () => {
  /** The rows of the root and the tree after a prefix, in a cache without holes. */
  const forward = async () => {
    const { tokens, parents } = await treeOf(G);
    const pool = new SlotPool(20);
    const sequence = new SlotSequence(pool);
    sequence.extend(G.prefix_length, []);
    const draft = { tokens: tokens.map(({ token }) => token), parents };
    return { sequence, tokens, parents, rows: rowsOf([{ sequence, tokens: [0], draft }], 64) };
  };

  it('has the positions, the slots and the mask of vector G', async () => {
    const { rows } = await forward();
    expect(rows.map(({ position }) => position)).toEqual(G.position_ids);
    expect(rows.map(({ slot }) => slot)).toEqual(G.kv_slots);
    const mask = rows.map(({ sees, count }) => {
      const seen = new Set(sees.slice(0, count));
      for (let slot = 0; slot < G.prefix_length; slot++) expect(seen.has(slot)).toBe(true);
      return G.kv_slots.map((slot) => (seen.has(slot) ? 1 : 0));
    });
    expect(mask).toEqual(G.attention_mask_rows);
  });

  it('leaves the accepted path in the cache, in the slots where it was computed', async () => {
    const { root_to_leaf_paths: paths } = G;
    for (const example of G.acceptance_examples) {
      const { sequence, tokens, parents } = await forward();
      const { path, next } = greedy.verify({
        draft: { tokens, parents },
        law: (row) => point(example.target_argmax_per_tree_row[row]),
        position: G.prefix_length + 1,
        noise: createNoise(0).round(0),
      });
      const accepted = [0, ...path.map((node) => node + 1)];
      expect(accepted).toEqual(example.accepted_tree_rows);
      expect(paths.some((each) => accepted.every((row, depth) => row === each[depth]))).toBe(true);
      expect([...path.map((node) => tokens[node].token), next]).toEqual(example.emitted_tokens);
      expect(next).toBe(example.new_root_token);
      sequence.keep(path);
      expect(sequence.length).toBe(example.kv_length_after);
      // A cache of rows in order would have to copy these; a list of slots names them.
      const copies = example.kv_copy.map(([from, to]) => [sequence.slots[to], from]);
      for (const [slot, from] of copies) expect(slot).toBe(from);
      const stay = sequence.slots.filter((slot, position) => slot !== position);
      expect(stay).toEqual(example.kv_copy.map(([from]) => from));
    }
  });
});
