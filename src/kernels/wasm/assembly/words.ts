// The tiles of q8_0 weights: products of 8-bit weights with x in 16 bits. blocks.ts has the loops around them.
//
// The innermost loops stay small on purpose: V8 lets the arithmetic of a straight stretch of code sink below all its
// loads, and what does not fit in 15 registers then waits in memory. Unrolled by hand, the tile of four rows takes 2.5x.
import { XSCALE_BYTES } from './quantise';
import { half4, held, PLACED, POWER, put, SCALES, scaled } from './scales';

/** a + w·x of eight products, two a lane. */
@inline
function dot2(a: v128, w: v128, x: v128): v128 {
  return i32x4.add(a, i32x4.dot_i16x8_s(w, x));
}

/**
 * q8_0: `R` rows of x (16-bit) with one panel. `R` is a constant in every caller, so that a tile has the code of its own
 * rows only. Lane o of a sum takes the inputs of a block two at a time. Sums go on from `sums`, those of the
 * chunk before.
 */
@inline
function words(R: i32, w: usize, x: usize, d: usize, blocks: i32, sums: usize, y: usize, stride: usize): void {
  let f00 = v128.load(sums), f01 = v128.load(sums, 16);
  let f10 = f00, f11 = f00, f20 = f00, f21 = f00, f30 = f00, f31 = f00;
  if (R > 1) f10 = v128.load(sums, 32), f11 = v128.load(sums, 48);
  if (R > 2) f20 = v128.load(sums, 64), f21 = v128.load(sums, 80);
  if (R > 3) f30 = v128.load(sums, 96), f31 = v128.load(sums, 112);
  const placed = held(PLACED, blocks >> 31), power = held(POWER, blocks >> 31);
  for (const end = d + <usize>blocks * XSCALE_BYTES; d < end; d += XSCALE_BYTES) {
    const s0 = half4(v128.load16x4_s(w), placed, power), s1 = half4(v128.load16x4_s(w, 8), placed, power);
    w += SCALES;
    let a00 = i32x4.splat(0), a01 = a00, a10 = a00, a11 = a00;
    let a20 = a00, a21 = a00, a30 = a00, a31 = a00;
    const stop = w + 256;
    if (R === 1)
      // Two sums leave registers for four steps at a time: 1.4x.
      for (; w < stop; w += 64, x += 16) {
        const x0 = v128.load32_splat(x), x1 = v128.load32_splat(x, 4);
        const x2 = v128.load32_splat(x, 8), x3 = v128.load32_splat(x, 12);
        a00 = dot2(a00, v128.load8x8_s(w), x0), a01 = dot2(a01, v128.load8x8_s(w, 8), x0);
        a00 = dot2(a00, v128.load8x8_s(w, 16), x1), a01 = dot2(a01, v128.load8x8_s(w, 24), x1);
        a00 = dot2(a00, v128.load8x8_s(w, 32), x2), a01 = dot2(a01, v128.load8x8_s(w, 40), x2);
        a00 = dot2(a00, v128.load8x8_s(w, 48), x3), a01 = dot2(a01, v128.load8x8_s(w, 56), x3);
      }
    else
      for (; w < stop; w += 16, x += R << 2) {
        const w0 = v128.load8x8_s(w), w1 = v128.load8x8_s(w, 8);
        const x0 = v128.load32_splat(x), x1 = v128.load32_splat(x, 4);
        a00 = dot2(a00, w0, x0), a01 = dot2(a01, w1, x0);
        a10 = dot2(a10, w0, x1), a11 = dot2(a11, w1, x1);
        if (R > 2) {
          const x2 = v128.load32_splat(x, 8);
          a20 = dot2(a20, w0, x2), a21 = dot2(a21, w1, x2);
        }
        if (R > 3) {
          const x3 = v128.load32_splat(x, 12);
          a30 = dot2(a30, w0, x3), a31 = dot2(a31, w1, x3);
        }
      }
    const d0 = v128.load32_splat(d);
    f00 = scaled(f00, a00, s0, d0), f01 = scaled(f01, a01, s1, d0);
    if (R > 1) {
      const d1 = v128.load32_splat(d, 4);
      f10 = scaled(f10, a10, s0, d1), f11 = scaled(f11, a11, s1, d1);
    }
    if (R > 2) {
      const d2 = v128.load32_splat(d, 8);
      f20 = scaled(f20, a20, s0, d2), f21 = scaled(f21, a21, s1, d2);
    }
    if (R > 3) {
      const d3 = v128.load32_splat(d, 12);
      f30 = scaled(f30, a30, s0, d3), f31 = scaled(f31, a31, s1, d3);
    }
  }
  put(R, y, stride, f00, f01, f10, f11, f20, f21, f30, f31);
}

export function words1(w: usize, x: usize, d: usize, blocks: i32, sums: usize, y: usize, stride: usize): void {
  words(1, w, x, d, blocks, sums, y, stride);
}
export function words2(w: usize, x: usize, d: usize, blocks: i32, sums: usize, y: usize, stride: usize): void {
  words(2, w, x, d, blocks, sums, y, stride);
}
export function words3(w: usize, x: usize, d: usize, blocks: i32, sums: usize, y: usize, stride: usize): void {
  words(3, w, x, d, blocks, sums, y, stride);
}
export function words4(w: usize, x: usize, d: usize, blocks: i32, sums: usize, y: usize, stride: usize): void {
  words(4, w, x, d, blocks, sums, y, stride);
}
