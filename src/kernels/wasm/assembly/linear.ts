// y = x·Wᵀ + b for weights in f32, bf16 and f16. Every output has one accumulator of four lanes that takes four products at
// a time in ascending order, in every tile, so a row has the same bits whatever rows are computed beside it and whichever
// worker computes it. Functions take plain numbers: objects would live in the memory that all workers share.
import { addBias } from './bias';
import { madd, sumLanes } from './math';
import { share } from './pointwise';

/** Weight rows that all rows of x meet before the next ones: a multiple of the weight rows of every tile. */
const BLOCK: i32 = 12;

const F32: i32 = 0;
const BF16: i32 = 1;

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
  const yStride = <usize>outer << 2;
  const to = share(outer, worker + 1, workers, BLOCK);
  for (let o = share(outer, worker, workers, BLOCK); o < to; o += BLOCK) {
    const count = min(BLOCK, to - o);
    const out = y + (<usize>o << 2);
    const row = <usize>o * inner;
    if (type === F32) block<f32>(weight + (row << 2), count, x, rows, inner, out, yStride);
    else if (type === BF16) block<u16>(weight + (row << 1), count, x, rows, inner, out, yStride);
    else {
      widen(weight + (row << 1), scratch, count * inner);
      block<f32>(scratch, count, x, rows, inner, out, yStride);
    }
    if (bias !== 0) addBias(bias + (<usize>o << 2), count, rows, out, yStride);
  }
}

/** All rows of x with `count` rows of weights. Few rows of x meet four rows of weights at a time, more meet two. */
function block<T>(weight: usize, count: i32, x: usize, rows: i32, inner: i32, y: usize, yStride: usize): void {
  const stride = <usize>inner * sizeof<T>();
  for (let t = 0; t < rows; t += 4) {
    const xt = x + ((<usize>t * inner) << 2);
    const height = min(4, rows - t);
    const width = height < 3 ? 4 : 2;
    let w = weight;
    let yt = y + <usize>t * yStride;
    let o = 0;
    for (; o + width <= count; o += width, w += <usize>width * stride, yt += width << 2)
      if (height === 1) tile1x4<T>(w, xt, inner, yt, yStride);
      else if (height === 2) tile2x4<T>(w, xt, inner, yt, yStride);
      else if (height === 3) tile3x2<T>(w, xt, inner, yt, yStride);
      else tile4x2<T>(w, xt, inner, yt, yStride);
    for (; o < count; o++, w += stride, yt += 4)
      if (height === 1) tile1x1<T>(w, xt, inner, yt, yStride);
      else if (height === 2) tile2x1<T>(w, xt, inner, yt, yStride);
      else if (height === 3) tile3x1<T>(w, xt, inner, yt, yStride);
      else tile4x1<T>(w, xt, inner, yt, yStride);
  }
}

/** Four weights as f32; bf16 is the upper half of one. */
@inline
function four<T>(at: usize): v128 {
  return sizeof<T>() === 4 ? v128.load(at) : i32x4.shl(v128.load16x4_u(at), 16);
}

/** The sum of an accumulator and the products after the last four. */
function total<T>(sums: v128, weight: usize, x: usize, inner: i32): f32 {
  let sum = sumLanes(sums);
  for (let i = <usize>(inner & ~3); i < <usize>inner; i++) {
    const w = weight + i * sizeof<T>();
    const value = sizeof<T>() === 4 ? load<f32>(w) : reinterpret<f32>(<u32>load<u16>(w) << 16);
    sum += load<f32>(x + (i << 2)) * value;
  }
  return sum;
}

/**
 * `R` rows of x with `G` rows of weights, both constants in every caller, so that a tile has code for its own rows only. Of
 * the sums at most eight are in use: with the loads of one step they fill the registers.
 */
