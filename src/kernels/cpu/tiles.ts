// Products of a few rows of x with a few rows of weights. Every output has one float64 accumulator that takes its products
// in ascending order, in every tile, so a row has the same bits whatever rows are computed beside it.

/** One tile call: `rows` rows of x against `count` rows of weights. */
export interface Tile {
  /** Interleaved x: element (i, r) at from + i·rows + r. */
  x: Float64Array;
  from: number;
  /** Weight row c at weightFrom + c·inner. */
  weight: Float32Array;
  weightFrom: number;
  inner: number;
  count: number;
  /** Result (r, c) at outFrom + r·outStride + c. */
  out: Float32Array;
  outFrom: number;
  outStride: number;
}

/** Rows of x in the next tile when `remaining` are left: three cost least per row, but four less than three and one. */
export const tileHeight = (remaining: number): number =>
  remaining === 4 ? 4 : Math.min(3, remaining);

/** One row of x, eight rows of weights at a time. */
function tile1(tile: Tile): void {
  const { x, from, weight, inner, count, out, outFrom } = tile;
  let o = 0;
  for (; o + 8 <= count; o += 8) {
    const w0 = tile.weightFrom + o * inner;
    const w1 = w0 + inner;
    const w2 = w1 + inner;
    const w3 = w2 + inner;
    const w4 = w3 + inner;
    const w5 = w4 + inner;
    const w6 = w5 + inner;
    const w7 = w6 + inner;
    let y0 = 0;
    let y1 = 0;
    let y2 = 0;
    let y3 = 0;
    let y4 = 0;
    let y5 = 0;
    let y6 = 0;
    let y7 = 0;
    for (let i = 0; i < inner; i++) {
      const a = x[from + i];
      y0 += a * weight[w0 + i];
      y1 += a * weight[w1 + i];
      y2 += a * weight[w2 + i];
      y3 += a * weight[w3 + i];
      y4 += a * weight[w4 + i];
      y5 += a * weight[w5 + i];
      y6 += a * weight[w6 + i];
      y7 += a * weight[w7 + i];
    }
    const first = outFrom + o;
    out[first] = y0;
    out[first + 1] = y1;
    out[first + 2] = y2;
    out[first + 3] = y3;
    out[first + 4] = y4;
    out[first + 5] = y5;
    out[first + 6] = y6;
    out[first + 7] = y7;
  }
  remainder(tile, 1, o);
}

/** Two rows of x, four rows of weights at a time. */
function tile2(tile: Tile): void {
  const { x, from, weight, inner, count, out, outFrom, outStride } = tile;
  let o = 0;
  for (; o + 4 <= count; o += 4) {
    const w0 = tile.weightFrom + o * inner;
    const w1 = w0 + inner;
    const w2 = w1 + inner;
    const w3 = w2 + inner;
    let a0 = 0;
    let a1 = 0;
    let b0 = 0;
    let b1 = 0;
    let c0 = 0;
    let c1 = 0;
    let d0 = 0;
    let d1 = 0;
    for (let i = 0, p = from; i < inner; i++, p += 2) {
      const a = weight[w0 + i];
      const b = weight[w1 + i];
      const c = weight[w2 + i];
      const d = weight[w3 + i];
      const x0 = x[p];
      a0 += x0 * a;
      b0 += x0 * b;
      c0 += x0 * c;
      d0 += x0 * d;
      const x1 = x[p + 1];
      a1 += x1 * a;
      b1 += x1 * b;
      c1 += x1 * c;
      d1 += x1 * d;
    }
    let at = outFrom + o;
    out[at] = a0;
    out[at + 1] = b0;
    out[at + 2] = c0;
    out[at + 3] = d0;
    at += outStride;
    out[at] = a1;
    out[at + 1] = b1;
    out[at + 2] = c1;
    out[at + 3] = d1;
  }
  remainder(tile, 2, o);
}

