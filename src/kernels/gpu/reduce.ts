// Reductions and softmax. A row that is long, as a vocabulary is, is cut into blocks that have a thread each, and a second step
// reduces what they give: one thread would take milliseconds for it on a graphics device.
import type { DType, ReduceFn } from '../plan.ts';
import {
  type Emit,
  type Grid,
  indicesOf,
  type Output,
  readAt,
  result,
  sumOf,
  type Template,
} from './programs.ts';

/** Rows from this length on are cut into blocks of the other. */
const LONG = 2048;
const BLOCK = 128;

/** y[.., ..] = fn_i x[.., i, ..]; argmax and argmin give the lowest index among equals. */
export const reduce: Template<'reduce'> = (emit, [x], output, { fn, axis }) => {
  const length = x.shape[axis];
  const whole = { x, axis, kept: false, fn, dtype: output.dtype };
  if (axis !== x.shape.length - 1 || length < LONG) return reduceAll(emit, whole, output);
  const blocks = reduceBlocks(emit, x, fn);
  if (fn === 'argmax' || fn === 'argmin') return reduceFound(emit, { ...whole, blocks }, output);
  const mean = fn === 'mean' ? length : undefined;
  const rest = { ...whole, x: blocks, fn: fn === 'mean' ? ('sum' as const) : fn };
  return reduceAll(emit, { ...rest, mean }, output);
};

interface Reduction {
  readonly x: Grid;
  readonly axis: number;
  /** The output has the axis still, with length 1. */
  readonly kept: boolean;
  readonly fn: ReduceFn;
  readonly dtype: DType;
  /** Divides the sum. */
  readonly mean?: number | undefined;
}

/** One thread per element of the output. */
function reduceAll(
  emit: Emit,
  { x, axis, kept, fn, dtype, mean }: Reduction,
  output: Output,
): Grid {
  return emit(output, [x], (site) => {
    const length = x.shape[axis];
    const { code, indices } = indicesOf(output.shape, site);
    const at = (i: string) =>
      readAt(site.reads[0], x.shape, indices.toSpliced(axis, kept ? 1 : 0, i));
    if (fn === 'sum' || fn === 'mean') {
      const divisor = mean ?? (fn === 'mean' ? length : 1);
      return `
    ${code}
    ${sumOf('sum', length, at)}
    ${result(divisor === 1 ? 'sum' : `sum / ${divisor}`, dtype)}`;
    }
    return `
    ${code}
    let best = ${at('0')};
    let found = 0;
    for (let i = 1; i < ${length}; i++) {
      const v = ${at('i')};
      if (v ${better(fn)} best) {
        best = v;
        found = i;
      }
    }
    return ${fn.startsWith('arg') ? 'found' : 'best'};`;
  });
}

const better = (fn: ReduceFn) => (fn.endsWith('max') ? '>' : '<');

/** The last axis in blocks: of each the sum, the best value, or where that is. */
function reduceBlocks(emit: Emit, x: Grid, fn: ReduceFn): Grid {
  const length = x.shape.at(-1)!;
  const output = {
    shape: x.shape.with(-1, Math.ceil(length / BLOCK)),
    extent: x.shape.length > 1 ? x.extent : undefined,
  };
  return emit(output, [x], (site) => {
    const { code, indices } = indicesOf(output.shape, site);
    const at = (i: string) => readAt(site.reads[0], x.shape, indices.with(-1, i));
    const sums = fn === 'sum' || fn === 'mean';
    const step = sums
      ? 'best += v;'
      : `if (v ${better(fn)} best) {
          best = v;
          found = i;
        }`;
    return `
    ${code}
    const from = ${site.x} * ${BLOCK};
    let best = ${sums ? '0' : at('from')};
    let found = from;
    for (let j = 0; j < ${BLOCK}; j++) {
      const i = Math.min(from + j, ${length - 1});
      const v = ${at('i')};
      if (from + j < ${length}) {
        ${step}
      }
    }
    return ${fn.startsWith('arg') ? 'found' : 'best'};`;
  });
}

/** The first of the best, given the best of every block. */
function reduceFound(
  emit: Emit,
  { x, axis, fn, blocks }: Reduction & { readonly blocks: Grid },
  output: Output,
): Grid {
  return emit(output, [x, blocks], (site) => {
    const { code, indices } = indicesOf(output.shape, site);
    const [value, where] = site.reads;
    const foundIn = (block: string) =>
      readAt(where, blocks.shape, [...indices.slice(0, axis), block]);
    const at = (i: string) => readAt(value, x.shape, [...indices.slice(0, axis), i]);
    return `
    ${code}
    let found = ${foundIn('0')};
    let best = ${at('found')};
    for (let block = 1; block < ${blocks.shape[axis]}; block++) {
      const other = ${foundIn('block')};
      const v = ${at('other')};
      if (v ${better(fn)} best) {
        best = v;
        found = other;
      }
    }
    return found;`;
  });
}

/**
 * y_i = e^(x_i − max) / Σ_j e^(x_j − max), or its logarithm, over the last axis: the maximum, the exponentials, their sum
 * and the result are a step each.
 */
export const softmax: Template<'softmax'> = (emit, [x], output, { log }) => {
  const axis = output.shape.length - 1;
  const perRow = {
    shape: output.shape.with(-1, 1),
    extent: output.shape.length > 1 ? output.extent : undefined,
  };
  const reduceRows = (grid: Grid, fn: 'max' | 'sum') => {
    const long = output.shape[axis] >= LONG;
    const parts = long ? reduceBlocks(emit, grid, fn) : grid;
    return reduceAll(emit, { x: parts, axis, kept: true, fn, dtype: 'f32' }, perRow);
  };
  const maxima = reduceRows(x, 'max');
  const powers = emit(
    output,
    [x, maxima],
    ({ y, x: column, reads: [read, largest] }) =>
      `return Math.exp(${read(y, column)} - ${largest(y, '0')});`,
  );
  const totals = reduceRows(powers, 'sum');
  if (log)
    return emit(
      output,
      [x, maxima, totals],
      ({ y, x: column, reads: [read, largest, total] }) =>
        `return ${read(y, column)} - ${largest(y, '0')} - Math.log(${total(y, '0')});`,
    );
  return emit(
    output,
    [powers, totals],
    ({ y, x: column, reads: [power, total] }) => `return ${power(y, column)} / ${total(y, '0')};`,
  );
};
