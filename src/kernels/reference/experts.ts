// The definition of a mixture of experts (Shazeer et al., 2017; Fedus et al., 2021): which experts a row goes to, and what they make
// of it.
import type { Kernel } from '../operand.ts';
import type { OpParams } from '../plan.ts';

/**
 * y[t,e] = factor · s_e / (Σ s + 10^-20) for the chosen e of row t, else 0; s = softmax(l) or 1 / (1 + e^−l). The sum is over those
 * chosen; where shares are not normalised nothing is divided.
 */
export const route: Kernel<'route'> = (out, [logits, bias], params) => {
  const [rows, experts] = out.shape;
  for (let t = 0; t < rows; t++) {
    const row = Array.from({ length: experts }, (_, e) => logits.at(t * experts + e));
    const isSoftmax = params.scores === 'softmax';
    const scores = isSoftmax ? softmax(row) : row.map(sigmoid);
    // Logits have the order of their softmax. Sigmoids are compared as f32, in which those of large logits are equal.
    const worth = isSoftmax
      ? row
      : scores.map((score, e) => Math.fround(score + (bias?.at(e) ?? 0)));
    const chosen = choose(worth, params);
    let sum = 1e-20;
    for (let e = 0; e < experts; e++) if (chosen.has(e)) sum += scores[e];
    const divisor = params.normalised ? sum : 1;
    for (let e = 0; e < experts; e++)
      out.put(t * experts + e, chosen.has(e) ? (scores[e] / divisor) * params.factor : 0);
  }
};

function softmax(row: readonly number[]): number[] {
  const most = row.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = row.map((logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

const sigmoid = (logit: number) => Math.fround(1 / (1 + Math.exp(-logit)));

/** The experts that are worth most, in the groups that are. */
function choose(
  worth: readonly number[],
  { count, groups, groupsKept }: OpParams['route'],
): ReadonlySet<number> {
  const size = worth.length / groups;
  const sums = Array.from({ length: groups }, (_, group) => {
    const own = worth.slice(group * size, (group + 1) * size);
    const [first, second = 0] = own.toSorted((a, b) => b - a);
    return Math.fround(first + second);
  });
  const kept = largest(sums, groupsKept);
  const within = worth.map((value, e) => (kept.has(Math.floor(e / size)) ? value : -Infinity));
  return largest(within, count);
}

/** Indices of the largest, of equals the first ones. */
function largest(values: readonly number[], count: number): ReadonlySet<number> {
  const order = [...values.keys()].toSorted((a, b) => values[b] - values[a] || a - b);
  return new Set(order.slice(0, count));
}

/** y[t] = Σ_e s[t,e] · down_e·(silu(gate_e·x[t]) * up_e·x[t]) over the experts e with a share s that is not 0, ascending */
export const experts: Kernel<'experts'> = (out, [x, shares, gateUp, down]) => {
  const [rows, width] = out.shape;
  const [count, , inner] = down.shape;
  for (let t = 0; t < rows; t++) {
    const sums = new Float64Array(width);
    for (let e = 0; e < count; e++) {
      const share = shares.at(t * count + e);
      if (share === 0) continue;
      const project = (row: number) => {
        let sum = 0;
        for (let c = 0; c < width; c++) sum += x.at(t * width + c) * gateUp.at(row * width + c);
        return sum;
      };
      const hidden = Array.from({ length: inner }, (_, f) => {
        const gate = project(e * 2 * inner + f);
        return (gate / (1 + Math.exp(-gate))) * project((e * 2 + 1) * inner + f);
      });
      for (let c = 0; c < width; c++) {
        let sum = 0;
        for (let f = 0; f < inner; f++) sum += hidden[f] * down.at((e * width + c) * inner + f);
        sums[c] += share * sum;
      }
    }
    for (let c = 0; c < width; c++) out.put(t * width + c, sums[c]);
  }
};
