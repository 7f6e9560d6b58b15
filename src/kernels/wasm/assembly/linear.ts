// y = x·Wᵀ + b. Every output has one accumulator of four lanes that takes eight products at a time in ascending order, in
// every tile, so a row has the same bits whatever rows are computed beside it and whichever worker computes it.
// Functions take plain numbers: objects would live in the memory that all workers share.
import { madd, sumLanes } from './math';
import { share } from './pointwise';

/** Weight rows that all rows of x meet before the next ones: a multiple of the weight rows of every tile. */
const BLOCK: i32 = 12;

/** [y, x, weight, bias or 0, rows, inner, outer, type of weight: 0 f32, 1 bf16, 2 f16] */
export function linear(args: usize, worker: i32, workers: i32, scratch: usize): void {
  const y = <usize>load<u32>(args);
  const x = <usize>load<u32>(args, 4);
  const weight = <usize>load<u32>(args, 8);
  const bias = <usize>load<u32>(args, 12);
  const rows = load<i32>(<usize>load<u32>(args, 16));
  const inner = load<i32>(args, 20);
  const outer = load<i32>(args, 24);
  const type = load<i32>(args, 28);
  const to = share(outer, worker + 1, workers, BLOCK);
  const yStride = <usize>outer << 2;
  if (type === BF16) pairs(x, scratch, rows, inner);
  for (let o = share(outer, worker, workers, BLOCK); o < to; o += BLOCK) {
    const count = min(BLOCK, to - o);
    const out = y + (<usize>o << 2);
    const row = <usize>o * inner;
    if (type === F32) block<f32>(weight + (row << 2), count, x, rows, inner, out, yStride);
    else if (type === BF16) block<u16>(weight + (row << 1), count, scratch, rows, inner, out, yStride);
    else {
      widen(weight + (row << 1), scratch, count * inner);
      block<f32>(scratch, count, x, rows, inner, out, yStride);
    }
    if (bias !== 0) addBias(bias + (<usize>o << 2), count, rows, out, yStride);
  }
}

const F32: i32 = 0;
const BF16: i32 = 1;

/** All rows of x with `count` rows of weights: three rows at a time cost least a row. */
function block<T>(
  weight: usize,
  count: i32,
  x: usize,
  rows: i32,
  inner: i32,
  y: usize,
  yStride: usize,
): void {
  const stride = <usize>inner * sizeof<T>();
  for (let t = 0; t < rows; ) {
    const height = rows - t === 4 ? 2 : min(3, rows - t);
    const xt = x + ((<usize>t * inner) << 2);
    const yt = y + <usize>t * yStride;
    let o = 0;
    if (height === 1) for (; o + 4 <= count; o += 4) tile1x4<T>(weight + <usize>o * stride, xt, inner, yt + (<usize>o << 2), yStride);
    else if (height === 2) for (; o + 4 <= count; o += 4) tile2x4<T>(weight + <usize>o * stride, xt, inner, yt + (<usize>o << 2), yStride);
    else for (; o + 3 <= count; o += 3) tile3x3<T>(weight + <usize>o * stride, xt, inner, yt + (<usize>o << 2), yStride);
    for (; o < count; o++) {
      const w = weight + <usize>o * stride;
      const out = yt + (<usize>o << 2);
      if (height === 1) tile1x1<T>(w, xt, inner, out, yStride);
      else if (height === 2) tile2x1<T>(w, xt, inner, out, yStride);
      else tile3x1<T>(w, xt, inner, out, yStride);
    }
    t += height;
  }
}

/** The first four of eight weights as f32; of bf16 those at even places, which are a shift away. */
@inline
function low<T>(at: usize): v128 {
  return sizeof<T>() === 4 ? v128.load(at) : i32x4.shl(v128.load(at), 16);
}

/** The other four; of bf16 those at odd places. */
@inline
function high<T>(at: usize): v128 {
  return sizeof<T>() === 4
    ? v128.load(at, 16)
    : v128.and(v128.load(at), i32x4.splat(0xffff0000));
}

/** The products after the last eight. */
function rest<T>(weight: usize, x: usize, inner: i32): f32 {
  let sum: f32 = 0;
  for (let i = <usize>(inner & ~7); i < <usize>inner; i++) {
    const w = weight + i * sizeof<T>();
    const value =
      sizeof<T>() === 4 ? load<f32>(w) : reinterpret<f32>(<u32>load<u16>(w) << 16);
    sum += load<f32>(x + (i << 2)) * value;
  }
  return sum;
}

