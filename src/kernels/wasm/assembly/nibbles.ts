// The tiles of q4_0 weights: products of 4-bit weights with x in 8 bits. blocks.ts has the loops around them.
import { XSCALE_BYTES } from './quantise';
import { half4, held, PLACED, POWER, put, SCALES, scaled } from './scales';

/**
 * a + w·x of sixteen products: w bytes from 0 to 15, x signed bytes. With relaxed SIMD two products a 16-bit lane, which
 * holds the 32 of a block (at most 32·15·127 / 2 = 30480): 2x over widening to 16 bits first.
 */
@inline
function dot4(a: v128, w: v128, x: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i16x8.add(a, i16x8.relaxed_dot_i8x16_i7x16_s(x, w));
  const even = i32x4.dot_i16x8_s(v128.and(w, i16x8.splat(255)), i16x8.shr_s(i16x8.shl(x, 8), 8));
  const odd = i32x4.dot_i16x8_s(i16x8.shr_u(w, 8), i16x8.shr_s(x, 8));
  return i32x4.add(a, i32x4.add(even, odd));
}

/** The four sums of a block, with `offset` = −8·Σx for the 8 that every weight is too large by. */
@inline
function summed(a: v128, offset: v128, ones: v128): v128 {
  return i32x4.add(offset, ASC_FEATURE_RELAXED_SIMD ? i32x4.dot_i16x8_s(a, ones) : a);
}

/** The lower halves of sixteen bytes, by a mask of them. */
@inline
function lower(v: v128, halves: v128): v128 {
  return v128.and(v, halves);
}

@inline
function upper(v: v128, halves: v128): v128 {
  return v128.and(i16x8.shr_u(v, 4), halves);
}

/** Step of row r in x: of four rows from one load, because broadcasts from memory would all be under way at once and spill. */
@inline
function step(R: i32, r: i32, x: usize, all: v128): v128 {
  if (R < 4) return r === 0 ? v128.load32_splat(x) : r === 1 ? v128.load32_splat(x, 4) : v128.load32_splat(x, 8);
  if (r === 0) return v128.shuffle<i32>(all, all, 0, 0, 0, 0);
  if (r === 1) return v128.shuffle<i32>(all, all, 1, 1, 1, 1);
  return r === 2 ? v128.shuffle<i32>(all, all, 2, 2, 2, 2) : v128.shuffle<i32>(all, all, 3, 3, 3, 3);
}

/**
 * q4_0: `R` rows of x (8-bit) with one panel, as `words`. Inputs four at a time: first those in the lower halves of the
 * bytes (0 to 15), then those in the upper (16 to 31).
 */
