// Grouped-query attention over the slots each row sees. Up to four heads of a group take every key and value together, so
// that the cache is read once for them: 3x over one head at a time. Scores and values are taken in ascending position with
// one accumulator per element, so the bits of a row depend on its own list alone.
import { exp4, madd, sumLanes } from './math';
import { share } from './pointwise';

/**
 * y[t,h] = Σ_j softmax_j(scale · q[t,h]·k[s_j,g]) · v[s_j,g], g = ⌊h·G/H⌋.
 * [y, q, keys, values, visible, starts, counts, rows, heads, kvHeads, D, scale, window, slots]
 */
export function attention(args: usize, worker: i32, workers: i32, scratch: usize): void {
  const y = <usize>load<u32>(args);
  const q = <usize>load<u32>(args, 4);
  const keys = <usize>load<u32>(args, 8);
  const values = <usize>load<u32>(args, 12);
  const visible = <usize>load<u32>(args, 16);
  const starts = <usize>load<u32>(args, 20);
  const counts = <usize>load<u32>(args, 24);
  const rows = load<i32>(<usize>load<u32>(args, 28));
  const heads = load<i32>(args, 32);
  const kvHeads = load<i32>(args, 36);
  const size = load<i32>(args, 40);
  const scale = load<f32>(args, 44);
  const window = load<i32>(args, 48);
  const stride = weightBytes(load<i32>(args, 52));
  const headBytes = <usize>size << 2;
  const slotBytes = <usize>kvHeads * headBytes;
  const group = heads / kvHeads;
  const tiles = (group + 3) / 4;
  const units = rows * kvHeads * tiles;
  const to = share(units, worker + 1, workers, 1);
  for (let unit = share(units, worker, workers, 1); unit < to; unit++) {
    const row = unit / (kvHeads * tiles);
    const g = (unit / tiles) % kvHeads;
    const first = (unit % tiles) << 2;
    const height = min(4, group - first);
    const seen = load<i32>(counts + (<usize>row << 2));
    const count = window > 0 ? min(seen, window) : seen;
    const list = visible + (<usize>(load<i32>(starts + (<usize>row << 2)) + seen - count) << 2);
    const at = <usize>(row * heads + g * group + first) * headBytes;
    const k = keys + <usize>g * headBytes;
    const v = values + <usize>g * headBytes;
    if (height === 1) heads1(q + at, k, v, list, count, slotBytes, size, scale, scratch, stride, y + at);
    else if (height === 2) heads2(q + at, k, v, list, count, slotBytes, size, scale, scratch, stride, y + at);
    else if (height === 3) heads3(q + at, k, v, list, count, slotBytes, size, scale, scratch, stride, y + at);
    else heads4(q + at, k, v, list, count, slotBytes, size, scale, scratch, stride, y + at);
  }
}

/** Bytes of the weights of one head; the exponentials write up to three more. */
@inline
function weightBytes(slots: i32): usize {
  return <usize>(slots + 4) << 2;
}

function heads1(q: usize, k: usize, v: usize, list: usize, count: i32, slotBytes: usize, size: i32, scale: f32, weights: usize, stride: usize, y: usize): void {
  attend(1, q, k, v, list, count, slotBytes, size, scale, weights, stride, y);
}
function heads2(q: usize, k: usize, v: usize, list: usize, count: i32, slotBytes: usize, size: i32, scale: f32, weights: usize, stride: usize, y: usize): void {
  attend(2, q, k, v, list, count, slotBytes, size, scale, weights, stride, y);
}
function heads3(q: usize, k: usize, v: usize, list: usize, count: i32, slotBytes: usize, size: i32, scale: f32, weights: usize, stride: usize, y: usize): void {
  attend(3, q, k, v, list, count, slotBytes, size, scale, weights, stride, y);
}
function heads4(q: usize, k: usize, v: usize, list: usize, count: i32, slotBytes: usize, size: i32, scale: f32, weights: usize, stride: usize, y: usize): void {
  attend(4, q, k, v, list, count, slotBytes, size, scale, weights, stride, y);
}

