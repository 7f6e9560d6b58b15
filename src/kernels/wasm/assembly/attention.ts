// Grouped-query attention over the slots each row sees. Up to four queries of a group of heads, of one row or of rows that see the
// same list, take every key and value together, so that the cache is read once for them: 3x over one at a time. Scores and
// values are taken in ascending position with one accumulator per element, so the bits of a row depend on its own list alone.
import { exp4, madd, sumLanes } from './math';
import { share } from './pointwise';

/**
 * y[t,h] = Σ_j softmax_j(scale · q[t,h]·k[s_j,g]) · v[s_j,g], g = ⌊h·G/H⌋.
 * [y, q, keys, values, visible, starts, counts, rows, heads, kvHeads, D, scale, window, slots]
 */
export function attention(args: usize, worker: i32, workers: i32, scratch: usize): void {
  const starts = <usize>load<u32>(args, 20);
  const rows = load<i32>(<usize>load<u32>(args, 28));
  const kvHeads = load<i32>(args, 36);
  const group = load<i32>(args, 32) / kvHeads;
  const window = load<i32>(args, 48);
  let units = 0;
  for (let t = 0; t < rows; t = runEnd(starts, t, rows, window))
    units += unitsOf(runEnd(starts, t, rows, window) - t, group, kvHeads);
  const from = share(units, worker, workers, 1);
  const to = share(units, worker + 1, workers, 1);
  for (let t = 0, unit = 0; t < rows && unit < to; ) {
    const next = runEnd(starts, t, rows, window);
    const count = unitsOf(next - t, group, kvHeads);
    for (let u = max(from, unit); u < min(to, unit + count); u++) {
      const g = (u - unit) % kvHeads;
      const first = ((u - unit) / kvHeads) << 2;
      queries(args, t, g, first, min(4, (next - t) * group - first), scratch);
    }
    unit += count;
    t = next;
  }
}

/** The end of the rows from t on that see the same list; with a window every row sees one of its own. */
function runEnd(starts: usize, t: i32, rows: i32, window: i32): i32 {
  const start = load<i32>(starts + (<usize>t << 2));
  let end = t + 1;
  if (window === 0) while (end < rows && load<i32>(starts + (<usize>end << 2)) === start) end++;
  return end;
}

/** Tiles of four queries. */
function unitsOf(rows: i32, group: i32, kvHeads: i32): i32 {
  return kvHeads * ((rows * group + 3) >> 2);
}

/** Queries `first` .. `first + height` of kv head g, counted over the heads of row t, then of the rows after it. */
function queries(args: usize, t: i32, g: i32, first: i32, height: i32, scratch: usize): void {
  const q = <usize>load<u32>(args, 4);
  const counts = <usize>load<u32>(args, 24);
  const heads = load<i32>(args, 32);
  const kvHeads = load<i32>(args, 36);
  const window = load<i32>(args, 48);
  const headBytes = <usize>load<i32>(args, 40) << 2;
  const group = heads / kvHeads;
  const list = <usize>load<u32>(args, 16) + (<usize>load<i32>(<usize>load<u32>(args, 20) + (<usize>t << 2)) << 2);
  const i1 = min(first + 1, first + height - 1), i2 = min(first + 2, first + height - 1);
  const i3 = first + height - 1;
  const at0 = queryAt(t, g, first, group, heads) * headBytes, at1 = queryAt(t, g, i1, group, heads) * headBytes;
  const at2 = queryAt(t, g, i2, group, heads) * headBytes, at3 = queryAt(t, g, i3, group, heads) * headBytes;
  const seen = countOf(counts, t + first / group);
  const c0 = window > 0 ? min(seen, window) : seen;
  const c1 = window > 0 ? c0 : countOf(counts, t + i1 / group);
  const c2 = window > 0 ? c0 : countOf(counts, t + i2 / group);
  const c3 = window > 0 ? c0 : countOf(counts, t + i3 / group);
  const sight = list + (<usize>(seen - c0) << 2);
  if (height === 1) queries1(args, q + at0, q + at1, q + at2, q + at3, c0, c1, c2, c3, g, sight, scratch);
  else if (height === 2) queries2(args, q + at0, q + at1, q + at2, q + at3, c0, c1, c2, c3, g, sight, scratch);
  else if (height === 3) queries3(args, q + at0, q + at1, q + at2, q + at3, c0, c1, c2, c3, g, sight, scratch);
  else queries4(args, q + at0, q + at1, q + at2, q + at3, c0, c1, c2, c3, g, sight, scratch);
}

