// Kernel templates of the ordinary tensor vocabulary, over tensors of any rank.
import { UnsupportedError } from '../errors.ts';
import type { BinaryFn, CompareFn, DType, UnaryFn, Value } from '../plan.ts';
import { sizeOf } from '../size.ts';
import {
  type Emit,
  type Grid,
  gridSize,
  indicesOf,
  quotient,
  readAt,
  readBroadcast,
  result,
  sumOf,
  type Template,
} from './programs.ts';

/** gpu.js gives 7 arrays to a kernel on WebGPU; the same limit holds everywhere. */
const MAX_ARRAYS = 7;

/**
 * x·Φ(x) with the complement of the error function by Abramowitz and Stegun 7.1.26 (error 1.5e-7): relu(x) minus half
 * of |x|·erfc(|x|/√2), which cancels nothing.
 */
const GELU = `
    const size = Math.abs(v) * ${Math.SQRT1_2};
    const k = 1 / (1 + 0.3275911 * size);
    const series = ((((1.061405429 * k - 1.453152027) * k + 1.421413741) * k - 0.284496736) * k + 0.254829592) * k;
    return Math.max(v, 0) - 0.5 * Math.abs(v) * series * Math.exp(-size * size);`;

/**
 * Sine, or cosine as a quarter more: quarters of a turn taken off in three parts of π/2 (Cody and Waite, 1980), then the Taylor
 * polynomial of what is left, at most π/4 (error 3e-8). Some devices are off by 2e-4. Up to |v| = 10^4.
 */
const turned = (quarter: number) => `
    const turns = Math.floor(v * ${2 / Math.PI} + 0.5);
    const rest = v - turns * 1.5703125 - turns * 0.0004837512969970703 - turns * 7.549789948768648e-8;
    const square = rest * rest;
    const sine = rest * (1 + square * (${-1 / 6} + square * (${1 / 120} + square * (${-1 / 5040} + square * ${1 / 362880}))));
    const cosine = 1 + square * (-0.5 + square * (${1 / 24} + square * (${-1 / 720} + square * ${1 / 40320})));
    const quarters = turns + ${quarter} - 4 * Math.floor((turns + ${quarter + 0.5}) / 4);
    const size = quarters === 1 || quarters === 3 ? cosine : sine;
    return quarters < 2 ? size : -size;`;

const UNARY: Readonly<Record<UnaryFn, string>> = {
  neg: 'return -v;',
  abs: 'return Math.abs(v);',
  sign: 'return Math.sign(v);',
  floor: 'return Math.floor(v);',
  ceil: 'return Math.ceil(v);',
  square: 'return v * v;',
  sqrt: 'return Math.sqrt(v);',
  rsqrt: 'return 1 / Math.sqrt(v);',
  reciprocal: 'return 1 / v;',
  exp: 'return Math.exp(v);',
  log: 'return Math.log(v);',
  sin: turned(0),
  cos: turned(1),
  // Past 20 the result is ±1 in f32, and some devices give NaN for large arguments.
  tanh: 'return Math.tanh(Math.max(-20, Math.min(20, v)));',
  sigmoid: 'return 1 / (1 + Math.exp(-v));',
  relu: 'return Math.max(v, 0);',
  silu: 'return v / (1 + Math.exp(-v));',
  gelu: GELU,
  not: 'return v === 0 ? 1 : 0;',
};

const BINARY: Readonly<Record<BinaryFn, string>> = {
  add: 'a + b',
  sub: 'a - b',
  mul: 'a * b',
  div: 'a / b',
  pow: 'Math.pow(a, b)',
  max: 'Math.max(a, b)',
  min: 'Math.min(a, b)',
};

const COMPARE: Readonly<Record<CompareFn, string>> = {
  eq: '===',
  ne: '!==',
  lt: '<',
  le: '<=',
  gt: '>',
  ge: '>=',
};

/** One element from the broadcast elements v0, v1, ... of the inputs. */
const pointwise = (emit: Emit, inputs: readonly Grid[], output: Value, body: string) =>
  emit(output, inputs, (site) => {
    const { code, indices } = indicesOf(output.shape, site);
    const elements = inputs.map(
      ({ shape }, i) => `const ${'abc'[i]} = ${readBroadcast(site.reads[i], shape, indices)};`,
    );
    return `
    ${code}
    ${elements.join('\n    ')}
    ${body}`;
  });

/** y = x, for outputs that no kernel computes. */
export const copy = (emit: Emit, x: Grid): Grid =>
  emit(x, [x], ({ y, x: column, reads: [read] }) => `return ${read(y, column)};`);

/** y = fn(x) */
export const unary: Template<'unary'> = (emit, [x], output, { fn }) =>
  emit(
    output,
    [x],
    ({ y, x: column, reads: [read] }) => `const v = ${read(y, column)};\n    ${UNARY[fn]}`,
  );

