// The decoder's small ops on f32 arrays: same formulas as the reference, without accessors in the loops.
import { isBlocked } from '../blocks.ts';
import type { Kernel } from '../operand.ts';
import * as general from '../reference/general.ts';
import { sizeOf } from '../size.ts';
import { widenBf16, widenF16 } from './widen.ts';

/** y = x / √(mean(x²) + eps) · gain, over each group of D columns */
export const rmsNorm: Kernel<'rmsNorm'> = (out, [x, gain], { eps }) => {
  const source = x.data as Float32Array;
  const scales = gain.data as Float32Array;
  const result = out.data as Float32Array;
  const groupWidth = gain.shape[0];
  const size = out.shape[0] * out.shape[1];
  for (let from = 0; from < size; from += groupWidth) {
    let squares = 0;
    for (let d = 0; d < groupWidth; d++) squares += source[from + d] * source[from + d];
    const scale = 1 / Math.sqrt(squares / groupWidth + eps);
    for (let d = 0; d < groupWidth; d++) result[from + d] = source[from + d] * scale * scales[d];
  }
};

/** (a, b) -> (a·cos − b·sin, b·cos + a·sin) for the pairs (d, d + R/2) of each head, d < R/2 */
export const rope: Kernel<'rope'> = (out, [x, positions, cos, sin], { heads }) => {
  const source = x.data as Float32Array;
  const result = out.data as Float32Array;
  const cosines = cos.data as Float32Array;
  const sines = sin.data as Float32Array;
  const [rows, width] = out.shape;
  const headDim = width / heads;
  const half = cos.shape[1];
  for (let t = 0; t < rows; t++) {
    const angle = positions.data[t] * half;
    for (let head = t * width; head < (t + 1) * width; head += headDim) {
      for (let d = 0; d < half; d++) {
        const a = source[head + d];
        const b = source[head + half + d];
        result[head + d] = a * cosines[angle + d] - b * sines[angle + d];
        result[head + half + d] = b * cosines[angle + d] + a * sines[angle + d];
      }
      for (let d = 2 * half; d < headDim; d++) result[head + d] = source[head + d];
    }
  }
};

/** state[slots[t]] = rows[t] */
export const scatter: Kernel<'scatter'> = (out, [, rows, slots]) => {
  const [count, width] = rows.shape;
  for (let t = 0; t < count; t++)
    out.data.set(rows.data.subarray(t * width, (t + 1) * width), slots.data[t] * width);
};

/** y = gate / (1 + e^−gate) · up */
export const siluMul: Kernel<'siluMul'> = (out, [gate, up]) => {
  const gates = gate.data as Float32Array;
  const ups = up.data as Float32Array;
  const result = out.data as Float32Array;
  const size = out.shape[0] * out.shape[1];
  for (let i = 0; i < size; i++) result[i] = (gates[i] / (1 + Math.exp(-gates[i]))) * ups[i];
};

/** y = a + b of one shape; every other pair as the reference has it. */
export const binary: Kernel<'binary'> = (out, [a, b], params) => {
  const plain = params.fn === 'add' && out.dtype === 'f32' && sameSize(a.shape, b.shape);
  if (!plain) return general.binary(out, [a, b], params);
  const left = a.data as Float32Array;
  const right = b.data as Float32Array;
  const result = out.data as Float32Array;
  const size = sizeOf(out.shape);
  for (let i = 0; i < size; i++) result[i] = left[i] + right[i];
};

/** y[n] = x[index[n]] for whole rows; other axes and dtypes as the reference has it. */
export const gather: Kernel<'gather'> = (out, [x, index], params) => {
  if (params.axis !== 0 || x.shape.length !== 2 || out.dtype !== 'f32' || isBlocked(x.dtype))
    return general.gather(out, [x, index], params);
  const [count, width] = out.shape;
  for (let n = 0; n < count; n++) {
    const row = (out.data as Float32Array).subarray(n * width, (n + 1) * width);
    const from = index.data[n] * width;
    if (x.dtype === 'bf16') widenBf16(x.data as Uint16Array, from, row, width);
    else if (x.dtype === 'f16') widenF16(x.data as Uint16Array, from, row, width);
    else row.set((x.data as Float32Array).subarray(from, from + width));
  }
};

const sameSize = (a: readonly number[], b: readonly number[]) =>
  a.length === b.length && a.every((extent, axis) => extent === b[axis]);
