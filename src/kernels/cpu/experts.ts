// y[t] = Σ_e s[t,e] · down_e·(silu(gate_e·x[t]) * up_e·x[t]): for every expert the rows that go to it are brought together and
// multiplied as by any matrix, so that it is read once for all of them. A row adds its experts in ascending order, whatever
// rows there are.
import { elements, reader, writer } from '../dtype.ts';
import type { Kernel, Operand } from '../operand.ts';
import type { DType, TypedArray } from '../plan.ts';
import { createLinear } from './linear.ts';

/** The kernel, with the scratch space of its products. */
export function createExperts(): Kernel<'experts'> {
  const linear = createLinear();
  return (out, [x, shares, gateUp, down]) => {
    const [rows, width] = out.shape;
    const [count, , inner] = down.shape;
    const result = out.data as Float32Array;
    result.fill(0, 0, rows * width);
    for (let e = 0; e < count; e++) {
      const chosen: number[] = [];
      for (let t = 0; t < rows; t++) if (shares.data[t * count + e] !== 0) chosen.push(t);
      if (chosen.length === 0) continue;
      const halves = zeros(chosen.length, 2 * inner);
      linear(halves, [rowsOf(x, chosen), matrixOf(gateUp, e)], {});
      const hidden = gated(halves.data as Float32Array, chosen.length, inner);
      const made = zeros(chosen.length, width);
      linear(made, [hidden, matrixOf(down, e)], {});
      for (let n = 0; n < chosen.length; n++) {
        const share = shares.data[chosen[n] * count + e];
        const to = chosen[n] * width;
        for (let c = 0; c < width; c++) result[to + c] += share * made.data[n * width + c];
      }
    }
  };
}

/** Some rows of x, below each other. */
function rowsOf(x: Operand, chosen: readonly number[]): Operand {
  const width = x.shape[1];
  const found = zeros(chosen.length, width);
  for (let n = 0; n < chosen.length; n++)
    found.data.set(x.data.subarray(chosen[n] * width, (chosen[n] + 1) * width), n * width);
  return found;
}

/** Matrix e of several. */
function matrixOf({ data, dtype, shape: [, rows, columns] }: Operand, e: number): Operand {
  const size = rows * columns;
  return operandOf(elements(data, dtype, e * size, (e + 1) * size), dtype, [rows, columns]);
}

/** silu(gate) * up of rows that have gate first, then up. */
function gated(halves: Float32Array, rows: number, inner: number): Operand {
  const hidden = zeros(rows, inner);
  for (let n = 0; n < rows; n++)
    for (let f = 0; f < inner; f++) {
      const gate = halves[n * 2 * inner + f];
      hidden.data[n * inner + f] = (gate / (1 + Math.exp(-gate))) * halves[(n * 2 + 1) * inner + f];
    }
  return hidden;
}

const zeros = (rows: number, columns: number): Operand =>
  operandOf(new Float32Array(rows * columns), 'f32', [rows, columns]);

const operandOf = (data: TypedArray, dtype: DType, shape: readonly number[]): Operand => ({
  data,
  dtype,
  shape,
  at: reader(data, dtype),
  put: writer(data, dtype),
});