/** `H` heads in a row, a constant in every caller; their weights lie `stride` apart. */
@inline
function attend(H: i32, q: usize, k: usize, v: usize, list: usize, count: i32, slotBytes: usize, size: i32, scale: f32, weights: usize, stride: usize, y: usize): void {
  let j = 0;
  for (; j + 2 <= count; j += 2)
    scores(H, 2, q, k, list + (<usize>j << 2), slotBytes, size, scale, weights + (<usize>j << 2), stride);
  for (; j < count; j++)
    scores(H, 1, q, k, list + (<usize>j << 2), slotBytes, size, scale, weights + (<usize>j << 2), stride);
  const t0 = exponentials(weights, count);
  const t1 = H > 1 ? exponentials(weights + stride, count) : 0;
  const t2 = H > 2 ? exponentials(weights + 2 * stride, count) : 0;
  const t3 = H > 3 ? exponentials(weights + 3 * stride, count) : 0;
  let d = 0;
  for (; d + 8 <= size; d += 8) mix(H, v + (<usize>d << 2), list, count, slotBytes, size, weights, stride, t0, t1, t2, t3, y + (<usize>d << 2));
  for (; d < size; d++) {
    const from = v + (<usize>d << 2);
    const to = y + (<usize>d << 2);
    mixOne(from, list, count, slotBytes, weights, t0, to);
    if (H > 1) mixOne(from, list, count, slotBytes, weights + stride, t1, to + (<usize>size << 2));
    if (H > 2) mixOne(from, list, count, slotBytes, weights + 2 * stride, t2, to + (<usize>size << 3));
    if (H > 3) mixOne(from, list, count, slotBytes, weights + 3 * stride, t3, to + 3 * (<usize>size << 2));
  }
}

/** weights[h][j] = scale · q[h]·k[s_j] for `H` heads and `S` (one or two) slots. */
@inline
function scores(H: i32, S: i32, q: usize, keys: usize, list: usize, slotBytes: usize, size: i32, scale: f32, weights: usize, stride: usize): void {
  const headBytes = <usize>size << 2;
  const k0 = keys + <usize>load<i32>(list) * slotBytes;
  const k1 = S > 1 ? keys + <usize>load<i32>(list, 4) * slotBytes : k0;
  const q1 = q + headBytes, q2 = q1 + headBytes, q3 = q2 + headBytes;
  let s00 = f32x4.splat(0), s01 = s00, s10 = s00, s11 = s00;
  let s20 = s00, s21 = s00, s30 = s00, s31 = s00;
  for (let d: usize = 0, end = headBytes & ~15; d < end; d += 16) {
    const a = v128.load(k0 + d);
    const b = S > 1 ? v128.load(k1 + d) : a;
    const u0 = v128.load(q + d);
    s00 = madd(u0, a, s00);
    if (S > 1) s01 = madd(u0, b, s01);
    if (H > 1) {
      const u1 = v128.load(q1 + d);
      s10 = madd(u1, a, s10);
      if (S > 1) s11 = madd(u1, b, s11);
    }
    if (H > 2) {
      const u2 = v128.load(q2 + d);
      s20 = madd(u2, a, s20);
      if (S > 1) s21 = madd(u2, b, s21);
    }
    if (H > 3) {
      const u3 = v128.load(q3 + d);
      s30 = madd(u3, a, s30);
      if (S > 1) s31 = madd(u3, b, s31);
    }
  }
  store<f32>(weights, scale * dotted(s00, q, k0, size));
  if (S > 1) store<f32>(weights, scale * dotted(s01, q, k1, size), 4);
  if (H > 1) store<f32>(weights + stride, scale * dotted(s10, q1, k0, size));
  if (H > 1 && S > 1) store<f32>(weights + stride, scale * dotted(s11, q1, k1, size), 4);
  if (H > 2) store<f32>(weights + 2 * stride, scale * dotted(s20, q2, k0, size));
  if (H > 2 && S > 1) store<f32>(weights + 2 * stride, scale * dotted(s21, q2, k1, size), 4);
  if (H > 3) store<f32>(weights + 3 * stride, scale * dotted(s30, q3, k0, size));
  if (H > 3 && S > 1) store<f32>(weights + 3 * stride, scale * dotted(s31, q3, k1, size), 4);
}