/** Rows of x with every eight in the order of bf16 pairs: 0 2 4 6 1 3 5 7. */
function pairs(x: usize, out: usize, rows: i32, inner: i32): void {
  const full = inner & ~7;
  for (let t = 0; t < rows; t++) {
    const from = (<usize>t * inner) << 2;
    let i = 0;
    for (; i < full; i += 8) {
      const at = from + (<usize>i << 2);
      const a = v128.load(x + at);
      const b = v128.load(x + at, 16);
      v128.store(out + at, v128.shuffle<f32>(a, b, 0, 2, 4, 6));
      v128.store(out + at, v128.shuffle<f32>(a, b, 1, 3, 5, 7), 16);
    }
    for (; i < inner; i++) {
      const at = from + (<usize>i << 2);
      store<f32>(out + at, load<f32>(x + at));
    }
  }
}

/**
 * f16 to f32. The exponent and fraction, moved to their place in an f32, are the number times 2^-112, subnormals
 * included; infinities and NaN get the f32's own exponent of ones.
 */
function widen(source: usize, out: usize, count: i32): void {
  const exponent = i32x4.splat(0x0f800000);
  for (let i = 0; i < count; i += 4) {
    const bits = v128.load16x4_u(source + (<usize>i << 1));
    const sign = i32x4.shl(v128.and(bits, i32x4.splat(0x8000)), 16);
    const rest = i32x4.shl(v128.and(bits, i32x4.splat(0x7fff)), 13);
    const value = f32x4.mul(rest, f32x4.splat(reinterpret<f32>(0x77800000)));
    const special = v128.and(i32x4.ge_s(rest, exponent), i32x4.splat(0x7f800000));
    v128.store(out + (<usize>i << 2), v128.or(v128.or(value, special), sign));
  }
}

/** The bias is added to the rounded sum, in one place for all tiles. */
function addBias(bias: usize, count: i32, rows: i32, y: usize, yStride: usize): void {
  for (let t = 0; t < rows; t++)
    for (let o = 0; o < count; o++) {
      const at = y + <usize>t * yStride + (<usize>o << 2);
      store<f32>(at, load<f32>(at) + load<f32>(bias + (<usize>o << 2)));
    }
}

/** One row of x, four rows of weights. */
function tile1x4<T>(weight: usize, x: usize, inner: i32, y: usize, yStride: usize): void {
  const stride = <usize>inner * sizeof<T>();
  const a = weight;
  const b = a + stride;
  const c = b + stride;
  const d = c + stride;
  const x0 = x;
  let a0 = f32x4.splat(0);
  let b0 = f32x4.splat(0);
  let c0 = f32x4.splat(0);
  let d0 = f32x4.splat(0);
  const full = <usize>(inner & ~7);
  for (let i: usize = 0; i < full; i += 8) {
    const wi = i * sizeof<T>();
    const xi = i << 2;
    const u0 = v128.load(x0 + xi);
    const aL = low<T>(a + wi);
    a0 = madd(aL, u0, a0);
    const bL = low<T>(b + wi);
    b0 = madd(bL, u0, b0);
    const cL = low<T>(c + wi);
    c0 = madd(cL, u0, c0);
    const dL = low<T>(d + wi);
    d0 = madd(dL, u0, d0);
    const v0 = v128.load(x0 + xi, 16);
    const aH = high<T>(a + wi);
    a0 = madd(aH, v0, a0);
    const bH = high<T>(b + wi);
    b0 = madd(bH, v0, b0);
    const cH = high<T>(c + wi);
    c0 = madd(cH, v0, c0);
    const dH = high<T>(d + wi);
    d0 = madd(dH, v0, d0);
  }
  store<f32>(y, sumLanes(a0) + rest<T>(a, x0, inner));
  store<f32>(y, sumLanes(b0) + rest<T>(b, x0, inner), 4);
  store<f32>(y, sumLanes(c0) + rest<T>(c, x0, inner), 8);
  store<f32>(y, sumLanes(d0) + rest<T>(d, x0, inner), 12);
}

/** One row of x, one row of weights. */
function tile1x1<T>(weight: usize, x: usize, inner: i32, y: usize, yStride: usize): void {
  const stride = <usize>inner * sizeof<T>();
  const a = weight;
  const x0 = x;
  let a0 = f32x4.splat(0);
  const full = <usize>(inner & ~7);
  for (let i: usize = 0; i < full; i += 8) {
    const wi = i * sizeof<T>();
    const xi = i << 2;
    const u0 = v128.load(x0 + xi);
    const aL = low<T>(a + wi);
    a0 = madd(aL, u0, a0);
    const v0 = v128.load(x0 + xi, 16);
    const aH = high<T>(a + wi);
    a0 = madd(aH, v0, a0);
  }
  store<f32>(y, sumLanes(a0) + rest<T>(a, x0, inner));
}