@inline
function nibbles(R: i32, w: usize, x: usize, d: usize, blocks: i32, sums: usize, y: usize, stride: usize): void {
  let f00 = v128.load(sums), f01 = v128.load(sums, 16);
  let f10 = f00, f11 = f00, f20 = f00, f21 = f00, f30 = f00, f31 = f00;
  if (R > 1) f10 = v128.load(sums, 32), f11 = v128.load(sums, 48);
  if (R > 2) f20 = v128.load(sums, 64), f21 = v128.load(sums, 80);
  if (R > 3) f30 = v128.load(sums, 96), f31 = v128.load(sums, 112);
  const zero = blocks >> 31;
  const placed = held(PLACED, zero), power = held(POWER, zero);
  const halves = held(0x0f0f0f0f, zero), ones = held(0x00010001, zero);
  for (const end = d + <usize>blocks * XSCALE_BYTES; d < end; d += XSCALE_BYTES) {
    const s0 = half4(v128.load16x4_s(w), placed, power), s1 = half4(v128.load16x4_s(w, 8), placed, power);
    w += SCALES;
    let a00 = i32x4.splat(0), a01 = a00, a10 = a00, a11 = a00;
    let a20 = a00, a21 = a00, a30 = a00, a31 = a00;
    const stop = w + 128;
    if (R === 1) {
      for (; w < stop; w += 32, x += 4) {
        const v = v128.load(w), u = v128.load(w, 16);
        const low = v128.load32_splat(x), high = v128.load32_splat(x, 16);
        a00 = dot4(dot4(a00, lower(v, halves), low), upper(v, halves), high);
        a01 = dot4(dot4(a01, lower(u, halves), low), upper(u, halves), high);
      }
      x += 16;
    } else {
      for (; w < stop; w += 32, x += R << 2) {
        const all = R > 3 ? v128.load(x) : i32x4.splat(0);
        const w0 = lower(v128.load(w), halves), w1 = lower(v128.load(w, 16), halves);
        const x0 = step(R, 0, x, all), x1 = step(R, 1, x, all);
        a00 = dot4(a00, w0, x0), a01 = dot4(a01, w1, x0);
        a10 = dot4(a10, w0, x1), a11 = dot4(a11, w1, x1);
        if (R > 2) {
          const x2 = step(R, 2, x, all);
          a20 = dot4(a20, w0, x2), a21 = dot4(a21, w1, x2);
        }
        if (R > 3) {
          const x3 = step(R, 3, x, all);
          a30 = dot4(a30, w0, x3), a31 = dot4(a31, w1, x3);
        }
      }
      w -= 128;
      for (; w < stop; w += 32, x += R << 2) {
        const all = R > 3 ? v128.load(x) : i32x4.splat(0);
        const w0 = upper(v128.load(w), halves), w1 = upper(v128.load(w, 16), halves);
        const x0 = step(R, 0, x, all), x1 = step(R, 1, x, all);
        a00 = dot4(a00, w0, x0), a01 = dot4(a01, w1, x0);
        a10 = dot4(a10, w0, x1), a11 = dot4(a11, w1, x1);
        if (R > 2) {
          const x2 = step(R, 2, x, all);
          a20 = dot4(a20, w0, x2), a21 = dot4(a21, w1, x2);
        }
        if (R > 3) {
          const x3 = step(R, 3, x, all);
          a30 = dot4(a30, w0, x3), a31 = dot4(a31, w1, x3);
        }
      }
    }
    const d0 = v128.load32_splat(d), z0 = v128.load32_splat(d, 16);
    f00 = scaled(f00, summed(a00, z0, ones), s0, d0), f01 = scaled(f01, summed(a01, z0, ones), s1, d0);
    if (R > 1) {
      const d1 = v128.load32_splat(d, 4), z1 = v128.load32_splat(d, 20);
      f10 = scaled(f10, summed(a10, z1, ones), s0, d1), f11 = scaled(f11, summed(a11, z1, ones), s1, d1);
    }
    if (R > 2) {
      const d2 = v128.load32_splat(d, 8), z2 = v128.load32_splat(d, 24);
      f20 = scaled(f20, summed(a20, z2, ones), s0, d2), f21 = scaled(f21, summed(a21, z2, ones), s1, d2);
    }
    if (R > 3) {
      const d3 = v128.load32_splat(d, 12), z3 = v128.load32_splat(d, 28);
      f30 = scaled(f30, summed(a30, z3, ones), s0, d3), f31 = scaled(f31, summed(a31, z3, ones), s1, d3);
    }
  }
  put(R, y, stride, f00, f01, f10, f11, f20, f21, f30, f31);
}

export function nibbles1(w: usize, x: usize, d: usize, blocks: i32, sums: usize, y: usize, stride: usize): void {
  nibbles(1, w, x, d, blocks, sums, y, stride);
}
export function nibbles2(w: usize, x: usize, d: usize, blocks: i32, sums: usize, y: usize, stride: usize): void {
  nibbles(2, w, x, d, blocks, sums, y, stride);
}
export function nibbles3(w: usize, x: usize, d: usize, blocks: i32, sums: usize, y: usize, stride: usize): void {
  nibbles(3, w, x, d, blocks, sums, y, stride);
}
export function nibbles4(w: usize, x: usize, d: usize, blocks: i32, sums: usize, y: usize, stride: usize): void {
  nibbles(4, w, x, d, blocks, sums, y, stride);
}
