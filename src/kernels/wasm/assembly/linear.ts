// y = x·Wᵀ + b for weights in f32, bf16 and f16. Weights lie in panels of four rows, cut into chunks (float-panels.ts
// has the layout), so that a worker reads one stream: 1.7x over four rows of a matrix at once, which the memory serves badly.
// Every output has one accumulator of four lanes that takes four products at a time in ascending order; at the end of a
// chunk its lanes are added to y. So in every tile, a row has the same bits whatever rows are computed beside it and
// whichever worker computes it. Functions take plain numbers: objects would live in the memory that all workers share.
import { rowBytes } from './arrange';
import { addBias, missing } from './edges';
import { madd } from './math';
import { share } from './pointwise';
import { held, PLACED, POWER } from './scales';
import { clearZeros, firstOf, GROUP, lanesOf, sumsOf, tilesOf, zerosOf } from './tiles';

/**
 * Outputs of a panel and inputs of a chunk. A chunk of the rows of a group and a panel take a third of the first-level cache;
 * of half a cache the memory brings nothing while the second tile computes: 1.35x.
 */
export const PANEL: i32 = 4;
export const CHUNK: i32 = 256;

/** [y, x arranged, weight, bias or 0, rows, inner, outer, type of weight: 0 f32, 1 bf16, 2 f16] */
export function linear(args: usize, worker: i32, workers: i32, scratch: usize): void {
  const y = <usize>load<u32>(args);
  const x = <usize>load<u32>(args, 4);
  const weight = <usize>load<u32>(args, 8);
  const bias = <usize>load<u32>(args, 12);
  const rows = load<i32>(<usize>load<u32>(args, 16));
  const inner = load<i32>(args, 20);
  const outer = load<i32>(args, 24);
  const type = load<i32>(args, 28);
  const size: usize = type === 0 ? 4 : 2;
  const panels = (outer + PANEL - 1) / PANEL;
  const yStride = <usize>outer << 2;
  const from = share(panels, worker, workers, 1);
  const to = share(panels, worker + 1, workers, 1);
  const tiles = tilesOf(rows);
  const zeros = zerosOf(scratch, PANEL);
  const lanes = lanesOf(scratch, PANEL);
  clearZeros(scratch, PANEL);
  for (let g = 0; g < tiles; g += GROUP) {
    const start = firstOf(g, rows);
    const height = firstOf(min(g + GROUP, tiles), rows) - start;
    const half = firstOf(g + 1, rows) - start;
    for (let b = 0; b < inner; b += CHUNK) {
      const length = min(CHUNK, inner - b);
      const padded = (length + 3) & ~3;
      const chunk = weight + <usize>(b * panels * PANEL) * size;
      const last = b + length === inner;
      for (let p = from; p < to; p++) {
        const w = chunk + <usize>(p * padded * PANEL) * size;
        const sums = sumsOf(scratch, p - from, height, PANEL);
        // The missing outputs of the last panel are computed beside y.
        const whole = (p + 1) * PANEL <= outer;
        const out = last ? (whole ? y + <usize>start * yStride + (<usize>p << 4) : scratch) : sums;
        const stride = last && whole ? yStride : 16;
        for (let i = g, t = 0; t < height; i++) {
          const R = i === g ? half : height - half;
          const xt = x + <usize>(start + t) * rowBytes(inner) + ((<usize>b * R) << 2);
          const before = b === 0 ? zeros : sums + <usize>(t << 4);
          const yt = out + <usize>t * stride;
          if (type === 0) rowsOf<f32>(R, w, xt, length, before, yt, stride, lanes);
          else if (type === 1) rowsOf<BF16>(R, w, xt, length, before, yt, stride, lanes);
          else rowsOf<F16>(R, w, xt, length, before, yt, stride, lanes);
          t += R;
        }
      }
    }
    if (to === panels) missing(y + <usize>start * yStride, yStride, scratch, height, outer, PANEL);
  }
  if (bias !== 0 && from < to) {
    const o = from * PANEL;
    addBias(bias + (<usize>o << 2), min(outer, to * PANEL) - o, rows, y + (<usize>o << 2), yStride);
  }
}

