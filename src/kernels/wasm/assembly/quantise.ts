// Rows of x as whole numbers with a scale per block of 32, for weights in blocks: 16 bits beside q8_0, where the error of
// x (2^-16 of the largest of its block) is nothing beside that of the weights, 8 bits beside q4_0, whose products then fit
// the narrow dot product of relaxed SIMD.
//
// Layout, tile by tile (tiles.ts): for each block its inputs in order, and of each step (two inputs of 16
// bits or four of 8) the 4 bytes of every row of the tile. After all rows, for each tile and block four scales f32, then four
// sums i32: −8·Σq of each row.
import { share } from './pointwise';
import { firstOf, tilesOf } from './tiles';

/** Bytes of the scales and sums of four rows for one block. */
export const XSCALE_BYTES: usize = 32;

/** Where row t, the first of a tile, begins. `wide`: 16 bits an input, else 8. */
@inline
export function xTileBytes(inner: i32, wide: bool, t: i32): usize {
  return (<usize>t * inner) << (wide ? 1 : 0);
}

/** [out, x, rows, inner, type of the weights: 3 q8_0, 4 q4_0, rows at most] */
export function quantise(args: usize, worker: i32, workers: i32): void {
  const out = <usize>load<u32>(args);
  const x = <usize>load<u32>(args, 4);
  const rows = load<i32>(<usize>load<u32>(args, 8));
  const inner = load<i32>(args, 12);
  const wide = load<i32>(args, 16) === 3;
  const most = load<i32>(args, 20);
  const scales = out + xTileBytes(inner, wide, most);
  const blocks = inner >> 5;
  const to = share(blocks, worker + 1, workers, 1);
  for (let i = 0; i < tilesOf(rows); i++) {
    const first = firstOf(i, rows);
    const height = firstOf(i + 1, rows) - first;
    for (let r = 0; r < height; r++) {
      const lane = <usize>r << 2;
      const tile = out + xTileBytes(inner, wide, first) + lane;
      const scale = scales + <usize>(i * blocks) * XSCALE_BYTES + lane;
      for (let b = share(blocks, worker, workers, 1); b < to; b++) {
        const from = x + ((<usize>(first + r) * inner + (b << 5)) << 2);
        const at = scale + <usize>b * XSCALE_BYTES;
        if (wide) words(from, tile + ((<usize>b * height) << 6), height << 2, at);
        else bytes(from, tile + ((<usize>b * height) << 5), height << 2, at);
      }
    }
  }
}

/** The largest magnitude of 32 numbers; NaN if one is NaN. */
@inline
function largest(x: usize): f32 {
  let most = f32x4.abs(v128.load(x));
  for (let i: usize = 16; i < 128; i += 16) most = f32x4.max(most, f32x4.abs(v128.load(x + i)));
  const pairs = f32x4.max(most, v128.shuffle<i32>(most, most, 2, 3, 0, 1));
  return max(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1));
}

/** Four numbers divided by the scale and rounded, ties to even. */
@inline
function rounded(x: usize, inverse: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x), inverse)));
}

/** q = round(x / d) with d = max|x| / 32767, in 16 bits: sixteen steps of two. */
function words(x: usize, out: usize, stride: usize, scale: usize): void {
  const most = largest(x);
  const inverse = f32x4.splat(most > 0 ? 32767 / most : 0);
  store<f32>(scale, most / 32767);
  for (const end = x + 128; x < end; x += 32) {
    const q = i16x8.narrow_i32x4_s(rounded(x, inverse), rounded(x + 16, inverse));
    v128.store32_lane(out, q, 0);
    v128.store32_lane(out + stride, q, 1);
    v128.store32_lane(out + 2 * stride, q, 2);
    v128.store32_lane(out + 3 * stride, q, 3);
    out += 4 * stride;
  }
}

/** q = round(x / d) with d = max|x| / 127, in 8 bits: eight steps of four; and −8·Σq. */
function bytes(x: usize, out: usize, stride: usize, scale: usize): void {
  const most = largest(x);
  const inverse = f32x4.splat(most > 0 ? 127 / most : 0);
  let sums = i32x4.splat(0);
  for (const end = x + 128; x < end; x += 64) {
    const low = i16x8.narrow_i32x4_s(rounded(x, inverse), rounded(x + 16, inverse));
    const high = i16x8.narrow_i32x4_s(rounded(x + 32, inverse), rounded(x + 48, inverse));
    const q = i8x16.narrow_i16x8_s(low, high);
    sums = i32x4.add(sums, i32x4.extadd_pairwise_i16x8_s(i16x8.extadd_pairwise_i8x16_s(q)));
    v128.store32_lane(out, q, 0);
    v128.store32_lane(out + stride, q, 1);
    v128.store32_lane(out + 2 * stride, q, 2);
    v128.store32_lane(out + 3 * stride, q, 3);
    out += 4 * stride;
  }
  const sum =
    i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1) +
    i32x4.extract_lane(sums, 2) + i32x4.extract_lane(sums, 3);
  store<f32>(scale, most / 127);
  store<i32>(scale, -8 * sum, 16);
}