/** y = fn(a, b) with numpy broadcasting */
export const binary: Template<'binary'> = (emit, inputs, output, { fn }) =>
  pointwise(emit, inputs, output, result(BINARY[fn], output.dtype));

/** y = 1 where fn(a, b), else 0, with numpy broadcasting */
export const compare: Template<'compare'> = (emit, inputs, output, { fn }) =>
  pointwise(emit, inputs, output, `return a ${COMPARE[fn]} b ? 1 : 0;`);

/** y = condition ? a : b with numpy broadcasting */
export const where: Template<'where'> = (emit, inputs, output) =>
  pointwise(emit, inputs, output, 'if (a === 0) {\n      return c;\n    }\n    return b;');

const RANGES: Partial<Readonly<Record<DType, readonly [number, number]>>> = {
  i8: [-128, 127],
  u8: [0, 255],
  i32: [-2147483648, 2147483647],
};

/** y = x in the dtype of y; f16 and bf16 are rounded when the result is read (lowering checks that no kernel does). */
export const cast: Template<'cast'> = (emit, [x], output) =>
  emit(output, [x], ({ y, x: column, reads: [read] }) => {
    const range = RANGES[output.dtype];
    if (output.dtype === 'bool') return `return ${read(y, column)} === 0 ? 0 : 1;`;
    if (range === undefined) return `return ${read(y, column)};`;
    return `return Math.max(${range[0]}, Math.min(${range[1]}, Math.trunc(${read(y, column)})));`;
  });

/** y[.., m, n] = Σ_i a[.., m, i]·b[.., i, n] */
export const matmul: Template<'matmul'> = (emit, [a, b], output) =>
  emit(output, [a, b], ({ y, x, reads: [left, right] }) => {
    const [rows] = output.shape.slice(-2);
    const [inner] = b.shape.slice(-2);
    return `
    const from = ${output.shape.length === 2 ? '0' : `${quotient(y, rows)} * ${inner}`};
    ${sumOf('sum', inner, (i) => `${left(y, i)} * ${right(`from + ${i}`, x)}`)}
    return sum;`;
  });

/** y[.., n, ..] = x[.., index[n], ..] */
export const gather: Template<'gather'> = (emit, [x, index], output, { axis }) =>
  emit(output, [x, index], (site) => {
    const [read, at] = site.reads;
    const { code, indices } = indicesOf(output.shape, site);
    return `
    ${code}
    const found = ${at('0', indices[axis])};
    return ${readAt(read, x.shape, indices.with(axis, 'found'))};`;
  });

/** y[i_axes] = x[i] */
export const transpose: Template<'transpose'> = (emit, [x], output, { axes }) =>
  emit(output, [x], (site) => {
    const { code, indices } = indicesOf(output.shape, site);
    const source = x.shape.map((_, axis) => indices[axes.indexOf(axis)]);
    return `
    ${code}
    return ${readAt(site.reads[0], x.shape, source)};`;
  });

/** y = the inputs one after another along the axis; more of them than a kernel takes are joined in groups first. */
export const concat: Template<'concat'> = (emit, inputs, output, params) => {
  const { axis } = params;
  if (inputs.length > MAX_ARRAYS) {
    const group = inputs.slice(0, MAX_ARRAYS);
    const length = group.reduce((sum, { shape }) => sum + shape[axis], 0);
    const joined = concat(
      emit,
      group,
      { ...output, shape: output.shape.with(axis, length) },
      params,
    );
    return concat(emit, [joined, ...inputs.slice(MAX_ARRAYS)], output, params);
  }
  return emit(output, inputs, (site) => {
    const { code, indices } = indicesOf(output.shape, site);
    let offset = 0;
    const parts = inputs.map(({ shape }, i) => {
      const index = offset === 0 ? indices[axis] : `${indices[axis]} - ${offset}`;
      offset += shape[axis];
      const found = `return ${readAt(site.reads[i], shape, indices.with(axis, index))};`;
      if (i === inputs.length - 1) return found;
      return `if (${indices[axis]} < ${offset}) {\n      ${found}\n    }`;
    });
    return `
    ${code}
    ${parts.join('\n    ')}`;
  });
};

/** y = x[from .. to) along the axis */
export const slice: Template<'slice'> = (emit, [x], output, { axis, from }) =>
  emit(output, [x], (site) => {
    const { code, indices } = indicesOf(output.shape, site);
    const source = indices.with(axis, from === 0 ? indices[axis] : `${indices[axis]} + ${from}`);
    return `
    ${code}
    return ${readAt(site.reads[0], x.shape, source)};`;
  });

/** Throws for a tensor that no grid can hold. */
export function checkGrid(where: string, shape: readonly number[]): void {
  const { width, height } = gridSize(shape);
  if (width > 2 ** 24 || height > 2 ** 24)
    throw new UnsupportedError(
      `gpu: ${where}: expected at most 2^24 rows and columns, got [${shape.join(', ')}] (${sizeOf(shape)} elements)`,
    );
}