/** Two rows of x, four rows of weights. */
function tile2x4<T>(weight: usize, x: usize, inner: i32, y: usize, yStride: usize): void {
  const stride = <usize>inner * sizeof<T>();
  const a = weight;
  const b = a + stride;
  const c = b + stride;
  const d = c + stride;
  const xStride = <usize>inner << 2;
  const x0 = x;
  const x1 = x0 + xStride;
  let a0 = f32x4.splat(0);
  let a1 = f32x4.splat(0);
  let b0 = f32x4.splat(0);
  let b1 = f32x4.splat(0);
  let c0 = f32x4.splat(0);
  let c1 = f32x4.splat(0);
  let d0 = f32x4.splat(0);
  let d1 = f32x4.splat(0);
  const full = <usize>(inner & ~7);
  for (let i: usize = 0; i < full; i += 8) {
    const wi = i * sizeof<T>();
    const xi = i << 2;
    const u0 = v128.load(x0 + xi);
    const u1 = v128.load(x1 + xi);
    const aL = low<T>(a + wi);
    a0 = madd(aL, u0, a0);
    a1 = madd(aL, u1, a1);
    const bL = low<T>(b + wi);
    b0 = madd(bL, u0, b0);
    b1 = madd(bL, u1, b1);
    const cL = low<T>(c + wi);
    c0 = madd(cL, u0, c0);
    c1 = madd(cL, u1, c1);
    const dL = low<T>(d + wi);
    d0 = madd(dL, u0, d0);
    d1 = madd(dL, u1, d1);
    const v0 = v128.load(x0 + xi, 16);
    const v1 = v128.load(x1 + xi, 16);
    const aH = high<T>(a + wi);
    a0 = madd(aH, v0, a0);
    a1 = madd(aH, v1, a1);
    const bH = high<T>(b + wi);
    b0 = madd(bH, v0, b0);
    b1 = madd(bH, v1, b1);
    const cH = high<T>(c + wi);
    c0 = madd(cH, v0, c0);
    c1 = madd(cH, v1, c1);
    const dH = high<T>(d + wi);
    d0 = madd(dH, v0, d0);
    d1 = madd(dH, v1, d1);
  }
  store<f32>(y, sumLanes(a0) + rest<T>(a, x0, inner));
  store<f32>(y, sumLanes(b0) + rest<T>(b, x0, inner), 4);
  store<f32>(y, sumLanes(c0) + rest<T>(c, x0, inner), 8);
  store<f32>(y, sumLanes(d0) + rest<T>(d, x0, inner), 12);
  const y1 = y + yStride;
  store<f32>(y1, sumLanes(a1) + rest<T>(a, x1, inner));
  store<f32>(y1, sumLanes(b1) + rest<T>(b, x1, inner), 4);
  store<f32>(y1, sumLanes(c1) + rest<T>(c, x1, inner), 8);
  store<f32>(y1, sumLanes(d1) + rest<T>(d, x1, inner), 12);
}

/** Two rows of x, one row of weights. */
function tile2x1<T>(weight: usize, x: usize, inner: i32, y: usize, yStride: usize): void {
  const stride = <usize>inner * sizeof<T>();
  const a = weight;
  const xStride = <usize>inner << 2;
  const x0 = x;
  const x1 = x0 + xStride;
  let a0 = f32x4.splat(0);
  let a1 = f32x4.splat(0);
  const full = <usize>(inner & ~7);
  for (let i: usize = 0; i < full; i += 8) {
    const wi = i * sizeof<T>();
    const xi = i << 2;
    const u0 = v128.load(x0 + xi);
    const u1 = v128.load(x1 + xi);
    const aL = low<T>(a + wi);
    a0 = madd(aL, u0, a0);
    a1 = madd(aL, u1, a1);
    const v0 = v128.load(x0 + xi, 16);
    const v1 = v128.load(x1 + xi, 16);
    const aH = high<T>(a + wi);
    a0 = madd(aH, v0, a0);
    a1 = madd(aH, v1, a1);
  }
  store<f32>(y, sumLanes(a0) + rest<T>(a, x0, inner));
  const y1 = y + yStride;
  store<f32>(y1, sumLanes(a1) + rest<T>(a, x1, inner));
}