@inline
function queryAt(t: i32, g: i32, index: i32, group: i32, heads: i32): usize {
  return <usize>((t + index / group) * heads + g * group + (index % group));
}

@inline
function countOf(counts: usize, row: i32): i32 {
  return load<i32>(counts + (<usize>row << 2));
}

function queries1(args: usize, q0: usize, q1: usize, q2: usize, q3: usize, c0: i32, c1: i32, c2: i32, c3: i32, g: i32, list: usize, weights: usize): void {
  attend(1, args, q0, q1, q2, q3, c0, c1, c2, c3, g, list, weights);
}
function queries2(args: usize, q0: usize, q1: usize, q2: usize, q3: usize, c0: i32, c1: i32, c2: i32, c3: i32, g: i32, list: usize, weights: usize): void {
  attend(2, args, q0, q1, q2, q3, c0, c1, c2, c3, g, list, weights);
}
function queries3(args: usize, q0: usize, q1: usize, q2: usize, q3: usize, c0: i32, c1: i32, c2: i32, c3: i32, g: i32, list: usize, weights: usize): void {
  attend(3, args, q0, q1, q2, q3, c0, c1, c2, c3, g, list, weights);
}
function queries4(args: usize, q0: usize, q1: usize, q2: usize, q3: usize, c0: i32, c1: i32, c2: i32, c3: i32, g: i32, list: usize, weights: usize): void {
  attend(4, args, q0, q1, q2, q3, c0, c1, c2, c3, g, list, weights);
}

/**
 * `H` queries, a constant in every caller, that see the first c0, c1, … slots of one list: what all see together, then each its
 * own rest. Their weights lie apart by the bytes of all slots and three more, which the exponentials write.
 */
@inline
function attend(H: i32, args: usize, q0: usize, q1: usize, q2: usize, q3: usize, c0: i32, c1: i32, c2: i32, c3: i32, g: i32, list: usize, weights: usize): void {
  const toY = <usize>load<u32>(args) - <usize>load<u32>(args, 4);
  const size = load<i32>(args, 40);
  const scale = load<f32>(args, 44);
  const stride = <usize>(load<i32>(args, 52) + 4) << 2;
  const headBytes = <usize>size << 2;
  const slotBytes = <usize>load<i32>(args, 36) * headBytes;
  const k = <usize>load<u32>(args, 8) + <usize>g * headBytes;
  const v = <usize>load<u32>(args, 12) + <usize>g * headBytes;
  const w1 = weights + stride, w2 = w1 + stride, w3 = w2 + stride;
  const common = min(min(c0, c1), min(c2, c3));
  let j = 0;
  for (; j + 2 <= common; j += 2)
    scores(H, 2, q0, q1, q2, q3, k, list + (<usize>j << 2), slotBytes, size, scale, weights + (<usize>j << 2), stride);
  for (; j < common; j++)
    scores(H, 1, q0, q1, q2, q3, k, list + (<usize>j << 2), slotBytes, size, scale, weights + (<usize>j << 2), stride);
  restScores(q0, k, list, common, c0, slotBytes, size, scale, weights);
  if (H > 1) restScores(q1, k, list, common, c1, slotBytes, size, scale, w1);
  if (H > 2) restScores(q2, k, list, common, c2, slotBytes, size, scale, w2);
  if (H > 3) restScores(q3, k, list, common, c3, slotBytes, size, scale, w3);
  const t0 = exponentials(weights, c0);
  const t1 = H > 1 ? exponentials(w1, c1) : 0;
  const t2 = H > 2 ? exponentials(w2, c2) : 0;
  const t3 = H > 3 ? exponentials(w3, c3) : 0;
  const y0 = q0 + toY, y1 = q1 + toY, y2 = q2 + toY, y3 = q3 + toY;
  let d: usize = 0;
  for (; d + 32 <= headBytes; d += 32) {
    const from = v + d;
    let s00 = f32x4.splat(0), s01 = s00, s10 = s00, s11 = s00;
    let s20 = s00, s21 = s00, s30 = s00, s31 = s00;
    // Σ_j weights[h][j] · v_j[d] for eight columns.
    for (let i: usize = 0, end = <usize>common << 2; i < end; i += 4) {
      const slot = from + <usize>load<i32>(list + i) * slotBytes;
      const a = v128.load(slot), b = v128.load(slot, 16);
      const p0 = v128.load32_splat(weights + i);
      s00 = madd(p0, a, s00), s01 = madd(p0, b, s01);
      if (H > 1) {
        const p1 = v128.load32_splat(w1 + i);
        s10 = madd(p1, a, s10), s11 = madd(p1, b, s11);
      }
      if (H > 2) {
        const p2 = v128.load32_splat(w2 + i);
        s20 = madd(p2, a, s20), s21 = madd(p2, b, s21);
      }
      if (H > 3) {
        const p3 = v128.load32_splat(w3 + i);
        s30 = madd(p3, a, s30), s31 = madd(p3, b, s31);
      }
    }
    restMix(s00, s01, from, list, common, c0, slotBytes, weights, t0, y0 + d);
    if (H > 1) restMix(s10, s11, from, list, common, c1, slotBytes, w1, t1, y1 + d);
    if (H > 2) restMix(s20, s21, from, list, common, c2, slotBytes, w2, t2, y2 + d);
    if (H > 3) restMix(s30, s31, from, list, common, c3, slotBytes, w3, t3, y3 + d);
  }
  for (; d < headBytes; d += 4) {
    mixOne(v + d, list, c0, slotBytes, weights, t0, y0 + d);
    if (H > 1) mixOne(v + d, list, c1, slotBytes, w1, t1, y1 + d);
    if (H > 2) mixOne(v + d, list, c2, slotBytes, w2, t2, y2 + d);
    if (H > 3) mixOne(v + d, list, c3, slotBytes, w3, t3, y3 + d);
  }
}

