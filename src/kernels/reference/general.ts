// The definition of the ordinary tensor vocabulary: obvious loops in float64 over row-major arrays.
import type { Kernel, Operand } from '../operand.ts';
import type { BinaryFn, CompareFn, UnaryFn } from '../plan.ts';
import { sizeOf } from '../size.ts';

/** A shape seen along one axis: element (before, i, after) is at (before·length + i)·after. */
function along(shape: readonly number[], axis: number) {
  return {
    before: sizeOf(shape.slice(0, axis)),
    length: shape[axis],
    after: sizeOf(shape.slice(axis + 1)),
  };
}

/** The element of `x` that broadcasts to element `index` of `shape`. */
function broadcastIndex(index: number, shape: readonly number[], x: readonly number[]): number {
  let rest = index;
  let stride = 1;
  let found = 0;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const coordinate = rest % shape[axis];
    rest = Math.floor(rest / shape[axis]);
    const extent = x[axis - shape.length + x.length] ?? 1;
    if (extent !== 1) found += coordinate * stride;
    stride *= extent;
  }
  return found;
}

/**
 * The error function, by its Maclaurin series below 3 and by the continued fraction of its complement above
 * (Abramowitz and Stegun, 7.1.5 and 7.1.14); relative error below 1e-14.
 */
export function erf(x: number): number {
  const size = Math.abs(x);
  if (size > 6) return Math.sign(x);
  if (size < 3) {
    let term = size;
    let sum = size;
    for (let n = 1; Math.abs(term) > 1e-17 * sum; n++) {
      term *= -(size * size) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = size;
  for (let n = 60; n >= 1; n--) fraction = size + n / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-size * size) / (fraction * Math.sqrt(Math.PI)));
}

/** Scalar meaning of every elementwise function of one argument. */
export const UNARY: Readonly<Record<UnaryFn, (x: number) => number>> = {
  neg: (x) => -x,
  abs: Math.abs,
  sign: Math.sign,
  floor: Math.floor,
  ceil: Math.ceil,
  square: (x) => x * x,
  sqrt: Math.sqrt,
  rsqrt: (x) => 1 / Math.sqrt(x),
  reciprocal: (x) => 1 / x,
  exp: Math.exp,
  log: Math.log,
  sin: Math.sin,
  cos: Math.cos,
  tanh: Math.tanh,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  relu: (x) => Math.max(x, 0),
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu: (x) => (x / 2) * (1 + erf(x / Math.SQRT2)),
  not: (x) => (x === 0 ? 1 : 0),
};

/** Scalar meaning of every elementwise function of two arguments; integers truncate when stored. */
export const BINARY: Readonly<Record<BinaryFn, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  pow: (a, b) => a ** b,
  max: Math.max,
  min: Math.min,
};

/** Scalar meaning of every comparison. */
export const COMPARE: Readonly<Record<CompareFn, (a: number, b: number) => boolean>> = {
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  lt: (a, b) => a < b,
  le: (a, b) => a <= b,
  gt: (a, b) => a > b,
  ge: (a, b) => a >= b,
};

/** y = fn(x) */
export const unary: Kernel<'unary'> = (out, [x], { fn }) => {
  for (let i = 0; i < sizeOf(out.shape); i++) out.put(i, UNARY[fn](x.at(i)));
};

function pairs(out: Operand, a: Operand, b: Operand, combine: (a: number, b: number) => number) {
  for (let i = 0; i < sizeOf(out.shape); i++) {
    const left = a.at(broadcastIndex(i, out.shape, a.shape));
    out.put(i, combine(left, b.at(broadcastIndex(i, out.shape, b.shape))));
  }
}

/** y = fn(a, b) with numpy broadcasting */
export const binary: Kernel<'binary'> = (out, [a, b], { fn }) => pairs(out, a, b, BINARY[fn]);

/** y = 1 where fn(a, b), else 0, with numpy broadcasting */
export const compare: Kernel<'compare'> = (out, [a, b], { fn }) =>
  pairs(out, a, b, (left, right) => (COMPARE[fn](left, right) ? 1 : 0));

/** y = condition ? a : b with numpy broadcasting */
export const where: Kernel<'where'> = (out, [condition, a, b]) => {
  for (let i = 0; i < sizeOf(out.shape); i++) {
    const chosen = condition.at(broadcastIndex(i, out.shape, condition.shape)) === 0 ? b : a;
    out.put(i, chosen.at(broadcastIndex(i, out.shape, chosen.shape)));
  }
};

