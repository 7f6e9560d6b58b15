// Products with matrices of weights: several of them at once, and what is done with the sums, in one kernel or in two.
//
// Layout `rows`: one thread per output walks along the row of its weights. Layout `lanes`: 32 neighbours share a row, each takes
// every 32nd number, and a second kernel adds what they have. A processor with caches likes the first, a graphics device the
// second: neighbours read neighbouring numbers, and a short output still has threads for all of it.
import { BLOCK, type BlockDType } from '../blocks.ts';
import { sumOfBlocks, wordsOf } from './packed.ts';
import { type Emit, type Grid, type Output, quotient, type Read, sumOf } from './programs.ts';
import { rawWordsOf, sumOfRawBlocks, sumOfRawPairs } from './raw.ts';

/** How a product is spread over threads. */
export type Layout = 'rows' | 'lanes';

/** Weights [O, I]: elements, words and scales of blocks (packed, or with the bits of the file), or words of two of 16 bits. */
export type Matrix =
  | { readonly kind: 'elements'; readonly elements: Grid }
  | {
      readonly kind: 'blocks';
      readonly dtype: BlockDType;
      readonly raw: boolean;
      readonly words: Grid;
      readonly scales: Grid;
    }
  | { readonly kind: 'pairs'; readonly dtype: 'bf16' | 'f16'; readonly words: Grid };

/** What becomes of the sums: y = s + b, y = s + b + r, or y = silu(gate) · up of the first and the second half of the rows. */
export interface Projection {
  readonly x: Grid;
  readonly matrix: Matrix;
  readonly bias?: Grid | undefined;
  readonly residual?: Grid | undefined;
  readonly gated?: boolean;
}

const MOST_LANES = 32;
/** Threads of one row of an output that are enough: beyond, lanes would only cost memory. */
const ENOUGH_THREADS = 2 ** 18;

/** s[t,o] = Σ_i x[t,i]·w[o,i], and what becomes of it. */
export function project(
  emit: Emit,
  projection: Projection,
  {
    layout,
    maxColumns,
    output,
  }: { readonly layout: Layout; readonly maxColumns: number; readonly output: Output },
): Grid {
  const { x: input, matrix, bias, residual, gated = false } = projection;
  const parts = partsOf(matrix);
  const rows = parts[0].shape[0];
  const most = Math.min(maxColumns, ENOUGH_THREADS);
  const lanes = layout === 'rows' ? 1 : lanesOf(parts.at(-1)!.shape, most);
  const sums =
    lanes === 1
      ? [input, ...parts]
      : [
          emit(
            { shape: [output.shape[0], rows * lanes], extent: output.extent },
            [input, ...parts],
            ({ y, x, reads }) => `
    const row = ${quotient(x, lanes)};
    const lane = ${x} - row * ${lanes};
    ${dot('sum', matrix, { y, row: 'row', reads, lanes })}
    return sum;`,
          ),
        ];
  const added = [bias, residual].filter((grid) => grid !== undefined);
  return emit(output, [...sums, ...added], ({ y, x, reads }) => {
    const more = reads.slice(sums.length);
    const readBias = bias && more[0];
    const readResidual = residual && more.at(-1);
    const total = (name: string, row: string) =>
      lanes === 1
        ? dot(name, matrix, { y, row, reads, lanes })
        : sumOf(name, lanes, (lane) => reads[0](y, `(${row}) * ${lanes} + ${lane}`));
    const plus = (row: string) => (readBias === undefined ? '' : ` + ${readBias('0', row)}`);
    if (gated) {
      const upper = `${x} + ${rows / 2}`;
      return `
    ${total('gate', x)}
    ${total('up', upper)}
    const v = gate${plus(x)};
    return v / (1 + Math.exp(-v)) * (up${plus(upper)});`;
    }
    return `
    ${total('sum', x)}
    return sum${plus(x)}${readResidual === undefined ? '' : ` + ${readResidual(y, x)}`};`;
  });
}

const partsOf = (matrix: Matrix): readonly Grid[] => {
  if (matrix.kind === 'elements') return [matrix.elements];
  return matrix.kind === 'pairs' ? [matrix.words] : [matrix.words, matrix.scales];
};

/** A power of two that divides the numbers (or blocks) of a row. */
function lanesOf([rows, units]: readonly number[], mostThreads: number): number {
  let lanes = MOST_LANES;
  while (lanes > 1 && (units % lanes > 0 || rows * lanes > mostThreads)) lanes /= 2;
  return lanes;
}

/** The share of variable `lane` in a product with one row, as statements; all of it for one lane. */
function dot(
  name: string,
  matrix: Matrix,
  at: {
    readonly y: string;
    readonly row: string;
    readonly reads: readonly Read[];
    readonly lanes: number;
  },
): string {
  const { y, row, reads, lanes } = at;
  const unit = (index: string) => (lanes === 1 ? index : `(${index}) * ${lanes} + lane`);
  const [input] = reads;
  if (matrix.kind === 'elements') {
    const [, weight] = reads;
    const length = matrix.elements.shape[1] / lanes;
    return sumOf(name, length, (i) => `${input(y, unit(i))} * ${weight(row, unit(i))}`);
  }
  const [, word, scale] = reads;
  if (matrix.kind === 'pairs')
    return sumOfRawPairs(
      name,
      { dtype: matrix.dtype, words: matrix.words.shape[1] / lanes },
      {
        word: (at) => word(row, unit(at)),
        input: (at, lane) => input(y, `2 * (${unit(at)}) + ${lane}`),
      },
    );
  const { dtype, raw, scales } = matrix;
  const words = raw ? rawWordsOf(dtype) : wordsOf(dtype);
  const sumBlocks = raw ? sumOfRawBlocks : sumOfBlocks;
  return sumBlocks(
    name,
    { dtype, blocks: scales.shape[1] / lanes },
    {
      word: (block, w) => word(row, `(${unit(block)}) * ${words} + ${w}`),
      scale: (block) => scale(row, unit(block)),
      input: (block, i) => input(y, `(${unit(block)}) * ${BLOCK} + ${i}`),
    },
  );
}
