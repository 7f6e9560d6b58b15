// How weights in blocks lie in memory: panels of eight rows. For each block of 32 inputs a panel has the eight scales, then
// its inputs in steps, and of each step the bytes of rows 0 to 3, then those of rows 4 to 7: two inputs a row and step in
// q8_0, in q4_0 the four bytes that hold inputs 4c .. 4c + 3 and 16 + 4c .. 16 + 4c + 3. Panels are cut into chunks of 32
// blocks, and the first chunks of all panels come before the second ones, in the order in which they are read. The bytes are
// GGUF's, in another order; rows that are missing in the last panel are zero.
import { BLOCK, BLOCK_BYTES, type BlockDType } from '../blocks.ts';

/** Rows of a panel. */
export const PANEL = 8;

const SCALES = 2 * PANEL;
const CHUNK = 32;
/** Bytes a row has in one step. */
const STEP: Readonly<Record<BlockDType, number>> = { q8_0: 2, q4_0: 4 };

/** A matrix, and the block of it that comes first. */
export interface Range {
  readonly rows: number;
  readonly columns: number;
  readonly first: number;
}

/** Bytes of the panels of a matrix. */
export function panelBytes(dtype: BlockDType, rows: number, columns: number): number {
  return Math.ceil(rows / PANEL) * PANEL * (columns / BLOCK) * BLOCK_BYTES[dtype];
}

/** Moves GGUF's blocks of a matrix with `columns` columns, from block `first` on, to their places in panels. */
export function packBlocks(
  blocks: Uint8Array,
  panels: Uint8Array,
  dtype: BlockDType,
  range: Range,
): void {
  eachHalf(dtype, { ...range, count: blocks.length / BLOCK_BYTES[dtype] }, (from, to) => {
    panels[to] = blocks[from];
    panels[to + 1] = blocks[from + 1];
  });
}

/** GGUF's blocks `first` .. `first + count` of a matrix that lies in panels. */
export function unpackBlocks(
  panels: Uint8Array,
  dtype: BlockDType,
  range: Range & { readonly count: number },
): Uint8Array<ArrayBuffer> {
  const blocks = new Uint8Array(range.count * BLOCK_BYTES[dtype]);
  eachHalf(dtype, range, (to, from) => {
    blocks[to] = panels[from];
    blocks[to + 1] = panels[from + 1];
  });
  return blocks;
}

/** Calls back with the offset of every two bytes in blocks and in panels. */
function eachHalf(
  dtype: BlockDType,
  { rows, columns, first, count }: Range & { readonly count: number },
  move: (inBlocks: number, inPanels: number) => void,
): void {
  const perRow = columns / BLOCK;
  const size = BLOCK_BYTES[dtype];
  const step = STEP[dtype];
  const padded = Math.ceil(rows / PANEL) * PANEL;
  for (let index = 0; index < count; index++) {
    const row = Math.floor((first + index) / perRow);
    const lane = row % PANEL;
    const column = (first + index) % perRow;
    const chunk = column - (column % CHUNK);
    const length = Math.min(CHUNK, perRow - chunk);
    const panel = (chunk * padded + (row - lane) * length + (column - chunk) * PANEL) * size;
    const block = index * size;
    move(block, panel + 2 * lane);
    const place = panel + SCALES + (lane >> 2) * 4 * step + (lane & 3) * step;
    for (let byte = 0; byte < size - 2; byte += 2)
      move(block + 2 + byte, place + Math.floor(byte / step) * PANEL * step + (byte % step));
  }
}
