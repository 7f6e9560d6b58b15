// How weights in f32, bf16 and f16 lie in memory: panels of four rows. A panel has four columns of row 0, the same four of
// rows 1, 2 and 3, then the next four columns; of 16 bits, the columns of rows 0 and 1 alternate, and those of 2 and 3.
// Panels are cut into chunks of 256 columns, and the first chunks of all panels come before the second ones, in the order in
// which they are read. What is missing in the last panel, or of the last four columns, is zero.
import type { TypedArray } from '../plan.ts';

/** Rows of a panel, and columns that lie together. */
const ROWS = 4;
const STEP = 4;
/** Columns of a chunk. */
export const CHUNK = 256;

const upToFour = (count: number) => Math.ceil(count / 4) * 4;

/** Elements of the panels of a matrix. */
export function panelElements(rows: number, columns: number): number {
  return upToFour(rows) * upToFour(columns);
}

/** A part of a matrix: its size, and the element, row by row, or the block that comes first. */
export interface MatrixRange {
  readonly rows: number;
  readonly columns: number;
  readonly first: number;
}

/** Moves elements of a matrix, row by row, to their places in panels. */
export function packFloats(data: TypedArray, panels: TypedArray, range: MatrixRange): void {
  eachRun(panels, { ...range, count: data.length }, (at, inPanels, length, apart) => {
    for (let i = 0; i < length; i++) panels[inPanels + i * apart] = data[at + i];
  });
}

/** Elements of a matrix that lies in panels, row by row, into `data`. */
export function unpackFloats(panels: TypedArray, data: TypedArray, range: MatrixRange): void {
  eachRun(panels, { ...range, count: data.length }, (at, inPanels, length, apart) => {
    for (let i = 0; i < length; i++) data[at + i] = panels[inPanels + i * apart];
  });
}

/** Calls back with every run of columns of a step: offset in the data, in the panels, length, and how far apart they lie. */
function eachRun(
  panels: TypedArray,
  { rows, columns, first, count }: MatrixRange & { readonly count: number },
  move: (at: number, inPanels: number, length: number, apart: number) => void,
): void {
  const padded = upToFour(rows);
  const paired = panels.BYTES_PER_ELEMENT === 2;
  for (let at = 0; at < count; ) {
    const row = Math.floor((first + at) / columns);
    const end = Math.min(count, (row + 1) * columns - first);
    const lane = row % ROWS;
    for (let column = first + at - row * columns; at < end; ) {
      const chunk = column - (column % CHUNK);
      const width = upToFour(Math.min(CHUNK, columns - chunk));
      const place = column % STEP;
      const length = Math.min(STEP - place, end - at);
      const panel = chunk * padded + (row - lane) * width;
      const step = panel + (column - chunk - place) * ROWS;
      if (paired) move(at, step + (lane >> 1) * 8 + (lane & 1) + 2 * place, length, 2);
      else move(at, step + lane * STEP + place, length, 1);
      column += length;
      at += length;
    }
  }
}
