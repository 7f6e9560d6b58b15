// How weights in blocks lie in memory: panels of eight rows. For each block of 32 inputs a panel has the eight scales, then
// its inputs in steps, and of each step the bytes of rows 0 to 3, then those of rows 4 to 7: two inputs a row and step in
// q8_0, in q4_0 the four bytes that hold inputs 4c .. 4c + 3 and 16 + 4c .. 16 + 4c + 3. Panels are cut into chunks of 16
// blocks, and the first chunks of all panels come before the second ones, in the order in which they are read. The bytes are
// GGUF's, in another order; rows that are missing in the last panel are zero.
import { BLOCK, BLOCK_BYTES, type BlockDType } from '../blocks.ts';
import type { MatrixRange } from './float-panels.ts';

/** Rows of a panel. */
export const PANEL = 8;

/** Columns of a chunk: 16 blocks. */
export const CHUNK = 16 * BLOCK;
/** Bytes a row has in one step. */
const STEP: Readonly<Record<BlockDType, number>> = { q8_0: 2, q4_0: 4 };

/** Bytes of the panels of a matrix. */
export function panelBytes(dtype: BlockDType, rows: number, columns: number): number {
  return Math.ceil(rows / PANEL) * PANEL * (columns / BLOCK) * BLOCK_BYTES[dtype];
}

/** Moves GGUF's blocks of a matrix with `columns` columns, from block `first` on, to their places in panels. */
export function packBlocks(
  blocks: Uint8Array,
  panels: Uint8Array,
  dtype: BlockDType,
  range: MatrixRange,
): void {
  const from = pairsOf(blocks);
  const to = pairsOf(panels);
  eachBlock(dtype, { ...range, count: blocks.length / BLOCK_BYTES[dtype] }, (block, place) => {
    to[place.scale] = from[block];
    if (dtype === 'q8_0')
      for (let k = 0; k < 16; k++) to[place.first + 8 * k] = from[block + 1 + k];
    else
      for (let k = 0; k < 8; k++) to[place.first + 16 * (k >> 1) + (k & 1)] = from[block + 1 + k];
  });
}

/** GGUF's blocks `first` .. `first + count` of a matrix that lies in panels. */
export function unpackBlocks(
  panels: Uint8Array,
  dtype: BlockDType,
  range: MatrixRange & { readonly count: number },
): Uint8Array<ArrayBuffer> {
  const to = new Uint16Array((range.count * BLOCK_BYTES[dtype]) / 2);
  const from = pairsOf(panels);
  eachBlock(dtype, range, (block, place) => {
    to[block] = from[place.scale];
    if (dtype === 'q8_0')
      for (let k = 0; k < 16; k++) to[block + 1 + k] = from[place.first + 8 * k];
    else
      for (let k = 0; k < 8; k++) to[block + 1 + k] = from[place.first + 16 * (k >> 1) + (k & 1)];
  });
  return new Uint8Array(to.buffer);
}

/** Bytes two at a time: blocks, scales and steps have even sizes. */
function pairsOf(bytes: Uint8Array): Uint16Array {
  const even = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  return new Uint16Array(even.buffer, even.byteOffset, even.byteLength / 2);
}

/** Where a row of a panel has its scale and its first step in one block, in units of two bytes. */
interface Place {
  scale: number;
  first: number;
}

/** Calls back with every block: where it begins among the blocks of the range, and its place in the panels. */
function eachBlock(
  dtype: BlockDType,
  { rows, columns, first, count }: MatrixRange & { readonly count: number },
  move: (block: number, place: Place) => void,
): void {
  const perRow = columns / BLOCK;
  const size = BLOCK_BYTES[dtype] / 2;
  const step = STEP[dtype] / 2;
  const padded = Math.ceil(rows / PANEL) * PANEL;
  const place = { scale: 0, first: 0 };
  for (let index = 0; index < count; index++) {
    const row = Math.floor((first + index) / perRow);
    const lane = row % PANEL;
    const column = (first + index) % perRow;
    const chunk = column - (column % (CHUNK / BLOCK));
    const length = Math.min(CHUNK / BLOCK, perRow - chunk);
    const panel = (chunk * padded + (row - lane) * length + (column - chunk) * PANEL) * size;
    place.scale = panel + lane;
    place.first = panel + PANEL + (lane >> 2) * 4 * step + (lane & 3) * step;
    move(index * size, place);
  }
}
