// The definition of a mixture of experts (Shazeer et al., 2017; Fedus et al., 2021): which experts a row goes to, and what they make
// of it.
import type { Kernel } from '../operand.ts';

/** y[t,e] = e^(l_e − max) / Σ e^(l − max) for the `count` largest logits l_e of row t, else 0; the sum is over all, or over those */
export const route: Kernel<'route'> = (out, [logits], { count, normalised }) => {
  const [rows, experts] = out.shape;
  for (let t = 0; t < rows; t++) {
    const row = Array.from({ length: experts }, (_, e) => logits.at(t * experts + e));
    const order = [...row.keys()].toSorted((a, b) => row[b] - row[a] || a - b);
    const chosen = new Set(order.slice(0, count));
    const largest = row.reduce((most, logit) => Math.max(most, logit), -Infinity);
    const powers = row.map((logit) => Math.exp(logit - largest));
    let total = 0;
    for (let e = 0; e < experts; e++) if (chosen.has(e) || !normalised) total += powers[e];
    for (let e = 0; e < experts; e++)
      out.put(t * experts + e, chosen.has(e) ? powers[e] / total : 0);
  }
};

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