/** `height` rows of x with a panel. */
function rowsOf<T>(height: i32, w: usize, x: usize, length: i32, sums: usize, y: usize, yStride: usize, lanes: usize): void {
  const done = height === 1 ? tile1<T>(w, x, length, sums, y, yStride, lanes)
    : height === 2 ? tile2<T>(w, x, length, sums, y, yStride, lanes)
    : height === 3 ? tile3<T>(w, x, length, sums, y, yStride, lanes)
    : tile4<T>(w, x, length, sums, y, yStride, lanes);
  if (isSigned<T>() && !done)
    for (let r = 0; r < height; r++)
      exactRow(w, x + <usize>(r << 4), height << 4, length, sums + <usize>(r << 4), y + <usize>r * yStride);
}

function tile1<T>(w: usize, x: usize, length: i32, sums: usize, y: usize, yStride: usize, lanes: usize): bool {
  return tile<T>(1, w, x, length, sums, y, yStride, lanes);
}
function tile2<T>(w: usize, x: usize, length: i32, sums: usize, y: usize, yStride: usize, lanes: usize): bool {
  return tile<T>(2, w, x, length, sums, y, yStride, lanes);
}
function tile3<T>(w: usize, x: usize, length: i32, sums: usize, y: usize, yStride: usize, lanes: usize): bool {
  return tile<T>(3, w, x, length, sums, y, yStride, lanes);
}
function tile4<T>(w: usize, x: usize, length: i32, sums: usize, y: usize, yStride: usize, lanes: usize): bool {
  return tile<T>(4, w, x, length, sums, y, yStride, lanes);
}

/** How a generic function is told the type of the weights. */
type BF16 = u16;
type F16 = i16;

/**
 * Four weights of the first (or third) row of a panel as f32, and of the row after it. Of 16 bits, two rows share a register:
 * the first has the lower halves of its lanes. bf16 is the upper half of an f32, so a row costs one operation; of f16, exponent
 * and fraction in their place are the number times 2^-112, if it is finite.
 */
@inline
function even<T>(loaded: v128, mask: v128, power: v128): v128 {
  if (sizeof<T>() === 4) return loaded;
  const upper = i32x4.shl(loaded, 16);
  return isSigned<T>() ? f32x4.mul(v128.and(i32x4.shr_s(upper, 3), mask), power) : upper;
}

@inline
function odd<T>(loaded: v128, mask: v128, power: v128): v128 {
  if (sizeof<T>() === 4) return loaded;
  return isSigned<T>() ? f32x4.mul(v128.and(i32x4.shr_s(loaded, 3), mask), power) : v128.and(loaded, mask);
}

/** The largest exponents and fractions of f16 so far: for infinities and NaN, whose exponent is all ones, there is `exactRow`. */
@inline
function seen<T>(before: v128, loaded: v128): v128 {
  return isSigned<T>() ? i16x8.max_u(before, i16x8.shl(loaded, 1)) : before;
}

/**
 * Four f16, sign-extended, as f32, infinities and NaN included: they get the f32's own exponent of ones.
 */
@inline
export function halves(bits: v128): v128 {
  const placed = v128.and(i32x4.shl(bits, 13), i32x4.splat(PLACED));
  const value = f32x4.mul(placed, f32x4.splat(reinterpret<f32>(POWER)));
  const special = i32x4.gt_s(v128.and(placed, i32x4.splat(0x7fffffff)), i32x4.splat(0x0f7fffff));
  return v128.or(value, v128.and(special, i32x4.splat(0x7f800000)));
}

/** What `tile` computes for one row, of f16 that may be infinite or NaN. Steps of x are `step` bytes apart. */
function exactRow(w: usize, x: usize, step: usize, length: i32, sums: usize, y: usize): void {
  let a = f32x4.splat(0), b = a, c = a, d = a;
  for (const end = w + (<usize>((length + 3) & ~3) << 3); w < end; w += 32, x += step) {
    const u = v128.load(x), ab = v128.load(w), cd = v128.load(w, 16);
    a = madd(halves(i32x4.shr_s(i32x4.shl(ab, 16), 16)), u, a), b = madd(halves(i32x4.shr_s(ab, 16)), u, b);
    c = madd(halves(i32x4.shr_s(i32x4.shl(cd, 16), 16)), u, c), d = madd(halves(i32x4.shr_s(cd, 16)), u, d);
  }
  row(a, b, c, d, sums, y);
}

