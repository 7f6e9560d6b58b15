// y = x·Wᵀ + b on typed arrays. The rows of x are cut into tiles of one to four rows, the weights into blocks; tiles.ts
// multiplies a tile with a block.
//
// Tricks, with what they gain on 2048x2048 f32 (bench kernels, "linear"):
// - one row of x meets eight weight rows at a time: 2.1x over one at a time, which waits for its own additions;
// - three or four rows of x share every read of a weight: 1.6x a row;
// - x is widened to float64 and interleaved by rows beforehand: the inner loop has no conversions of x;
// - weights that are not f32 are widened once per block of rows and used for all rows of x; f16 and bf16 are looked up for
//   one row.

import { isBlocked, BLOCK as QUANT, widenBlocks } from '../blocks.ts';
import { bf16Table, f16Table } from '../dtype.ts';
import { ShapeError } from '../errors.ts';
import type { Kernel, Operand } from '../operand.ts';
import type { DType } from '../plan.ts';
import { TILES, type Tile, tileHeight } from './tiles.ts';
import { widenBf16, widenF16 } from './widen.ts';

/** Weight rows per block: a multiple of the weight rows of every tile, small enough for the second-level cache. */
const BLOCK = 24;

/** The kernel, with scratch space that grows to the largest call and is reused. */
export function createLinear(): Kernel<'linear'> {
  let packed = new Float64Array(0);
  let widened = new Float32Array(0);
  const tile: Tile = {
    x: packed,
    from: 0,
    weight: widened,
    weightFrom: 0,
    inner: 0,
    count: 0,
    out: widened,
    outFrom: 0,
    outStride: 0,
  };
  return (out, [x, weight, bias]) => {
    const [rows, outer] = out.shape;
    const inner = weight.shape[1];
    if (packed.length < rows * inner) packed = new Float64Array(rows * inner);
    if (weight.dtype !== 'f32' && widened.length < BLOCK * inner)
      widened = new Float32Array(BLOCK * inner);
    pack(x.data as Float32Array, packed, rows, inner);
    tile.x = packed;
    tile.inner = inner;
    tile.out = out.data as Float32Array;
    tile.outStride = outer;
    const table = rows === 1 ? tableOf(weight.dtype) : undefined;
    if (table !== undefined) rowByTable(tile, weight.data as Uint16Array, table);
    else tiles(rows, weight, tile);
    if (bias !== undefined) addBias(tile.out, bias.data as Float32Array, rows, outer);
  };

  function tiles(rows: number, weight: Operand, tile: Tile): void {
    const outer = tile.outStride;
    for (let o = 0; o < outer; o += BLOCK) {
      tile.count = Math.min(BLOCK, outer - o);
      weightRows(weight, o, tile, widened);
      for (let t = 0, height = 0; t < rows; t += height) {
        height = tileHeight(rows - t);
        tile.from = t * tile.inner;
        tile.outFrom = t * outer + o;
        TILES[height](tile);
      }
    }
  }
}

/** The value of every bit pattern of a 16-bit dtype. */
function tableOf(dtype: DType): Float64Array | undefined {
  if (dtype === 'bf16') return bf16Table();
  return dtype === 'f16' ? f16Table() : undefined;
}

/** Interleaves the rows of x of every tile, widened to float64. */
function pack(x: Float32Array, packed: Float64Array, rows: number, inner: number): void {
  for (let t = 0, height = 0; t < rows; t += height) {
    height = tileHeight(rows - t);
    const from = t * inner;
    for (let r = 0; r < height; r++)
      for (let i = 0; i < inner; i++) packed[from + i * height + r] = x[from + r * inner + i];
  }
}

/** Points the tile at weight rows o .. o + count, widened if they are not f32. */
function weightRows(weight: Operand, o: number, tile: Tile, widened: Float32Array): void {
  const from = o * tile.inner;
  const length = tile.count * tile.inner;
  if (weight.dtype === 'f32') {
    tile.weight = weight.data as Float32Array;
    tile.weightFrom = from;
    return;
  }
  tile.weight = widened;
  tile.weightFrom = 0;
  if (weight.dtype === 'bf16') widenBf16(weight.data as Uint16Array, from, widened, length);
  else if (weight.dtype === 'f16') widenF16(weight.data as Uint16Array, from, widened, length);
  else if (isBlocked(weight.dtype)) {
    const range = { from: from / QUANT, count: length / QUANT };
    widenBlocks(weight.data as Uint8Array, weight.dtype, f16Table(), range, widened);
  } else throw new ShapeError(`linear: expected weights in floats or blocks, got ${weight.dtype}`);
}

/** The bias is added to the rounded sum, in one place for all tiles. */
function addBias(out: Float32Array, bias: Float32Array, rows: number, outer: number): void {
  for (let t = 0; t < rows; t++) for (let o = 0; o < outer; o++) out[t * outer + o] += bias[o];
}

/**
 * One row of x against all rows of f16 or bf16 weights, four at a time: 2.4x over widening first. The values that occur
 * in weights are few, so their part of the table stays in the first-level cache.
 */
function rowByTable(tile: Tile, bits: Uint16Array, table: Float64Array): void {
  const { x, inner, out, outStride: outer } = tile;
  let o = 0;
  for (; o + 4 <= outer; o += 4) {
    const w0 = o * inner;
    const w1 = w0 + inner;
    const w2 = w1 + inner;
    const w3 = w2 + inner;
    let y0 = 0;
    let y1 = 0;
    let y2 = 0;
    let y3 = 0;
    for (let i = 0; i < inner; i++) {
      const a = x[i];
      y0 += a * table[bits[w0 + i]];
      y1 += a * table[bits[w1 + i]];
      y2 += a * table[bits[w2 + i]];
      y3 += a * table[bits[w3 + i]];
    }
    out[o] = y0;
    out[o + 1] = y1;
    out[o + 2] = y2;
    out[o + 3] = y3;
  }
  for (; o < outer; o++) {
    const w = o * inner;
    let sum = 0;
    for (let i = 0; i < inner; i++) sum += x[i] * table[bits[w + i]];
    out[o] = sum;
  }
}
