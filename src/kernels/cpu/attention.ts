// Grouped-query attention over the slots each row sees. Scores, their sum and the weighted values are each taken in
// ascending position with one float64 accumulator per element, so a row's bits depend on its own list alone.
// Four scores, and four columns of the values, are computed side by side: 2.1x over one at a time, which waits for its own
// additions (bench kernels, "attention").
import type { Kernel } from '../operand.ts';

/** One head of one row: where its query, keys and values are. */
interface Head {
  query: Float32Array;
  key: Float32Array;
  value: Float32Array;
  /** First element of the query. */
  row: number;
  headDim: number;
  /** First element of the head in the slot of every position seen; the first `count` are in use. */
  bases: Int32Array;
  count: number;
  /** Scores, then weights. */
  weights: Float64Array;
}

/** y[t,h] = Σ_j softmax_j(scale · q[t,h]·k[s_j,g]) · v[s_j,g]; see reference/decoder.ts. */
export function createAttention(): Kernel<'attention'> {
  const none = new Float32Array(0);
  const head: Head = {
    query: none,
    key: none,
    value: none,
    row: 0,
    headDim: 0,
    bases: new Int32Array(0),
    count: 0,
    weights: new Float64Array(0),
  };
  return (out, [q, keys, values, visible, starts, counts], { heads, kvHeads, scale, window }) => {
    const [rows, width] = out.shape;
    const headDim = width / heads;
    const slotWidth = kvHeads * headDim;
    const share = heads / kvHeads;
    const slots = visible.data as Int32Array;
    const result = out.data as Float32Array;
    head.query = q.data as Float32Array;
    head.key = keys.data as Float32Array;
    head.value = values.data as Float32Array;
    head.headDim = headDim;
    for (let t = 0; t < rows; t++) {
      const seen = counts.data[t];
      const count = window > 0 ? Math.min(seen, window) : seen;
      const start = starts.data[t] + seen - count;
      head.count = count;
      if (head.bases.length < count) {
        head.bases = new Int32Array(count * 2);
        head.weights = new Float64Array(count * 2);
      }
      for (let h = 0; h < heads; h++) {
        if (h % share === 0) {
          const first = (h / share) * headDim;
          for (let j = 0; j < count; j++) head.bases[j] = slots[start + j] * slotWidth + first;
        }
        head.row = t * width + h * headDim;
        scoresOf(head, scale);
        const total = exponentials(head);
        weightedValues(head, total, result);
      }
    }
  };
}

/** weights[j] = scale · q·k_j */
function scoresOf({ query, key, row, headDim, bases, count, weights }: Head, scale: number): void {
  let j = 0;
  for (; j + 4 <= count; j += 4) {
    const k0 = bases[j];
    const k1 = bases[j + 1];
    const k2 = bases[j + 2];
    const k3 = bases[j + 3];
    let s0 = 0;
    let s1 = 0;
    let s2 = 0;
    let s3 = 0;
    for (let d = 0; d < headDim; d++) {
      const x = query[row + d];
      s0 += x * key[k0 + d];
      s1 += x * key[k1 + d];
      s2 += x * key[k2 + d];
      s3 += x * key[k3 + d];
    }
    weights[j] = s0 * scale;
    weights[j + 1] = s1 * scale;
    weights[j + 2] = s2 * scale;
    weights[j + 3] = s3 * scale;
  }
  for (; j < count; j++) {
    const k = bases[j];
    let sum = 0;
    for (let d = 0; d < headDim; d++) sum += query[row + d] * key[k + d];
    weights[j] = sum * scale;
  }
}

/** weights[j] = e^(score_j - max); returns their sum. */
function exponentials({ count, weights }: Head): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < count; j++) if (weights[j] > largest) largest = weights[j];
  let total = 0;
  for (let j = 0; j < count; j++) {
    const weight = Math.exp(weights[j] - largest);
    weights[j] = weight;
    total += weight;
  }
  return total;
}

/** out[row + d] = Σ_j weights[j] · v_j[d] / total */
function weightedValues(
  { value, row, headDim, bases, count, weights }: Head,
  total: number,
  out: Float32Array,
): void {
  let d = 0;
  for (; d + 4 <= headDim; d += 4) {
    let s0 = 0;
    let s1 = 0;
    let s2 = 0;
    let s3 = 0;
    for (let j = 0; j < count; j++) {
      const weight = weights[j];
      const at = bases[j] + d;
      s0 += weight * value[at];
      s1 += weight * value[at + 1];
      s2 += weight * value[at + 2];
      s3 += weight * value[at + 3];
    }
    out[row + d] = s0 / total;
    out[row + d + 1] = s1 / total;
    out[row + d + 2] = s2 / total;
    out[row + d + 3] = s3 / total;
  }
  for (; d < headDim; d++) {
    let sum = 0;
    for (let j = 0; j < count; j++) sum += weights[j] * value[bases[j] + d];
    out[row + d] = sum / total;
  }
}