/** Steps of four columns that one half of a panel goes before the other follows, for three and four rows. */
const STRIDE: i32 = 16;

/**
 * `R` rows of x with a panel; `R` is a constant in every caller, so that a tile has code for its own rows only. Registers hold
 * eight sums beside the loads of one step. Three and four rows have more: they meet the first half of the panel, then the
 * second, a few steps at a time, so that the memory has something to bring all the while; 1.4x over whole chunks in turn.
 * False where f16 weights are not finite.
 */
@inline
function tile<T>(R: i32, w: usize, x: usize, length: i32, sums: usize, y: usize, yStride: usize, lanes: usize): bool {
  let s00 = f32x4.splat(0), s01 = s00, s02 = s00, s03 = s00;
  let s10 = s00, s11 = s00, s12 = s00, s13 = s00;
  let s20 = s00, s21 = s00, s22 = s00, s23 = s00;
  let s30 = s00, s31 = s00, s32 = s00, s33 = s00;
  const mask = held(isSigned<T>() ? PLACED : 0xffff0000, length >> 31), power = held(POWER, length >> 31);
  let most = i32x4.splat(0);
  const end = w + <usize>((length + 3) & ~3) * PANEL * sizeof<T>();
  const step = 16 * sizeof<T>();
  if (R < 3)
    for (; w < end; w += step, x += R << 4) {
      const u0 = v128.load(x);
      const u1 = R > 1 ? v128.load(x, 16) : u0;
      const ab = v128.load(w);
      const cd = sizeof<T>() === 4 ? v128.load(w, 32) : v128.load(w, 16);
      most = seen<T>(seen<T>(most, ab), cd);
      const a = even<T>(ab, mask, power), b = odd<T>(sizeof<T>() === 4 ? v128.load(w, 16) : ab, mask, power);
      const c = even<T>(cd, mask, power), d = odd<T>(sizeof<T>() === 4 ? v128.load(w, 48) : cd, mask, power);
      s00 = madd(a, u0, s00), s01 = madd(b, u0, s01), s02 = madd(c, u0, s02), s03 = madd(d, u0, s03);
      if (R > 1)
        s10 = madd(a, u1, s10), s11 = madd(b, u1, s11), s12 = madd(c, u1, s12), s13 = madd(d, u1, s13);
    }
  else
    while (w < end) {
      const stop = min(w + <usize>STRIDE * step, end);
      let xh = x;
      for (let wh = w; wh < stop; wh += step, xh += R << 4) {
        const u0 = v128.load(xh), u1 = v128.load(xh, 16), u2 = v128.load(xh, 32);
        const u3 = R > 3 ? v128.load(xh, 48) : u0;
        const ab = v128.load(wh);
        most = seen<T>(most, ab);
        const a = even<T>(ab, mask, power), b = odd<T>(sizeof<T>() === 4 ? v128.load(wh, 16) : ab, mask, power);
        s00 = madd(a, u0, s00), s01 = madd(b, u0, s01), s10 = madd(a, u1, s10), s11 = madd(b, u1, s11);
        s20 = madd(a, u2, s20), s21 = madd(b, u2, s21);
        if (R > 3) s30 = madd(a, u3, s30), s31 = madd(b, u3, s31);
      }
      for (; w < stop; w += step, x += R << 4) {
        const u0 = v128.load(x), u1 = v128.load(x, 16), u2 = v128.load(x, 32);
        const u3 = R > 3 ? v128.load(x, 48) : u0;
        const cd = sizeof<T>() === 4 ? v128.load(w, 32) : v128.load(w, 16);
        most = seen<T>(most, cd);
        const c = even<T>(cd, mask, power), d = odd<T>(sizeof<T>() === 4 ? v128.load(w, 48) : cd, mask, power);
        s02 = madd(c, u0, s02), s03 = madd(d, u0, s03), s12 = madd(c, u1, s12), s13 = madd(d, u1, s13);
        s22 = madd(c, u2, s22), s23 = madd(d, u2, s23);
        if (R > 3) s32 = madd(c, u3, s32), s33 = madd(d, u3, s33);
      }
    }
  if (isSigned<T>() && v128.any_true(i16x8.ge_u(most, i16x8.splat(<i16>0xf800)))) return false;
  if (R === 1) {
    row(s00, s01, s02, s03, sums, y);
    return true;
  }
  // Two rows side by side: V8 computes as one of 256 bits what is stored so (four rows of f32 1.5x, of bf16 1.3x).
  v128.store(lanes, s00), v128.store(lanes, s10, 16), v128.store(lanes, s01, 32), v128.store(lanes, s11, 48);
  v128.store(lanes, s02, 64), v128.store(lanes, s12, 80), v128.store(lanes, s03, 96), v128.store(lanes, s13, 112);
  if (R > 2) {
    v128.store(lanes, s20, 128), v128.store(lanes, s30, 144), v128.store(lanes, s21, 160), v128.store(lanes, s31, 176);
    v128.store(lanes, s22, 192), v128.store(lanes, s32, 208), v128.store(lanes, s23, 224), v128.store(lanes, s33, 240);
  }
  rowAt(lanes, sums, y);
  rowAt(lanes + 16, sums + 16, y + yStride);
  if (R > 2) rowAt(lanes + 128, sums + 32, y + 2 * yStride);
  if (R > 3) rowAt(lanes + 144, sums + 48, y + 3 * yStride);
  return true;
}