/** weights[h][j] = scale · q[h]·k[s_j] for `H` queries and `S` (one or two) slots. */
@inline
function scores(H: i32, S: i32, q0: usize, q1: usize, q2: usize, q3: usize, keys: usize, list: usize, slotBytes: usize, size: i32, scale: f32, weights: usize, stride: usize): void {
  const headBytes = <usize>size << 2;
  const k0 = keys + <usize>load<i32>(list) * slotBytes;
  const k1 = S > 1 ? keys + <usize>load<i32>(list, 4) * slotBytes : k0;
  let s00 = f32x4.splat(0), s01 = s00, s10 = s00, s11 = s00;
  let s20 = s00, s21 = s00, s30 = s00, s31 = s00;
  for (let d: usize = 0, end = headBytes & ~15; d < end; d += 16) {
    const a = v128.load(k0 + d);
    const b = S > 1 ? v128.load(k1 + d) : a;
    const u0 = v128.load(q0 + d);
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
  store<f32>(weights, scale * dotted(s00, q0, k0, size));
  if (S > 1) store<f32>(weights, scale * dotted(s01, q0, k1, size), 4);
  if (H > 1) store<f32>(weights + stride, scale * dotted(s10, q1, k0, size));
  if (H > 1 && S > 1) store<f32>(weights + stride, scale * dotted(s11, q1, k1, size), 4);
  if (H > 2) store<f32>(weights + 2 * stride, scale * dotted(s20, q2, k0, size));
  if (H > 2 && S > 1) store<f32>(weights + 2 * stride, scale * dotted(s21, q2, k1, size), 4);
  if (H > 3) store<f32>(weights + 3 * stride, scale * dotted(s30, q3, k0, size));
  if (H > 3 && S > 1) store<f32>(weights + 3 * stride, scale * dotted(s31, q3, k1, size), 4);
}

/** Scores of the slots from .. to that one query sees beyond the others. */
function restScores(q: usize, keys: usize, list: usize, from: i32, to: i32, slotBytes: usize, size: i32, scale: f32, weights: usize): void {
  for (let j = from; j < to; j++)
    scores(1, 1, q, q, q, q, keys, list + (<usize>j << 2), slotBytes, size, scale, weights + (<usize>j << 2), 0);
}

/** Adds the values from .. to to the sums of one query, divides by its total and stores eight columns. */
@inline
function restMix(a: v128, b: v128, values: usize, list: usize, from: i32, to: i32, slotBytes: usize, weights: usize, total: f32, y: usize): void {
  for (let i = <usize>from << 2, end = <usize>to << 2; i < end; i += 4) {
    const slot = values + <usize>load<i32>(list + i) * slotBytes;
    const p = v128.load32_splat(weights + i);
    a = madd(p, v128.load(slot), a);
    b = madd(p, v128.load(slot, 16), b);
  }
  v128.store(y, f32x4.div(a, f32x4.splat(total)));
  v128.store(y, f32x4.div(b, f32x4.splat(total)), 16);
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

/** One column of one head. */
function mixOne(values: usize, list: usize, count: i32, slotBytes: usize, weights: usize, total: f32, y: usize): void {
  let sum: f32 = 0;
  for (let j: usize = 0, end = <usize>count << 2; j < end; j += 4)
    sum += load<f32>(weights + j) * load<f32>(values + <usize>load<i32>(list + j) * slotBytes);
  store<f32>(y, sum / total);
}
