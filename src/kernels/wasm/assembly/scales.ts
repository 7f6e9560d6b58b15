// The scales of weights in blocks, and what they do to the sum of a block.
import { madd } from './math';

/** Bytes of the eight scales that a panel has for a block. */
export const SCALES: usize = 16;

/** Four f16 scales, sign-extended to 32 bits, as f32: exponent and fraction in their place are the number times 2^-112. */
@inline
export function half4(bits: v128): v128 {
  const placed = v128.and(i32x4.shl(bits, 13), i32x4.splat(0x8fffe000));
  return f32x4.mul(placed, f32x4.splat(reinterpret<f32>(0x77800000)));
}

/** f + s·d·a: the sum of a block, scaled, to the sum of the row. */
@inline
export function scaled(f: v128, a: v128, s: v128, d: v128): v128 {
  return madd(f32x4.convert_i32x4_s(a), f32x4.mul(s, d), f);
}
