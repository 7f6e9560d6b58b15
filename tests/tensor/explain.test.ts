import { describe, expect, it } from 'vitest';
import type { Plan } from '../../src/kernels/plan.ts';
import { explainPlan, formatPlan, groupRows } from '../../src/tensor/explain.ts';
import { record } from '../../src/tensor/record.ts';
import { Tensor } from '../../src/tensor/tensor.ts';

const held = (kind: 'constant' | 'state', dtype: 'f32' | 'bf16', shape: readonly number[]) =>
  new Tensor({ kind, dtype, shape, buffer: { dtype, length: 0 }, offset: 0 }, null);

const plan: Plan = record((ops) => {
  const x = ops.gather(held('constant', 'bf16', [100, 8]), ops.input('tokens', 'i32', [16], 'T'));
  const positions = ops.input('positions', 'i32', [16], 'T');
  const [cos, sin] = [held('constant', 'f32', [32, 2]), held('constant', 'f32', [32, 2])];
  const q = ops.linear(x, held('constant', 'bf16', [8, 8]));
  const k = ops.linear(x, held('constant', 'bf16', [8, 8]));
  const keys = ops.scatter(
    held('state', 'f32', [40, 8]),
    ops.rope(k, positions, cos, sin, 2),
    positions,
  );
  const sight = {
    visible: ops.input('visible', 'i32', [640]),
    starts: positions,
    counts: positions,
  };
  return [ops.attention(q, keys, keys, sight, { heads: 2, kvHeads: 2, scale: 1, window: 0 })];
});

describe('explainPlan', () => {
  const rows = explainPlan(plan, {
    extents: { T: 3, K: 0 },
    visible: 10,
    timings: [1, 2, 3, 0, 0, 4],
  });
  const by = (op: string) => rows.find((row) => row.op === op)!;

  it('shows shapes with the rows in use', () => {
    expect(rows.map(({ op }) => op)).toEqual([
      'gather',
      'linear',
      'linear',
      'rope',
      'scatter',
      'attention',
    ]);
    expect(by('linear')).toMatchObject({ inputs: '[3, 8] [8, 8] bf16', output: '[3, 8]' });
  });

  it('counts multiplications and additions', () => {
    expect(by('linear').flops).toBe(2 * 3 * 8 * 8);
    expect(by('attention').flops).toBe(4 * 3 * 8 * 10);
    expect(by('gather').flops).toBe(0);
  });

  it('counts the bytes an op touches, not the tensors it is given', () => {
    // Three rows of bf16 read, three indices, three rows of f32 written.
    expect(by('gather').bytes).toBe(3 * 8 * 2 + 3 * 4 + 3 * 8 * 4);
    expect(by('linear').bytes).toBe(3 * 8 * 4 + 8 * 8 * 2 + 3 * 8 * 4);
    // Rows read and written, and their slots.
    expect(by('scatter').bytes).toBe(2 * 3 * 8 * 4 + 3 * 4);
    // Queries, ten keys and values and their slots, results.
    expect(by('attention').bytes).toBe(3 * 8 * 4 + 10 * 2 * 8 * 4 + 10 * 4 + 3 * 8 * 4);
  });

  it('counts the experts that rows can go to, not all there are', () => {
    const mixture = record((ops) => {
      const x = ops.input('x', 'f32', [16, 8], 'T');
      const shares = ops.route(ops.input('logits', 'f32', [16, 12], 'T'), {
        count: 2,
        normalised: true,
      });
      const weights = {
        gateUp: held('constant', 'bf16', [12, 10, 8]),
        down: held('constant', 'bf16', [12, 8, 5]),
      };
      return [ops.experts(x, shares, weights, { count: 2 })];
    });
    const expert = 10 * 8 * 2 + 8 * 5 * 2;
    const small = (rows: number) => rows * (8 + 12 + 8) * 4;
    for (const [rows, read] of [
      [1, 2],
      [3, 6],
      [16, 12],
    ]) {
      const [, experts] = explainPlan(mixture, { extents: { T: rows, K: 0 } });
      expect(experts.bytes).toBe(small(rows) + read * expert);
      expect(experts.flops).toBe(rows * 2 * (6 * 8 * 5 + 5 * 5 + 2 * 8));
    }
  });

  it('gives times and shares only where there are timings', () => {
    expect(rows.map(({ share }) => share)).toEqual([0.1, 0.2, 0.3, 0, 0, 0.4]);
    const without = explainPlan(plan, { extents: { T: 1, K: 0 } });
    expect(without.every(({ ms, share }) => ms === null && share === null)).toBe(true);
  });

  it('groups steps of one kind and shape', () => {
    const group = groupRows(rows).find(({ op }) => op === 'linear')!;
    expect(group).toMatchObject({ count: 2, ms: 5, flops: 2 * by('linear').flops });
    expect(group.share).toBeCloseTo(0.5);
    expect(groupRows(rows)).toHaveLength(5);
  });

  it('prints a table that ends with the total', () => {
    const lines = formatPlan(rows).split('\n');
    expect(lines).toHaveLength(7);
    expect(lines[0]).toMatch(/^op +inputs +output +moved +FLOPs +ms +share$/);
    expect(lines[2]).toMatch(
      /^2 x linear +\[3, 8\] \[8, 8\] bf16 +\[3, 8\] +640 B +768 +5\.000 +50\.0 %$/,
    );
    expect(lines[6]).toMatch(/^total of 6 .* 10\.000 +100\.0 %$/);
    expect(formatPlan(rows, { group: false }).split('\n')).toHaveLength(8);
  });
});
