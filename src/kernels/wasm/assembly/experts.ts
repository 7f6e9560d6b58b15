// y[t] = Σ_e s[t,e] · down_e·h[t,e] with h[t,e] = silu(gate_e·x[t]) * up_e·x[t], over the experts e of row t: those with a share s
// that is not 0, in ascending order. Two instructions, because all of h has to be there before it is multiplied. Which experts a row
// goes to is only known here, so their matrices lie as in the file, and a row reads those of its own alone.
// Every product has two accumulators of four lanes that take turns over the columns, so its bits depend on nothing else.
import { half } from './gather';
import { halves } from './linear';
import { exp4, madd, sumLanes } from './math';
import { share } from './pointwise';

/**
 * h[t,n], of the n-th expert of row t. [h, x, shares, gateUp, rows, columns of x, F, experts, experts of a row, type of the weights: 0
 * f32, 1 bf16, 2 f16, 3 q8_0, 4 q4_0]
 */
export function expertsHidden(args: usize, worker: i32, workers: i32): void {
  const h = <usize>load<u32>(args);
  const x = <usize>load<u32>(args, 4);
  const shares = <usize>load<u32>(args, 8);
  const gateUp = <usize>load<u32>(args, 12);
  const rows = load<i32>(<usize>load<u32>(args, 16));
  const width = load<i32>(args, 20);
  const inner = load<i32>(args, 24);
  const experts = load<i32>(args, 28);
  const count = load<i32>(args, 32);
  const type = load<i32>(args, 36);
  const stride = bytesOf(type, width);
  const from = share(inner, worker, workers, 4);
  const to = share(inner, worker + 1, workers, 4);
  for (let t = 0; t < rows; t++) {
    const xt = x + ((<usize>t * width) << 2);
    let n = 0;
    for (let e = 0; e < experts; e++) {
      if (load<f32>(shares + (<usize>(t * experts + e) << 2)) === 0) continue;
      // There is room for no more, and `route` gives no more.
      if (n === count) unreachable();
      const gates = gateUp + <usize>(2 * e * inner) * stride;
      const ups = gates + <usize>inner * stride;
      const out = h + ((<usize>(t * count + n) * inner) << 2);
      for (let f = from; f < to; f++) {
        const at = <usize>f * stride;
        const gate = dot(type, gates + at, xt, width);
        const power = f32x4.extract_lane(exp4(f32x4.splat(-gate)), 0);
        store<f32>(out + (<usize>f << 2), (gate / (1 + power)) * dot(type, ups + at, xt, width));
      }
      n++;
    }
  }
}

/** y. [y, h, shares, down, rows, columns of y, F, experts, experts of a row, type of the weights as above] */
export function expertsSum(args: usize, worker: i32, workers: i32): void {
  const y = <usize>load<u32>(args);
  const h = <usize>load<u32>(args, 4);
  const shares = <usize>load<u32>(args, 8);
  const down = <usize>load<u32>(args, 12);
  const rows = load<i32>(<usize>load<u32>(args, 16));
  const width = load<i32>(args, 20);
  const inner = load<i32>(args, 24);
  const experts = load<i32>(args, 28);
  const count = load<i32>(args, 32);
  const type = load<i32>(args, 36);
  const stride = bytesOf(type, inner);
  const from = share(width, worker, workers, 4);
  const to = share(width, worker + 1, workers, 4);
  for (let t = 0; t < rows; t++) {
    const out = y + ((<usize>t * width) << 2);
    memory.fill(out + (<usize>from << 2), 0, <usize>(to - from) << 2);
    let n = 0;
    for (let e = 0; e < experts; e++) {
      const part = load<f32>(shares + (<usize>(t * experts + e) << 2));
      if (part === 0) continue;
      const hidden = h + ((<usize>(t * count + n) * inner) << 2);
      for (let c = from; c < to; c++) {
        const product = dot(type, down + <usize>(e * width + c) * stride, hidden, inner);
        const at = out + (<usize>c << 2);
        store<f32>(at, load<f32>(at) + part * product);
      }
      n++;
    }
  }
}

