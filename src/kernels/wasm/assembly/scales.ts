// What the tiles of weights in blocks share: the scales, what they do to the sum of a block, and where the sums of a tile go.
import { madd } from './math';

/** Bytes of the eight scales that a panel has for a block. */
export const SCALES: usize = 16;

/**
 * `bits` in every lane; `zero` is 0, which V8 cannot know: a constant of 256 bits it makes anew at every use, in seven operations
 * (q4_0, four rows: 1.5x).
 */
@inline
export function held(bits: i32, zero: i32): v128 {
  return i32x4.splat(bits | zero);
}

/** What `half4` takes apart and multiplies with: sign, exponent and fraction in their place, and 2^112. */
export const PLACED: i32 = 0x8fffe000, POWER: i32 = 0x77800000;

/** Four f16 scales, sign-extended to 32 bits, as f32: exponent and fraction in their place are the number times 2^-112. */
@inline
export function half4(bits: v128, placed: v128, power: v128): v128 {
  return f32x4.mul(v128.and(i32x4.shl(bits, 13), placed), power);
}

/** f + s·d·a: the sum of a block, scaled, to the sum of the row. */
@inline
export function scaled(f: v128, a: v128, s: v128, d: v128): v128 {
  return madd(f32x4.convert_i32x4_s(a), f32x4.mul(s, d), f);
}

/** Eight sums of each of `R` rows to y, whose rows are `stride` bytes apart. */
@inline
export function put(
  R: i32, y: usize, stride: usize,
  f00: v128, f01: v128, f10: v128, f11: v128, f20: v128, f21: v128, f30: v128, f31: v128,
): void {
  const y1 = y + stride, y2 = y1 + stride, y3 = y2 + stride;
  v128.store(y, f00), v128.store(y, f01, 16);
  if (R > 1) v128.store(y1, f10), v128.store(y1, f11, 16);
  if (R > 2) v128.store(y2, f20), v128.store(y2, f21, 16);
  if (R > 3) v128.store(y3, f30), v128.store(y3, f31, 16);
}