/** Three rows of x, three rows of weights at a time. */
function tile3(tile: Tile): void {
  const { x, from, weight, inner, count, out, outFrom, outStride } = tile;
  let o = 0;
  for (; o + 3 <= count; o += 3) {
    const w0 = tile.weightFrom + o * inner;
    const w1 = w0 + inner;
    const w2 = w1 + inner;
    let a0 = 0;
    let a1 = 0;
    let a2 = 0;
    let b0 = 0;
    let b1 = 0;
    let b2 = 0;
    let c0 = 0;
    let c1 = 0;
    let c2 = 0;
    for (let i = 0, p = from; i < inner; i++, p += 3) {
      const a = weight[w0 + i];
      const b = weight[w1 + i];
      const c = weight[w2 + i];
      const x0 = x[p];
      a0 += x0 * a;
      b0 += x0 * b;
      c0 += x0 * c;
      const x1 = x[p + 1];
      a1 += x1 * a;
      b1 += x1 * b;
      c1 += x1 * c;
      const x2 = x[p + 2];
      a2 += x2 * a;
      b2 += x2 * b;
      c2 += x2 * c;
    }
    let at = outFrom + o;
    out[at] = a0;
    out[at + 1] = b0;
    out[at + 2] = c0;
    at += outStride;
    out[at] = a1;
    out[at + 1] = b1;
    out[at + 2] = c1;
    at += outStride;
    out[at] = a2;
    out[at + 1] = b2;
    out[at + 2] = c2;
  }
  remainder(tile, 3, o);
}

/** Four rows of x, two rows of weights at a time, unrolled by two: 1.04x. */
function tile4(tile: Tile): void {
  const { x, from, weight, inner, count, out, outFrom, outStride } = tile;
  const even = inner - (inner % 2);
  let o = 0;
  for (; o + 2 <= count; o += 2) {
    const w0 = tile.weightFrom + o * inner;
    const w1 = w0 + inner;
    let a0 = 0;
    let a1 = 0;
    let a2 = 0;
    let a3 = 0;
    let b0 = 0;
    let b1 = 0;
    let b2 = 0;
    let b3 = 0;
    let i = 0;
    let p = from;
    for (; i < even; i += 2, p += 8) {
      const a = weight[w0 + i];
      const b = weight[w1 + i];
      const x0 = x[p];
      const x1 = x[p + 1];
      const x2 = x[p + 2];
      const x3 = x[p + 3];
      a0 += x0 * a;
      a1 += x1 * a;
      a2 += x2 * a;
      a3 += x3 * a;
      b0 += x0 * b;
      b1 += x1 * b;
      b2 += x2 * b;
      b3 += x3 * b;
      const c = weight[w0 + i + 1];
      const d = weight[w1 + i + 1];
      const x4 = x[p + 4];
      const x5 = x[p + 5];
      const x6 = x[p + 6];
      const x7 = x[p + 7];
      a0 += x4 * c;
      a1 += x5 * c;
      a2 += x6 * c;
      a3 += x7 * c;
      b0 += x4 * d;
      b1 += x5 * d;
      b2 += x6 * d;
      b3 += x7 * d;
    }
    if (i < inner) {
      const a = weight[w0 + i];
      const b = weight[w1 + i];
      const x0 = x[p];
      a0 += x0 * a;
      b0 += x0 * b;
      const x1 = x[p + 1];
      a1 += x1 * a;
      b1 += x1 * b;
      const x2 = x[p + 2];
      a2 += x2 * a;
      b2 += x2 * b;
      const x3 = x[p + 3];
      a3 += x3 * a;
      b3 += x3 * b;
    }
    let at = outFrom + o;
    out[at] = a0;
    out[at + 1] = b0;
    at += outStride;
    out[at] = a1;
    out[at + 1] = b1;
    at += outStride;
    out[at] = a2;
    out[at + 1] = b2;
    at += outStride;
    out[at] = a3;
    out[at + 1] = b3;
  }
  remainder(tile, 4, o);
}

/** The last weight rows, one output at a time. */
function remainder(tile: Tile, rows: number, from: number): void {
  const { x, weight, inner, count, out, outFrom, outStride } = tile;
  for (let c = from; c < count; c++) {
    const w = tile.weightFrom + c * inner;
    for (let r = 0; r < rows; r++) {
      let sum = 0;
      for (let i = 0; i < inner; i++) sum += x[tile.from + i * rows + r] * weight[w + i];
      out[outFrom + r * outStride + c] = sum;
    }
  }
}

/** By the number of x rows. */
export const TILES: readonly ((tile: Tile) => void)[] = [() => {}, tile1, tile2, tile3, tile4];
