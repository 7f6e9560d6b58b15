// y = x·Wᵀ + b for weights in blocks of 32 with one scale (q8_0, q4_0), in whole numbers: within a block
// Σ w·x = d_w·d_x·Σ q_w·q_x, and the inner sum is exact. So every tile gives the same bits, with or without relaxed SIMD.
//
// Weights lie in panels of eight rows (block-panels.ts has the layout). Four lanes are four outputs, so a sum needs no adding
// across lanes, and an input is broadcast: 2.3x over dot products along the rows. Rows of x are quantised beforehand
// (quantise.ts), four rows to a tile.
//
// The innermost loops stay small on purpose: V8 lets the arithmetic of a straight stretch of code sink below all its
// loads, and what does not fit in 15 registers then waits in memory. Unrolled by hand, the tile of four rows takes 2.5x.
import { addBias, missing } from './edges';
import { madd } from './math';
import { share } from './pointwise';
import { XSCALE_BYTES, xTileBytes } from './quantise';

/** Outputs of a panel, blocks of a chunk, and bytes of a panel's eight scales. */
export const PANEL: i32 = 8;
const CHUNK: i32 = 16;
const SCALES: usize = 16;

/** [y, x quantised, weight, bias or 0, rows, inner, outer, type of weight: 3 q8_0, 4 q4_0, rows at most] */
export function linearBlocks(args: usize, worker: i32, workers: i32, scratch: usize): void {
  const y = <usize>load<u32>(args);
  const x = <usize>load<u32>(args, 4);
  const weight = <usize>load<u32>(args, 8);
  const bias = <usize>load<u32>(args, 12);
  const rows = load<i32>(<usize>load<u32>(args, 16));
  const inner = load<i32>(args, 20);
  const outer = load<i32>(args, 24);
  const wide = load<i32>(args, 28) === Q8_0;
  const most = load<i32>(args, 32);
  const size: usize = wide ? 272 : 144;
  const scales = x + xTileBytes(inner, wide, most);
  const blocks = inner >> 5;
  const panels = (outer + PANEL - 1) / PANEL;
  const yStride = <usize>outer << 2;
  const from = share(panels, worker, workers, 1);
  const to = share(panels, worker + 1, workers, 1);
  // A chunk of x stays in the first-level cache while the panels of the chunk stream by, one after the other in memory.
  for (let b = 0; b < blocks; b += CHUNK) {
    const length = min(CHUNK, blocks - b);
    const chunk = weight + <usize>(b * panels) * size;
    for (let p = from; p < to; p++) {
      const w = chunk + <usize>(p * length) * size;
      const whole = (p + 1) * PANEL <= outer;
      // The missing outputs of the last panel are computed beside y.
      const out = whole ? y + (<usize>p << 5) : scratch;
      const stride = whole ? yStride : 32;
      for (let t = 0; t < rows; t += 4) {
        const height = min(4, rows - t);
        const xt = x + xTileBytes(inner, wide, t) + xTileBytes(b << 5, wide, height);
        const dt = scales + <usize>((t >> 2) * blocks + b) * XSCALE_BYTES;
        tile(height, wide, w, xt, dt, length, out + <usize>t * stride, stride, b === 0);
      }
    }
  }
  if (to === panels) missing(y, yStride, scratch, rows, outer, PANEL);
  if (bias !== 0 && from < to) {
    const o = from * PANEL;
    addBias(bias + (<usize>o << 2), min(outer, to * PANEL) - o, rows, y + (<usize>o << 2), yStride);
  }
}

function tile(height: i32, wide: bool, w: usize, x: usize, d: usize, blocks: i32, y: usize, stride: usize, first: bool): void {
  if (wide) {
    if (height === 1) words1(w, x, d, blocks, y, stride, first);
    else if (height === 2) words2(w, x, d, blocks, y, stride, first);
    else if (height === 3) words3(w, x, d, blocks, y, stride, first);
    else words4(w, x, d, blocks, y, stride, first);
  } else if (height === 1) nibbles1(w, x, d, blocks, y, stride, first);
  else if (height === 2) nibbles2(w, x, d, blocks, y, stride, first);
  else if (height === 3) nibbles3(w, x, d, blocks, y, stride, first);
  else nibbles4(w, x, d, blocks, y, stride, first);
}

