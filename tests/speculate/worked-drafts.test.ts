// The numbers on the way of the worked examples of drafts and their rows: slots, sums, histories, n-grams, walks and nodes.
import { describe, expect, it } from 'vitest';
import { SlotPool, SlotSequence } from '../../src/models/cache.ts';
import { rowsOf } from '../../src/models/rows.ts';
import { depthsOf } from '../../src/models/tree.ts';
import { rounded, vectors } from './laws.ts';

const { AC, G, O, Q, W, X } = vectors;

describe('rows in blocks of a paged cache', () => {
  const [paged] = O;
  const size = paged.block_size!;
  const slotsOf = (blocks: readonly number[]) =>
    blocks.flatMap((number) => Array.from({ length: size }, (_, at) => number * size + at));

  it('are in the slots of vector O, and give back the blocks that it says', () => {
    const pool = new SlotPool(size * paged.block_tables_before!.flat().length);
    // Each holds its blocks, then the rows before the round.
    const sequences = paged.block_tables_before!.map((blocks) => {
      const sequence = new SlotSequence(pool);
      sequence.extend(blocks.length * size, []);
      expect(sequence.slots).toEqual(slotsOf(blocks));
      return sequence;
    });
    for (const [index, sequence] of sequences.entries()) {
      sequence.truncate(paged.kv_len_before[index]);
      const draft = { tokens: Array<number>(paged.drafts[index]).fill(0) };
      const rows = rowsOf([{ sequence, tokens: [0], draft }], 64);
      expect(rows.map(({ slot }) => slot)).toEqual(paged.slot_mapping![index]);
      sequence.keep([...draft.tokens.keys()].slice(0, paged.accepted[index]));
      expect(sequence.length).toBe(paged.kv_len_after[index]);
      const held = (number: number) =>
        slotsOf([number]).some((slot) => sequence.slots.includes(slot));
      const before = paged.block_tables_before![index];
      expect(before.filter(held)).toEqual(paged.block_tables_after_trim![index]);
      expect(before.filter((number) => !held(number))).toEqual(paged.blocks_freed![index]);
      expect(paged.accepted[index] + 1).toBe(paged.emitted_count![index]);
    }
  });
});

describe('a sum in f32', () => {
  it('is another one in another order, as vector AC says, so that rows need one order', () => {
    const [a, b, c, d] = AC.values;
    const add = (one: number, other: number) => Math.fround(one + other);
    expect(AC.values.reduce(add, 0)).toBe(AC.left_to_right);
    expect(add(add(a, b), add(c, d))).toBe(AC.pairwise);
  });
});

describe('penalised rows', () => {
  it('have the histories and the logits of vector Q', () => {
    for (const { row, history, penalized_logits } of Q.rows) {
      expect(history).toEqual([...Q.history, ...Q.draft.slice(0, row)]);
      const logits = Q.target_logits_every_row.map((logit, token) => {
        if (!history.includes(token)) return logit;
        return logit > 0 ? logit / Q.repetition_penalty : logit * Q.repetition_penalty;
      });
      expect(rounded(logits)).toEqual(penalized_logits);
    }
  });
});

describe('copied tokens', () => {
  it('are the best of the walks of vector W', () => {
    const best = W.trace.toSorted((a, b) => b.score - a.score || b.match_len - a.match_len)[0];
    expect(best).toEqual(W.chosen);
    expect(W.chosen.budget).toBe(W.max_spec_factor * W.chosen.match_len);
    expect(W.chosen.path_probs.reduce((sum, each) => sum + each, 0)).toBe(W.chosen.score);
  });

  it('follow the n-gram that vector X names, where it says', () => {
    const { ids, latest, earliest, max_ngram } = X;
    const placesOf = (ngram: readonly number[]) =>
      [...ids.keys()].filter(
        (at) => at + ngram.length < ids.length && ngram.every((id, j) => ids[at + j] === id),
      );
    expect(ids.slice(-latest.ngram.length)).toEqual(latest.ngram);
    expect(placesOf(ids.slice(-max_ngram))).toEqual([]);
    expect(placesOf(latest.ngram).at(-1)).toBe(latest.match_at);
    expect(placesOf(earliest.ngram)[0]).toBe(earliest.match_at);
    const from = latest.match_at + latest.ngram.length;
    expect(ids.slice(from, from + latest.draft.length)).toEqual(latest.draft);
  });
});

describe('the tree of vector G', () => {
  /** Levels of the `topk` children of each of the `topk` best nodes of the level before. */
  function grown({ draft_start, draft_rows, topk, depth }: typeof G | typeof G.tie_trap) {
    const nodes: { id: number; parent: number; token: number; score: number }[] = [];
    const levels: { created: number[]; kept: number[] }[] = [];
    let open = [-1];
    for (let level = 0; level < depth; level++) {
      const created: number[] = [];
      for (const parent of open) {
        const row = parent < 0 ? draft_start : draft_rows[nodes[parent].token];
        const ranked = [...row.keys()].sort((a, b) => row[b] - row[a] || a - b).slice(0, topk);
        for (const token of ranked) {
          const score = (parent < 0 ? 1 : nodes[parent].score) * row[token];
          created.push(nodes.length);
          nodes.push({ id: nodes.length, parent, token, score });
        }
      }
      open = created.toSorted((a, b) => nodes[b].score - nodes[a].score).slice(0, topk);
      levels.push({ created, kept: open });
    }
    return { nodes, levels };
  }

  it('has these nodes on these levels', () => {
    const { nodes, levels } = grown(G);
    const depths = depthsOf(nodes.map(({ parent }) => parent));
    expect(
      nodes.map((node, id) => ({ ...node, score: rounded([node.score])[0], depth: depths[id] })),
    ).toEqual(G.nodes.map((node) => expect.objectContaining(node)));
    expect(levels.map(({ created, kept }, at) => [at + 1, created, kept])).toEqual(
      G.levels.map(({ depth, created, kept_for_expansion }) => [
        depth,
        created,
        kept_for_expansion,
      ]),
    );
    // The root stands before the nodes.
    expect([G.tree_parent_index[0], G.tree_depth[0]]).toEqual([-1, 0]);
    for (const { target_argmax_per_tree_row: rows } of G.acceptance_examples)
      expect(rows).toHaveLength(G.tree_depth.length);
  });

  it('would lose its parents where nodes of equal score are not kept in order', () => {
    const { nodes } = grown(G.tie_trap);
    const [first] = nodes;
    const equal = nodes.filter(({ score }) => score === first.score).map(({ id }) => id);
    const late = equal.slice(-G.tie_trap.N);
    expect(late).toEqual(G.tie_trap.unstable_sort_can_select);
    const orphans = late.filter((id) => !late.includes(nodes[id].parent));
    expect(orphans.toSorted()).toEqual(G.tie_trap.orphans.toSorted());
  });
});