/** y = x in the dtype of y */
export const cast: Kernel<'cast'> = (out, [x]) => {
  for (let i = 0; i < sizeOf(out.shape); i++) out.put(i, x.at(i));
};

/** y[.., ..] = fn_i x[.., i, ..]; argmax and argmin give the lowest index among equals */
export const reduce: Kernel<'reduce'> = (out, [x], { fn, axis }) => {
  const { before, length, after } = along(x.shape, axis);
  for (let b = 0; b < before; b++) {
    for (let a = 0; a < after; a++) {
      const at = (i: number) => x.at((b * length + i) * after + a);
      let best = 0;
      let sum = 0;
      for (let i = 0; i < length; i++) {
        sum += at(i);
        if (fn.endsWith('max') ? at(i) > at(best) : at(i) < at(best)) best = i;
      }
      const result =
        fn === 'sum' ? sum : fn === 'mean' ? sum / length : fn.startsWith('arg') ? best : at(best);
      out.put(b * after + a, result);
    }
  }
};

/** y_i = e^(x_i − max) / Σ_j e^(x_j − max), or its logarithm, over the last axis */
export const softmax: Kernel<'softmax'> = (out, [x], { log }) => {
  const { before, length } = along(out.shape, out.shape.length - 1);
  for (let row = 0; row < before; row++) {
    const from = row * length;
    let largest = -Infinity;
    for (let i = 0; i < length; i++) largest = Math.max(largest, x.at(from + i));
    let total = 0;
    for (let i = 0; i < length; i++) total += Math.exp(x.at(from + i) - largest);
    for (let i = 0; i < length; i++) {
      const shifted = x.at(from + i) - largest;
      out.put(from + i, log ? shifted - Math.log(total) : Math.exp(shifted) / total);
    }
  }
};

/** y[.., m, n] = Σ_i a[.., m, i]·b[.., i, n] */
export const matmul: Kernel<'matmul'> = (out, [a, b]) => {
  const [rows, columns] = out.shape.slice(-2);
  const inner = a.shape[a.shape.length - 1];
  const batches = sizeOf(out.shape.slice(0, -2));
  for (let batch = 0; batch < batches; batch++) {
    for (let m = 0; m < rows; m++) {
      for (let n = 0; n < columns; n++) {
        let sum = 0;
        for (let i = 0; i < inner; i++)
          sum += a.at((batch * rows + m) * inner + i) * b.at((batch * inner + i) * columns + n);
        out.put((batch * rows + m) * columns + n, sum);
      }
    }
  }
};

/** y[.., n, ..] = x[.., index[n], ..] */
export const gather: Kernel<'gather'> = (out, [x, index], { axis }) => {
  const { before, length, after } = along(x.shape, axis);
  const count = out.shape[axis];
  for (let b = 0; b < before; b++)
    for (let n = 0; n < count; n++)
      for (let a = 0; a < after; a++)
        out.put((b * count + n) * after + a, x.at((b * length + index.at(n)) * after + a));
};

/** y[i_axes] = x[i] */
export const transpose: Kernel<'transpose'> = (out, [x], { axes }) => {
  const strides = x.shape.map((_, axis) => sizeOf(x.shape.slice(axis + 1)));
  for (let i = 0; i < sizeOf(out.shape); i++) {
    let rest = i;
    let from = 0;
    for (let axis = axes.length - 1; axis >= 0; axis--) {
      from += (rest % out.shape[axis]) * strides[axes[axis]];
      rest = Math.floor(rest / out.shape[axis]);
    }
    out.put(i, x.at(from));
  }
};

/** y = the inputs one after another along the axis */
export const concat: Kernel<'concat'> = (out, inputs, { axis }) => {
  const { before, length: total, after } = along(out.shape, axis);
  let offset = 0;
  for (const x of inputs) {
    const length = x.shape[axis];
    for (let b = 0; b < before; b++)
      for (let i = 0; i < length * after; i++)
        out.put((b * total + offset) * after + i, x.at(b * length * after + i));
    offset += length;
  }
};

/** y = x[from .. to) along the axis */
export const slice: Kernel<'slice'> = (out, [x], { axis, from }) => {
  const { before, length: total, after } = along(x.shape, axis);
  const length = out.shape[axis];
  for (let b = 0; b < before; b++)
    for (let i = 0; i < length * after; i++)
      out.put(b * length * after + i, x.at((b * total + from) * after + i));
};