const Q8_0: i32 = 3;

/** Four f16 scales, sign-extended to 32 bits, as f32: exponent and fraction in their place are the number times 2^-112. */
@inline
function half4(bits: v128): v128 {
  const placed = v128.and(i32x4.shl(bits, 13), i32x4.splat(0x8fffe000));
  return f32x4.mul(placed, f32x4.splat(reinterpret<f32>(0x77800000)));
}

/** f + s·d·a: the sum of a block, scaled, to the sum of the row. */
@inline
function scaled(f: v128, a: v128, s: v128, d: v128): v128 {
  return madd(f32x4.convert_i32x4_s(a), f32x4.mul(s, d), f);
}

/** a + w·x of eight products, two a lane. */
@inline
function dot2(a: v128, w: v128, x: v128): v128 {
  return i32x4.add(a, i32x4.dot_i16x8_s(w, x));
}

/**
 * q8_0: `R` rows of x (16-bit) with one panel. `R` is a constant in every caller, so that a tile has the code of its own
 * rows only. Lane o of a sum takes the inputs of a block two at a time. The sums of a chunk go on from those of the chunk before, in y.
 */
@inline
function words(R: i32, w: usize, x: usize, d: usize, blocks: i32, y: usize, stride: usize, first: bool): void {
  const y1 = y + stride, y2 = y1 + stride, y3 = y2 + stride;
  let f00 = f32x4.splat(0), f01 = f00, f10 = f00, f11 = f00;
  let f20 = f00, f21 = f00, f30 = f00, f31 = f00;
  if (!first) {
    f00 = v128.load(y), f01 = v128.load(y, 16);
    if (R > 1) f10 = v128.load(y1), f11 = v128.load(y1, 16);
    if (R > 2) f20 = v128.load(y2), f21 = v128.load(y2, 16);
    if (R > 3) f30 = v128.load(y3), f31 = v128.load(y3, 16);
  }
  for (const end = d + <usize>blocks * XSCALE_BYTES; d < end; d += XSCALE_BYTES) {
    const s0 = half4(v128.load16x4_s(w)), s1 = half4(v128.load16x4_s(w, 8));
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
  v128.store(y, f00), v128.store(y, f01, 16);
  if (R > 1) v128.store(y1, f10), v128.store(y1, f11, 16);
  if (R > 2) v128.store(y2, f20), v128.store(y2, f21, 16);
  if (R > 3) v128.store(y3, f30), v128.store(y3, f31, 16);
}

function words1(w: usize, x: usize, d: usize, blocks: i32, y: usize, stride: usize, first: bool): void {
  words(1, w, x, d, blocks, y, stride, first);
}
function words2(w: usize, x: usize, d: usize, blocks: i32, y: usize, stride: usize, first: bool): void {
  words(2, w, x, d, blocks, y, stride, first);
}
function words3(w: usize, x: usize, d: usize, blocks: i32, y: usize, stride: usize, first: bool): void {
  words(3, w, x, d, blocks, y, stride, first);
}
function words4(w: usize, x: usize, d: usize, blocks: i32, y: usize, stride: usize, first: bool): void {
  words(4, w, x, d, blocks, y, stride, first);
}

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
function summed(a: v128, offset: v128): v128 {
  return i32x4.add(offset, ASC_FEATURE_RELAXED_SIMD ? i32x4.extadd_pairwise_i16x8_s(a) : a);
}

/** The lower halves of sixteen bytes. */
@inline
function lower(v: v128): v128 {
  return v128.and(v, i8x16.splat(15));
}

@inline
function upper(v: v128): v128 {
  return v128.and(i16x8.shr_u(v, 4), i8x16.splat(15));
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
function nibbles(R: i32, w: usize, x: usize, d: usize, blocks: i32, y: usize, stride: usize, first: bool): void {
  const y1 = y + stride, y2 = y1 + stride, y3 = y2 + stride;
  let f00 = f32x4.splat(0), f01 = f00, f10 = f00, f11 = f00;
  let f20 = f00, f21 = f00, f30 = f00, f31 = f00;
  if (!first) {
    f00 = v128.load(y), f01 = v128.load(y, 16);
    if (R > 1) f10 = v128.load(y1), f11 = v128.load(y1, 16);
    if (R > 2) f20 = v128.load(y2), f21 = v128.load(y2, 16);
    if (R > 3) f30 = v128.load(y3), f31 = v128.load(y3, 16);
  }
  for (const end = d + <usize>blocks * XSCALE_BYTES; d < end; d += XSCALE_BYTES) {
    const s0 = half4(v128.load16x4_s(w)), s1 = half4(v128.load16x4_s(w, 8));
    w += SCALES;
    let a00 = i32x4.splat(0), a01 = a00, a10 = a00, a11 = a00;
    let a20 = a00, a21 = a00, a30 = a00, a31 = a00;
    const stop = w + 128;
    if (R === 1) {
      for (; w < stop; w += 32, x += 4) {
        const v = v128.load(w), u = v128.load(w, 16);
        const low = v128.load32_splat(x), high = v128.load32_splat(x, 16);
        a00 = dot4(dot4(a00, lower(v), low), upper(v), high);
        a01 = dot4(dot4(a01, lower(u), low), upper(u), high);
      }
      x += 16;
    } else {
      for (; w < stop; w += 32, x += R << 2) {
        const all = R > 3 ? v128.load(x) : i32x4.splat(0);
        const w0 = lower(v128.load(w)), w1 = lower(v128.load(w, 16));
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
        const w0 = upper(v128.load(w)), w1 = upper(v128.load(w, 16));
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
    f00 = scaled(f00, summed(a00, z0), s0, d0), f01 = scaled(f01, summed(a01, z0), s1, d0);
    if (R > 1) {
      const d1 = v128.load32_splat(d, 4), z1 = v128.load32_splat(d, 20);
      f10 = scaled(f10, summed(a10, z1), s0, d1), f11 = scaled(f11, summed(a11, z1), s1, d1);
    }
    if (R > 2) {
      const d2 = v128.load32_splat(d, 8), z2 = v128.load32_splat(d, 24);
      f20 = scaled(f20, summed(a20, z2), s0, d2), f21 = scaled(f21, summed(a21, z2), s1, d2);
    }
    if (R > 3) {
      const d3 = v128.load32_splat(d, 12), z3 = v128.load32_splat(d, 28);
      f30 = scaled(f30, summed(a30, z3), s0, d3), f31 = scaled(f31, summed(a31, z3), s1, d3);
    }
  }
  v128.store(y, f00), v128.store(y, f01, 16);
  if (R > 1) v128.store(y1, f10), v128.store(y1, f11, 16);
  if (R > 2) v128.store(y2, f20), v128.store(y2, f21, 16);
  if (R > 3) v128.store(y3, f30), v128.store(y3, f31, 16);
}

function nibbles1(w: usize, x: usize, d: usize, blocks: i32, y: usize, stride: usize, first: bool): void {
  nibbles(1, w, x, d, blocks, y, stride, first);
}
function nibbles2(w: usize, x: usize, d: usize, blocks: i32, y: usize, stride: usize, first: bool): void {
  nibbles(2, w, x, d, blocks, y, stride, first);
}
function nibbles3(w: usize, x: usize, d: usize, blocks: i32, y: usize, stride: usize, first: bool): void {
  nibbles(3, w, x, d, blocks, y, stride, first);
}
function nibbles4(w: usize, x: usize, d: usize, blocks: i32, y: usize, stride: usize, first: bool): void {
  nibbles(4, w, x, d, blocks, y, stride, first);
}