/** Of a row of so many weights. */
function bytesOf(type: i32, columns: i32): usize {
  if (type === 3) return <usize>(columns >> 5) * 34;
  if (type === 4) return <usize>(columns >> 5) * 18;
  return <usize>columns << (type === 0 ? 2 : 1);
}

/** Σ_i w_i·x_i over a row of weights. */
function dot(type: i32, w: usize, x: usize, length: i32): f32 {
  if (type === 0) return floats<f32>(w, x, length);
  if (type === 1) return floats<BF16>(w, x, length);
  if (type === 2) return floats<F16>(w, x, length);
  return type === 3 ? bytes(w, x, length >> 5) : nibbles(w, x, length >> 5);
}

/** How a generic function is told the type of the weights. */
type BF16 = u16;
type F16 = i16;

@inline
function four<T>(w: usize): v128 {
  if (sizeof<T>() === 4) return v128.load(w);
  const bits = v128.load_ext<T>(w);
  return isSigned<T>() ? halves(bits) : i32x4.shl(bits, 16);
}

@inline
function one<T>(w: usize): f32 {
  if (sizeof<T>() === 4) return load<f32>(w);
  const bits = <u32>load<u16>(w);
  return isSigned<T>() ? half(bits) : reinterpret<f32>(bits << 16);
}

function floats<T>(w: usize, x: usize, length: i32): f32 {
  let a = f32x4.splat(0);
  let b = a;
  let i = 0;
  for (; i + 8 <= length; i += 8, w += 8 * sizeof<T>(), x += 32) {
    a = madd(four<T>(w), v128.load(x), a);
    b = madd(four<T>(w + 4 * sizeof<T>()), v128.load(x, 16), b);
  }
  let sum = sumLanes(f32x4.add(a, b));
  for (; i < length; i++, w += sizeof<T>(), x += 4) sum += one<T>(w) * load<f32>(x);
  return sum;
}

/** q8_0: of every 32 weights an f16 scale and 32 bytes. */
function bytes(w: usize, x: usize, blocks: i32): f32 {
  let total = f32x4.splat(0);
  for (let block = 0; block < blocks; block++, w += 34, x += 128) {
    let a = f32x4.splat(0);
    let b = a;
    for (let i: usize = 0; i < 32; i += 8) {
      const q = v128.load_ext<i8>(w + i, 2);
      a = madd(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(q)), v128.load(x + (i << 2)), a);
      b = madd(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(q)), v128.load(x + (i << 2), 16), b);
    }
    total = madd(f32x4.splat(half(load<u16>(w))), f32x4.add(a, b), total);
  }
  return sumLanes(total);
}

/** q4_0: of every 32 weights an f16 scale and 16 bytes, the lower halves first, eight more than the weight. */
function nibbles(w: usize, x: usize, blocks: i32): f32 {
  let total = f32x4.splat(0);
  const eight = i16x8.splat(8);
  for (let block = 0; block < blocks; block++, w += 18, x += 128) {
    let a = f32x4.splat(0);
    let b = a;
    for (let i: usize = 0; i < 16; i += 8) {
      const pairs = v128.load_ext<u8>(w + i, 2);
      const low = i16x8.sub(v128.and(pairs, i16x8.splat(15)), eight);
      const high = i16x8.sub(i16x8.shr_u(pairs, 4), eight);
      const at = x + (i << 2);
      a = madd(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low)), v128.load(at), a);
      b = madd(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low)), v128.load(at, 16), b);
      a = madd(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high)), v128.load(at, 64), a);
      b = madd(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high)), v128.load(at, 80), b);
    }
    total = madd(f32x4.splat(half(load<u16>(w))), f32x4.add(a, b), total);
  }
  return sumLanes(total);
}