@inline
function tile<T>(R: i32, G: i32, weight: usize, x: usize, inner: i32, y: usize, yStride: usize): void {
  const wStride = <usize>inner * sizeof<T>();
  const xStride = <usize>inner << 2;
  const w0 = weight, w1 = w0 + wStride, w2 = w1 + wStride, w3 = w2 + wStride;
  const x0 = x, x1 = x0 + xStride, x2 = x1 + xStride, x3 = x2 + xStride;
  let s00 = f32x4.splat(0), s01 = s00, s02 = s00, s03 = s00;
  let s10 = s00, s11 = s00, s12 = s00, s13 = s00;
  let s20 = s00, s21 = s00, s30 = s00, s31 = s00;
  for (let wi: usize = 0, xi: usize = 0, end = xStride & ~15; xi < end; xi += 16, wi += 4 * sizeof<T>()) {
    const u0 = v128.load(x0 + xi);
    const u1 = R > 1 ? v128.load(x1 + xi) : u0;
    const u2 = R > 2 ? v128.load(x2 + xi) : u0;
    const u3 = R > 3 ? v128.load(x3 + xi) : u0;
    const a = four<T>(w0 + wi);
    s00 = madd(a, u0, s00);
    if (R > 1) s10 = madd(a, u1, s10);
    if (R > 2) s20 = madd(a, u2, s20);
    if (R > 3) s30 = madd(a, u3, s30);
    if (G > 1) {
      const b = four<T>(w1 + wi);
      s01 = madd(b, u0, s01);
      if (R > 1) s11 = madd(b, u1, s11);
      if (R > 2) s21 = madd(b, u2, s21);
      if (R > 3) s31 = madd(b, u3, s31);
    }
    if (G > 2) {
      const c = four<T>(w2 + wi), d = four<T>(w3 + wi);
      s02 = madd(c, u0, s02);
      s03 = madd(d, u0, s03);
      if (R > 1) s12 = madd(c, u1, s12);
      if (R > 1) s13 = madd(d, u1, s13);
    }
  }
  store<f32>(y, total<T>(s00, w0, x0, inner));
  if (G > 1) store<f32>(y, total<T>(s01, w1, x0, inner), 4);
  if (G > 2) store<f32>(y, total<T>(s02, w2, x0, inner), 8);
  if (G > 2) store<f32>(y, total<T>(s03, w3, x0, inner), 12);
  y += yStride;
  if (R > 1) store<f32>(y, total<T>(s10, w0, x1, inner));
  if (R > 1 && G > 1) store<f32>(y, total<T>(s11, w1, x1, inner), 4);
  if (R > 1 && G > 2) store<f32>(y, total<T>(s12, w2, x1, inner), 8);
  if (R > 1 && G > 2) store<f32>(y, total<T>(s13, w3, x1, inner), 12);
  y += yStride;
  if (R > 2) store<f32>(y, total<T>(s20, w0, x2, inner));
  if (R > 2 && G > 1) store<f32>(y, total<T>(s21, w1, x2, inner), 4);
  y += yStride;
  if (R > 3) store<f32>(y, total<T>(s30, w0, x3, inner));
  if (R > 3 && G > 1) store<f32>(y, total<T>(s31, w1, x3, inner), 4);
}

function tile1x4<T>(w: usize, x: usize, inner: i32, y: usize, yStride: usize): void {
  tile<T>(1, 4, w, x, inner, y, yStride);
}
function tile2x4<T>(w: usize, x: usize, inner: i32, y: usize, yStride: usize): void {
  tile<T>(2, 4, w, x, inner, y, yStride);
}
function tile3x2<T>(w: usize, x: usize, inner: i32, y: usize, yStride: usize): void {
  tile<T>(3, 2, w, x, inner, y, yStride);
}
function tile4x2<T>(w: usize, x: usize, inner: i32, y: usize, yStride: usize): void {
  tile<T>(4, 2, w, x, inner, y, yStride);
}
function tile1x1<T>(w: usize, x: usize, inner: i32, y: usize, yStride: usize): void {
  tile<T>(1, 1, w, x, inner, y, yStride);
}
function tile2x1<T>(w: usize, x: usize, inner: i32, y: usize, yStride: usize): void {
  tile<T>(2, 1, w, x, inner, y, yStride);
}
function tile3x1<T>(w: usize, x: usize, inner: i32, y: usize, yStride: usize): void {
  tile<T>(3, 1, w, x, inner, y, yStride);
}
function tile4x1<T>(w: usize, x: usize, inner: i32, y: usize, yStride: usize): void {
  tile<T>(4, 1, w, x, inner, y, yStride);
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
