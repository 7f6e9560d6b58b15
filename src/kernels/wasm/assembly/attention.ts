// Grouped-query attention over the slots each row sees. Scores and values are taken in ascending position with one
// accumulator per element, so the bits of a row depend on its own list alone. Workers share pairs of row and head.
import { exp4, madd, sumLanes } from './math';
import { share } from './pointwise';

/**
 * y[t,h] = Σ_j softmax_j(scale · q[t,h]·k[s_j,g]) · v[s_j,g], g = ⌊h·G/H⌋.
 * [y, q, keys, values, visible, starts, counts, rows, heads, kvHeads, D, scale, window]
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
  const slotBytes = <usize>kvHeads * size * 4;
  const to = share(rows * heads, worker + 1, workers, 1);
  for (let each = share(rows * heads, worker, workers, 1); each < to; each++) {
    const row = each / heads;
    const seen = load<i32>(counts + ((<usize>row) << 2));
    const count = window > 0 ? min(seen, window) : seen;
    const list = visible + ((<usize>(load<i32>(starts + ((<usize>row) << 2)) + seen - count)) << 2);
    const group = <usize>(((each % heads) * kvHeads) / heads) * size * 4;
    const at = <usize>each * size * 4;
    scores(q + at, keys + group, list, count, slotBytes, size, scale, scratch);
    const total = exponentials(scratch, count);
    weighted(values + group, list, count, slotBytes, size, scratch, total, y + at);
  }
}

/** weights[j] = scale · q·k_j */
function scores(
  q: usize,
  keys: usize,
  list: usize,
  count: i32,
  slotBytes: usize,
  size: i32,
  scale: f32,
  weights: usize,
): void {
  const even = size & ~3;
  for (let j = 0; j < count; j++) {
    const key = keys + <usize>load<i32>(list + ((<usize>j) << 2)) * slotBytes;
    let sums = f32x4.splat(0);
    for (let d = 0; d < even; d += 4) {
      const offset = (<usize>d) << 2;
      sums = madd(v128.load(q + offset), v128.load(key + offset), sums);
    }
    let sum = sumLanes(sums);
    for (let d = even; d < size; d++) {
      const offset = (<usize>d) << 2;
      sum += load<f32>(q + offset) * load<f32>(key + offset);
    }
    store<f32>(weights + ((<usize>j) << 2), sum * scale);
  }
}

/** weights[j] = e^(score_j − max), in place; returns their sum. */
function exponentials(weights: usize, count: i32): f32 {
  let largest: f32 = -Infinity;
  for (let j = 0; j < count; j++) largest = max(largest, load<f32>(weights + ((<usize>j) << 2)));
  // The last four may reach past the end: what they write there is not read.
  const shift = f32x4.splat(largest);
  for (let j = 0; j < count; j += 4) {
    const at = weights + ((<usize>j) << 2);
    v128.store(at, exp4(f32x4.sub(v128.load(at), shift)));
  }
  let total: f32 = 0;
  for (let j = 0; j < count; j++) total += load<f32>(weights + ((<usize>j) << 2));
  return total;
}

/** y[d] = Σ_j weights[j] · v_j[d] / total */
function weighted(
  values: usize,
  list: usize,
  count: i32,
  slotBytes: usize,
  size: i32,
  weights: usize,
  total: f32,
  y: usize,
): void {
  let d = 0;
  for (; d + 16 <= size; d += 16) {
    let a = f32x4.splat(0);
    let b = f32x4.splat(0);
    let c = f32x4.splat(0);
    let e = f32x4.splat(0);
    for (let j = 0; j < count; j++) {
      const w = v128.load32_splat(weights + ((<usize>j) << 2));
      const at =
        values + <usize>load<i32>(list + ((<usize>j) << 2)) * slotBytes + ((<usize>d) << 2);
      a = madd(w, v128.load(at), a);
      b = madd(w, v128.load(at, 16), b);
      c = madd(w, v128.load(at, 32), c);
      e = madd(w, v128.load(at, 48), e);
    }
    const all = f32x4.splat(total);
    const out = y + ((<usize>d) << 2);
    v128.store(out, f32x4.div(a, all));
    v128.store(out, f32x4.div(b, all), 16);
    v128.store(out, f32x4.div(c, all), 32);
    v128.store(out, f32x4.div(e, all), 48);
  }
  for (; d < size; d++) {
    let sum: f32 = 0;
    for (let j = 0; j < count; j++) {
      const at =
        values + <usize>load<i32>(list + ((<usize>j) << 2)) * slotBytes + ((<usize>d) << 2);
      sum += load<f32>(weights + ((<usize>j) << 2)) * load<f32>(at);
    }
    store<f32>(y + ((<usize>d) << 2), sum / total);
  }
}
