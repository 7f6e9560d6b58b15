// Grouped-query attention over the slots each row sees. Scores, their sum and the weighted values are each taken in
// ascending position with one float64 accumulator per element, so a row's bits depend on its own list alone.
import type { Kernel } from '../operand.ts';

/** y[t,h] = Σ_j softmax_j(scale · q[t,h]·k[s_j,g]) · v[s_j,g]; see reference/decoder.ts. */
export function createAttention(): Kernel<'attention'> {
  let scores = new Float64Array(0);
  let sums = new Float64Array(0);
  return (out, [q, keys, values, visible, starts, counts], { heads, kvHeads, scale, window }) => {
    const [rows, width] = out.shape;
    const headDim = width / heads;
    const slotWidth = kvHeads * headDim;
    const share = heads / kvHeads;
    const query = q.data as Float32Array;
    const key = keys.data as Float32Array;
    const value = values.data as Float32Array;
    const slots = visible.data as Int32Array;
    const result = out.data as Float32Array;
    if (sums.length < headDim) sums = new Float64Array(headDim);
    for (let t = 0; t < rows; t++) {
      const count = counts.data[t];
      const first = window > 0 ? Math.max(0, count - window) : 0;
      const start = starts.data[t];
      if (scores.length < count) scores = new Float64Array(count * 2);
      for (let h = 0; h < heads; h++) {
        const head = Math.floor(h / share) * headDim;
        const row = t * width + h * headDim;
        let largest = -Infinity;
        for (let j = first; j < count; j++) {
          const at = slots[start + j] * slotWidth + head;
          let dot = 0;
          for (let d = 0; d < headDim; d++) dot += query[row + d] * key[at + d];
          dot *= scale;
          scores[j] = dot;
          if (dot > largest) largest = dot;
        }
        let total = 0;
        for (let d = 0; d < headDim; d++) sums[d] = 0;
        for (let j = first; j < count; j++) {
          const weight = Math.exp(scores[j] - largest);
          total += weight;
          const at = slots[start + j] * slotWidth + head;
          for (let d = 0; d < headDim; d++) sums[d] += weight * value[at + d];
        }
        for (let d = 0; d < headDim; d++) result[row + d] = sums[d] / total;
      }
    }
  };
}