/** `row` of the sums of one of two rows. */
function rowAt(lanes: usize, sums: usize, y: usize): void {
  row(v128.load(lanes), v128.load(lanes, 32), v128.load(lanes, 64), v128.load(lanes, 96), sums, y);
}

/** Four outputs: their sums, lanes added in a fixed order, (l0 + l1) + (l2 + l3), and those of the chunks before. */
function row(a: v128, b: v128, c: v128, d: v128, sums: usize, y: usize): void {
  const ab0 = v128.shuffle<f32>(a, b, 0, 4, 1, 5), ab2 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
  const cd0 = v128.shuffle<f32>(c, d, 0, 4, 1, 5), cd2 = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
  const low = f32x4.add(v128.shuffle<f32>(ab0, cd0, 0, 1, 4, 5), v128.shuffle<f32>(ab0, cd0, 2, 3, 6, 7));
  const high = f32x4.add(v128.shuffle<f32>(ab2, cd2, 0, 1, 4, 5), v128.shuffle<f32>(ab2, cd2, 2, 3, 6, 7));
  v128.store(y, f32x4.add(v128.load(sums), f32x4.add(low, high)));
}

/** Rows of a matrix into panels. [out, matrix, rows, columns, bytes of an element] */
export function pack(args: usize, worker: i32, workers: i32): void {
  const out = <usize>load<u32>(args);
  const matrix = <usize>load<u32>(args, 4);
  const outer = load<i32>(args, 8);
  const inner = load<i32>(args, 12);
  const size = <usize>load<u32>(args, 16);
  const panels = (outer + PANEL - 1) / PANEL;
  const to = share(panels, worker + 1, workers, 1);
  for (let b = 0; b < inner; b += CHUNK) {
    const length = min(CHUNK, inner - b);
    const padded = (length + 3) & ~3;
    for (let p = share(panels, worker, workers, 1); p < to; p++) {
      const panel = out + <usize>(b * panels * PANEL + p * padded * PANEL) * size;
      for (let lane = 0; lane < min(PANEL, outer - p * PANEL); lane++) {
        const from = matrix + (<usize>(p * PANEL + lane) * inner + b) * size;
        if (size === 4)
          for (let i = 0; i < length; i += 4)
            memory.copy(panel + (<usize>(i * PANEL + (lane << 2)) << 2), from + (<usize>i << 2), min(4, length - i) << 2);
        else {
          const to = panel + (<usize>((lane >> 1) * 8 + (lane & 1)) << 1);
          for (let i = 0; i < length; i++)
            store<u16>(to + (<usize>((i >> 2) * 16 + (i & 3) * 2) << 1), load<u16>(from + (<usize>i << 1)));
        }
      }
    }
  }
}