/** Three rows of x, three rows of weights. */
function tile3x3<T>(weight: usize, x: usize, inner: i32, y: usize, yStride: usize): void {
  const stride = <usize>inner * sizeof<T>();
  const a = weight;
  const b = a + stride;
  const c = b + stride;
  const xStride = <usize>inner << 2;
  const x0 = x;
  const x1 = x0 + xStride;
  const x2 = x1 + xStride;
  let a0 = f32x4.splat(0);
  let a1 = f32x4.splat(0);
  let a2 = f32x4.splat(0);
  let b0 = f32x4.splat(0);
  let b1 = f32x4.splat(0);
  let b2 = f32x4.splat(0);
  let c0 = f32x4.splat(0);
  let c1 = f32x4.splat(0);
  let c2 = f32x4.splat(0);
  const full = <usize>(inner & ~7);
  for (let i: usize = 0; i < full; i += 8) {
    const wi = i * sizeof<T>();
    const xi = i << 2;
    const u0 = v128.load(x0 + xi);
    const u1 = v128.load(x1 + xi);
    const u2 = v128.load(x2 + xi);
    const aL = low<T>(a + wi);
    a0 = madd(aL, u0, a0);
    a1 = madd(aL, u1, a1);
    a2 = madd(aL, u2, a2);
    const bL = low<T>(b + wi);
    b0 = madd(bL, u0, b0);
    b1 = madd(bL, u1, b1);
    b2 = madd(bL, u2, b2);
    const cL = low<T>(c + wi);
    c0 = madd(cL, u0, c0);
    c1 = madd(cL, u1, c1);
    c2 = madd(cL, u2, c2);
    const v0 = v128.load(x0 + xi, 16);
    const v1 = v128.load(x1 + xi, 16);
    const v2 = v128.load(x2 + xi, 16);
    const aH = high<T>(a + wi);
    a0 = madd(aH, v0, a0);
    a1 = madd(aH, v1, a1);
    a2 = madd(aH, v2, a2);
    const bH = high<T>(b + wi);
    b0 = madd(bH, v0, b0);
    b1 = madd(bH, v1, b1);
    b2 = madd(bH, v2, b2);
    const cH = high<T>(c + wi);
    c0 = madd(cH, v0, c0);
    c1 = madd(cH, v1, c1);
    c2 = madd(cH, v2, c2);
  }
  store<f32>(y, sumLanes(a0) + rest<T>(a, x0, inner));
  store<f32>(y, sumLanes(b0) + rest<T>(b, x0, inner), 4);
  store<f32>(y, sumLanes(c0) + rest<T>(c, x0, inner), 8);
  const y1 = y + yStride;
  store<f32>(y1, sumLanes(a1) + rest<T>(a, x1, inner));
  store<f32>(y1, sumLanes(b1) + rest<T>(b, x1, inner), 4);
  store<f32>(y1, sumLanes(c1) + rest<T>(c, x1, inner), 8);
  const y2 = y1 + yStride;
  store<f32>(y2, sumLanes(a2) + rest<T>(a, x2, inner));
  store<f32>(y2, sumLanes(b2) + rest<T>(b, x2, inner), 4);
  store<f32>(y2, sumLanes(c2) + rest<T>(c, x2, inner), 8);
}

/** Three rows of x, one row of weights. */
function tile3x1<T>(weight: usize, x: usize, inner: i32, y: usize, yStride: usize): void {
  const stride = <usize>inner * sizeof<T>();
  const a = weight;
  const xStride = <usize>inner << 2;
  const x0 = x;
  const x1 = x0 + xStride;
  const x2 = x1 + xStride;
  let a0 = f32x4.splat(0);
  let a1 = f32x4.splat(0);
  let a2 = f32x4.splat(0);
  const full = <usize>(inner & ~7);
  for (let i: usize = 0; i < full; i += 8) {
    const wi = i * sizeof<T>();
    const xi = i << 2;
    const u0 = v128.load(x0 + xi);
    const u1 = v128.load(x1 + xi);
    const u2 = v128.load(x2 + xi);
    const aL = low<T>(a + wi);
    a0 = madd(aL, u0, a0);
    a1 = madd(aL, u1, a1);
    a2 = madd(aL, u2, a2);
    const v0 = v128.load(x0 + xi, 16);
    const v1 = v128.load(x1 + xi, 16);
    const v2 = v128.load(x2 + xi, 16);
    const aH = high<T>(a + wi);
    a0 = madd(aH, v0, a0);
    a1 = madd(aH, v1, a1);
    a2 = madd(aH, v2, a2);
  }
  store<f32>(y, sumLanes(a0) + rest<T>(a, x0, inner));
  const y1 = y + yStride;
  store<f32>(y1, sumLanes(a1) + rest<T>(a, x1, inner));
  const y2 = y1 + yStride;
  store<f32>(y2, sumLanes(a2) + rest<T>(a, x2, inner));
}
