// The definition of the ops of a Llama decoder: obvious loops in float64, one output element at a time.
import type { Kernel } from '../operand.ts';

/** y[t,o] = Σ_i x[t,i]·w[o,i] + b[o] */
export const linear: Kernel<'linear'> = (out, [x, weight, bias]) => {
  const [rows, outer] = out.shape;
  const inner = weight.shape[1];
  for (let t = 0; t < rows; t++) {
    for (let o = 0; o < outer; o++) {
      let sum = 0;
      for (let i = 0; i < inner; i++) sum += x.at(t * inner + i) * weight.at(o * inner + i);
      out.put(t * outer + o, sum + (bias?.at(o) ?? 0));
    }
  }
};

/** y = x / √(mean(x²) + eps) · gain, over each group of D columns (Zhang and Sennrich, 2019) */
export const rmsNorm: Kernel<'rmsNorm'> = (out, [x, gain], { eps }) => {
  const headDim = gain.shape[0];
  const groups = (out.shape[0] * out.shape[1]) / headDim;
  for (let group = 0; group < groups; group++) {
    const from = group * headDim;
    let squares = 0;
    for (let d = 0; d < headDim; d++) squares += x.at(from + d) ** 2;
    const scale = 1 / Math.sqrt(squares / headDim + eps);
    for (let d = 0; d < headDim; d++) out.put(from + d, x.at(from + d) * scale * gain.at(d));
  }
};

/** (a, b) -> (a·cos − b·sin, b·cos + a·sin) for the pairs (d, d + R/2) of each head, d < R/2 (Su et al., 2021) */
export const rope: Kernel<'rope'> = (out, [x, positions, cos, sin], { heads }) => {
  const [rows, width] = out.shape;
  const headDim = width / heads;
  const half = cos.shape[1];
  for (let t = 0; t < rows; t++) {
    const angle = positions.at(t) * half;
    for (let h = 0; h < heads; h++) {
      const head = t * width + h * headDim;
      for (let d = 0; d < half; d++) {
        const a = x.at(head + d);
        const b = x.at(head + half + d);
        out.put(head + d, a * cos.at(angle + d) - b * sin.at(angle + d));
        out.put(head + half + d, b * cos.at(angle + d) + a * sin.at(angle + d));
      }
      for (let d = 2 * half; d < headDim; d++) out.put(head + d, x.at(head + d));
    }
  }
};

/** state[slots[t], w] = rows[t, w] */
export const scatter: Kernel<'scatter'> = (out, [, rows, slots]) => {
  const [count, width] = rows.shape;
  for (let t = 0; t < count; t++)
    for (let w = 0; w < width; w++) out.put(slots.at(t) * width + w, rows.at(t * width + w));
};

/** y[t,h] = Σ_j softmax_j(scale · q[t,h]·k[s_j,g]) · v[s_j,g] over the slots s_j row t sees, g = ⌊h·G/H⌋ */
export const attention: Kernel<'attention'> = (
  out,
  [q, keys, values, visible, starts, counts],
  { heads, kvHeads, scale, window },
) => {
  const [rows, width] = out.shape;
  const headDim = width / heads;
  for (let t = 0; t < rows; t++) {
    const count = counts.at(t);
    const first = window > 0 ? Math.max(0, count - window) : 0;
    for (let h = 0; h < heads; h++) {
      const g = Math.floor((h * kvHeads) / heads);
      const query = t * width + h * headDim;
      const slotRow = (j: number) => (visible.at(starts.at(t) + j) * kvHeads + g) * headDim;
      const weights: number[] = [];
      let largest = -Infinity;
      for (let j = first; j < count; j++) {
        let dot = 0;
        for (let d = 0; d < headDim; d++) dot += q.at(query + d) * keys.at(slotRow(j) + d);
        weights.push(dot * scale);
        largest = Math.max(largest, dot * scale);
      }
      let total = 0;
      for (let j = 0; j < weights.length; j++) {
        weights[j] = Math.exp(weights[j] - largest);
        total += weights[j];
      }
      for (let d = 0; d < headDim; d++) {
        let sum = 0;
        for (let j = 0; j < weights.length; j++)
          sum += weights[j] * values.at(slotRow(first + j) + d);
        out.put(query + d, sum / total);
      }
    }
  }
};

/** y = gate / (1 + e^−gate) · up */
export const siluMul: Kernel<'siluMul'> = (out, [gate, up]) => {
  const size = out.shape[0] * out.shape[1];
  for (let i = 0; i < size; i++) out.put(i, (gate.at(i) / (1 + Math.exp(-gate.at(i)))) * up.at(i));
};