/** The sum of an accumulator and the products after the last four. */
@inline
function dotted(sums: v128, q: usize, k: usize, size: i32): f32 {
  return (size & 3) === 0 ? sumLanes(sums) : dottedRest(sumLanes(sums), q, k, size);
}

function dottedRest(sum: f32, q: usize, k: usize, size: i32): f32 {
  for (let d = size & ~3; d < size; d++)
    sum += load<f32>(q + (<usize>d << 2)) * load<f32>(k + (<usize>d << 2));
  return sum;
}

/** weights[j] = e^(score_j − max), in place; returns their sum. */
function exponentials(weights: usize, count: i32): f32 {
  let largest: f32 = -Infinity;
  for (let j = 0; j < count; j++) largest = max(largest, load<f32>(weights + (<usize>j << 2)));
  // The last four may reach past the end: what they write there is not read.
  const shift = f32x4.splat(largest);
  for (let j = 0; j < count; j += 4) {
    const at = weights + (<usize>j << 2);
    v128.store(at, exp4(f32x4.sub(v128.load(at), shift)));
  }
  let total: f32 = 0;
  for (let j = 0; j < count; j++) total += load<f32>(weights + (<usize>j << 2));
  return total;
}

/** y[h][d] = Σ_j weights[h][j] · v_j[d] / total_h for eight columns. */
@inline
function mix(H: i32, values: usize, list: usize, count: i32, slotBytes: usize, size: i32, weights: usize, stride: usize, t0: f32, t1: f32, t2: f32, t3: f32, y: usize): void {
  const headBytes = <usize>size << 2;
  const w1 = weights + stride, w2 = w1 + stride, w3 = w2 + stride;
  let s00 = f32x4.splat(0), s01 = s00, s10 = s00, s11 = s00;
  let s20 = s00, s21 = s00, s30 = s00, s31 = s00;
  for (let j: usize = 0, end = <usize>count << 2; j < end; j += 4) {
    const v = values + <usize>load<i32>(list + j) * slotBytes;
    const a = v128.load(v), b = v128.load(v, 16);
    const p0 = v128.load32_splat(weights + j);
    s00 = madd(p0, a, s00), s01 = madd(p0, b, s01);
    if (H > 1) {
      const p1 = v128.load32_splat(w1 + j);
      s10 = madd(p1, a, s10), s11 = madd(p1, b, s11);
    }
    if (H > 2) {
      const p2 = v128.load32_splat(w2 + j);
      s20 = madd(p2, a, s20), s21 = madd(p2, b, s21);
    }
    if (H > 3) {
      const p3 = v128.load32_splat(w3 + j);
      s30 = madd(p3, a, s30), s31 = madd(p3, b, s31);
    }
  }
  divided(y, s00, s01, t0);
  if (H > 1) divided(y + headBytes, s10, s11, t1);
  if (H > 2) divided(y + 2 * headBytes, s20, s21, t2);
  if (H > 3) divided(y + 3 * headBytes, s30, s31, t3);
}

@inline
function divided(y: usize, a: v128, b: v128, total: f32): void {
  v128.store(y, f32x4.div(a, f32x4.splat(total)));
  v128.store(y, f32x4.div(b, f32x4.splat(total)), 16);
}

/** One column of one head. */
function mixOne(values: usize, list: usize, count: i32, slotBytes: usize, weights: usize, total: f32, y: usize): void {
  let sum: f32 = 0;
  for (let j: usize = 0, end = <usize>count << 2; j < end; j += 4)
    sum += load<f32>(weights + j) * load<f32>(values + <usize>load<i32>(list + j) * slotBytes);
  store<f32>(y, sum / total);
}
