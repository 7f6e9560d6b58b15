// The decoder's small ops: algebra as in kernels/reference, four columns at a time. Workers share rows or columns.
import { exp4, sumLanes } from './math';

/** The first of `count` things that worker `worker` of `workers` does, in multiples of `unit`; the next worker's is its end. */
@inline
export function share(count: i32, worker: i32, workers: i32, unit: i32): i32 {
  const units = (count + unit - 1) / unit;
  return min(count, <i32>((<i64>units * worker) / workers) * unit);
}

/** y = x / √(mean(x²) + eps) · gain, over each group of D columns. [y, x, gain, rows, groups a row, D, eps] */
export function rmsNorm(args: usize, worker: i32, workers: i32): void {
  const y = <usize>load<u32>(args);
  const x = <usize>load<u32>(args, 4);
  const gain = <usize>load<u32>(args, 8);
  const groups = load<i32>(<usize>load<u32>(args, 12)) * load<i32>(args, 16);
  const size = load<i32>(args, 20);
  const eps = load<f32>(args, 24);
  const even = size & ~3;
  const to = share(groups, worker + 1, workers, 1);
  for (let group = share(groups, worker, workers, 1); group < to; group++) {
    const from = <usize>group * size * 4;
    let squares = f32x4.splat(0);
    for (let d = 0; d < even; d += 4) {
      const v = v128.load(x + from + (<usize>d << 2));
      squares = f32x4.add(squares, f32x4.mul(v, v));
    }
    let sum = sumLanes(squares);
    for (let d = even; d < size; d++) {
      const v = load<f32>(x + from + (<usize>d << 2));
      sum += v * v;
    }
    const scale = <f32>1 / sqrt<f32>(sum / <f32>size + eps);
    const scales = f32x4.splat(scale);
    for (let d = 0; d < even; d += 4) {
      const at = from + (<usize>d << 2);
      const v = f32x4.mul(f32x4.mul(v128.load(x + at), scales), v128.load(gain + (<usize>d << 2)));
      v128.store(y + at, v);
    }
    for (let d = even; d < size; d++) {
      const at = from + (<usize>d << 2);
      store<f32>(y + at, load<f32>(x + at) * scale * load<f32>(gain + (<usize>d << 2)));
    }
  }
}

/** (a, b) -> (a·cos − b·sin, b·cos + a·sin) for the pairs (d, d + R/2) of each head. [y, x, positions, cos, sin, rows, heads, R/2, D] */
export function rope(args: usize, worker: i32, workers: i32): void {
  const y = <usize>load<u32>(args);
  const x = <usize>load<u32>(args, 4);
  const positions = <usize>load<u32>(args, 8);
  const cos = <usize>load<u32>(args, 12);
  const sin = <usize>load<u32>(args, 16);
  const rows = load<i32>(<usize>load<u32>(args, 20));
  const heads = load<i32>(args, 24);
  const half = load<i32>(args, 28);
  const headDim = load<i32>(args, 32);
  const even = half & ~3;
  const apart = <usize>half << 2;
  const to = share(rows * heads, worker + 1, workers, 1);
  for (let each = share(rows * heads, worker, workers, 1); each < to; each++) {
    const row = each / heads;
    const head = (<usize>each * headDim) << 2;
    const angle = (<usize>load<i32>(positions + (<usize>row << 2)) * half) << 2;
    for (let d = 0; d < even; d += 4) {
      const offset = <usize>d << 2;
      const c = v128.load(cos + angle + offset);
      const s = v128.load(sin + angle + offset);
      const at = head + offset;
      const a = v128.load(x + at);
      const b = v128.load(x + at + apart);
      v128.store(y + at, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)));
      v128.store(y + at + apart, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)));
    }
    for (let d = even; d < half; d++) {
      const offset = <usize>d << 2;
      const c = load<f32>(cos + angle + offset);
      const s = load<f32>(sin + angle + offset);
      const at = head + offset;
      const a = load<f32>(x + at);
      const b = load<f32>(x + at + apart);
      store<f32>(y + at, a * c - b * s);
      store<f32>(y + at + apart, b * c + a * s);
    }
    const still = head + (apart << 1);
    if (2 * half < headDim) memory.copy(y + still, x + still, (<usize>(headDim - 2 * half)) << 2);
  }
}

/** state[slots[t]] = x[t]. [state, x, slots, rows, bytes a row] */
export function scatter(args: usize, worker: i32, workers: i32): void {
  const state = <usize>load<u32>(args);
  const x = <usize>load<u32>(args, 4);
  const slots = <usize>load<u32>(args, 8);
  const rows = load<i32>(<usize>load<u32>(args, 12));
  const bytes = <usize>load<u32>(args, 16);
  const to = share(rows, worker + 1, workers, 1);
  for (let t = share(rows, worker, workers, 1); t < to; t++)
    memory.copy(state + <usize>load<i32>(slots + (<usize>t << 2)) * bytes, x + <usize>t * bytes, bytes);
}

/** y = gate / (1 + e^−gate) · up. [y, gate, up, rows, columns] */
export function siluMul(args: usize, worker: i32, workers: i32): void {
  const y = <usize>load<u32>(args);
  const gate = <usize>load<u32>(args, 4);
  const up = <usize>load<u32>(args, 8);
  const size = load<i32>(<usize>load<u32>(args, 12)) * load<i32>(args, 16);
  const one = f32x4.splat(1);
  const to = share(size, worker + 1, workers, 16);
  let i = share(size, worker, workers, 16);
  for (; i + 4 <= to; i += 4) {
    const at = <usize>i << 2;
    const g = v128.load(gate + at);
    const s = f32x4.div(g, f32x4.add(one, exp4(f32x4.neg(g))));
    v128.store(y + at, f32x4.mul(s, v128.load(up + at)));
  }
  for (; i < to; i++) {
    const at = <usize>i << 2;
    const g = f32x4.splat(load<f32>(gate + at));
    const s = f32x4.div(g, f32x4.add(one, exp4(f32x4.neg(g))));
    store<f32>(y + at, f32x4.extract_lane(s, 0) * load<f32>(up + at));
  }
}

/** y = a + b of one shape. [y, a, b, rows, columns] */
export function add(args: usize, worker: i32, workers: i32): void {
  const y = <usize>load<u32>(args);
  const a = <usize>load<u32>(args, 4);
  const b = <usize>load<u32>(args, 8);
  const size = load<i32>(<usize>load<u32>(args, 12)) * load<i32>(args, 16);
  const to = share(size, worker + 1, workers, 16);
  let i = share(size, worker, workers, 16);
  for (; i + 4 <= to; i += 4) {
    const at = <usize>i << 2;
    v128.store(y + at, f32x4.add(v128.load(a + at), v128.load(b + at)));
  }
  for (; i < to; i++) {
    const at = <usize>i << 2;
    store<f32>(y + at, load<f32>(a + at) + load<f32>(b + at));
  }
}

