// What kernel templates are made of. A kernel is JavaScript text with literal sizes: gpu.js compiles it, and text is the
// one form that minifiers and loaders leave alone. Every array is a grid of rows (y) by columns (x): the last axis of a
// tensor is x, all others together are y, so that no index grows past 2^24, above which f32 loses integers.
import type { DType, Extent, OpName, OpParams, Value } from '../plan.ts';
import { sizeOf } from '../size.ts';

/** Where the elements of a grid come from. */
export type GridSource =
  | { readonly kind: 'constant'; readonly index: number }
  | { readonly kind: 'argument'; readonly index: number }
  | { readonly kind: 'call'; readonly index: number }
  /** What call `index` gave in the run before. */
  | { readonly kind: 'previous'; readonly index: number };

/** A tensor as kernels see it. */
export interface Grid {
  readonly source: GridSource;
  readonly shape: readonly number[];
  readonly extent?: Extent | undefined;
  /** Columns of the source to the left of it, which belong to others. */
  readonly left?: number;
}

/** Text that reads element (y, x) of an input. */
export type Read = (y: string, x: string) => string;

/** Numbers that come with every run: rows in use, and 1 in the first run of a program. */
export type Scalar = Extent | 'first';

/** What the body of a kernel is written with. */
export interface Site {
  /** Row and column of the output element. */
  readonly y: string;
  readonly x: string;
  /** One per input, in order. */
  readonly reads: readonly Read[];
  /** Rows in use of an extent. */
  scalar(name: Scalar): string;
}

export interface Output {
  readonly shape: readonly number[];
  readonly extent?: Extent | undefined;
}

/** Adds one kernel call; the body returns the element, or nothing to leave what the buffer held. */
export type Emit = (output: Output, inputs: readonly Grid[], body: (site: Site) => string) => Grid;

/** Turns one op into kernel calls. */
export type Template<Op extends OpName> = (
  emit: Emit,
  inputs: readonly Grid[],
  output: Value,
  params: OpParams[Op],
) => Grid;

/** Columns and rows of a shape; never 0, which gpu.js does not take. */
export function gridSize(shape: readonly number[]): {
  readonly width: number;
  readonly height: number;
} {
  return {
    width: Math.max(1, shape.at(-1) ?? 1),
    height: Math.max(1, sizeOf(shape.slice(0, -1))),
  };
}

/**
 * total = Σ_i term(i), i < length, as statements. Four accumulators: the additions do not wait for each other, and the
 * rounding error is a quarter. The order depends on `length` only. Counters start at a literal and go up.
 */
export function sumOf(total: string, length: number, term: (i: string) => string): string {
  const whole = length - (length % 4);
  const parts = [0, 1, 2, 3].map((part) => `${total}${part}`);
  const loop = `for (let i_${total} = 0; i_${total} < ${whole}; i_${total} += 4) {
      ${parts.map((part, lane) => `${part} += ${term(lane === 0 ? `i_${total}` : `i_${total} + ${lane}`)};`).join('\n      ')}
    }`;
  const rest = Array.from(
    { length: length - whole },
    (_, lane) => `${parts[lane]} += ${term(`${whole + lane}`)};`,
  );
  return `${parts.map((part) => `let ${part} = 0;`).join(' ')}
    ${whole > 0 ? loop : ''}
    ${rest.join('\n    ')}
    const ${total} = (${parts[0]} + ${parts[1]}) + (${parts[2]} + ${parts[3]});`;
}

/** Statement that returns `text`, truncated where the result is an integer. */
export const result = (text: string, dtype: DType) =>
  dtype === 'i32' ? `return Math.trunc(${text});` : `return ${text};`;

/** ⌊a / b⌋ for integers: half a step away from the edges, so that the rounding of a division cannot cross one. */
export const quotient = (a: string, b: number) => (b === 1 ? a : `Math.floor((${a} + 0.5) / ${b})`);

/** The index of every axis at (y, x), with the statements that compute them. */
export function indicesOf(
  shape: readonly number[],
  { y, x }: Site,
): { code: string; indices: string[] } {
  if (shape.length === 0) return { code: '', indices: [] };
  const indices = [x];
  const lines: string[] = [];
  let rest = y;
  for (let axis = shape.length - 2; axis > 0; axis--) {
    lines.push(`const up${axis} = ${quotient(rest, shape[axis])};`);
    lines.push(`const at${axis} = ${rest} - up${axis} * ${shape[axis]};`);
    indices.unshift(`at${axis}`);
    rest = `up${axis}`;
  }
  if (shape.length > 1) indices.unshift(rest);
  return { code: lines.join('\n    '), indices };
}

/** Text that reads the element of `shape` at the index of every axis. */
export function readAt(read: Read, shape: readonly number[], indices: readonly string[]): string {
  if (shape.length === 0) return read('0', '0');
  const leading = indices.slice(0, -1).reduce((row, index, axis) => {
    if (row === '0') return index;
    return index === '0' ? `(${row}) * ${shape[axis]}` : `(${row}) * ${shape[axis]} + ${index}`;
  }, '0');
  return read(leading, indices[indices.length - 1]);
}

/** Text that reads the element of `shape` that broadcasts to the indices of a larger shape. */
export function readBroadcast(
  read: Read,
  shape: readonly number[],
  indices: readonly string[],
): string {
  const own = indices.slice(indices.length - shape.length);
  return readAt(
    read,
    shape,
    own.map((index, axis) => (shape[axis] === 1 ? '0' : index)),
  );
}
