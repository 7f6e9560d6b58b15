// Rows by index: the embedding. Weights of every type come out as f32, from rows or from panels.
import { CHUNK } from './linear';
import { share } from './pointwise';

/**
 * y[n] = x[index[n]]. [y, x, index, rows, columns, type of x: 0 f32, 1 bf16, 2 f16, 3 q8_0, 4 q4_0, 5 i32, rows of x, whether
 * floats lie in panels]
 */
export function gather(args: usize, worker: i32, workers: i32): void {
  const y = <usize>load<u32>(args);
  const x = <usize>load<u32>(args, 4);
  const index = <usize>load<u32>(args, 8);
  const rows = load<i32>(<usize>load<u32>(args, 12));
  const columns = load<i32>(args, 16);
  const type = load<i32>(args, 20);
  const all = load<i32>(args, 24);
  const panels = load<i32>(args, 28) !== 0;
  const to = share(rows, worker + 1, workers, 1);
  for (let n = share(rows, worker, workers, 1); n < to; n++) {
    const row = load<i32>(index + (<usize>n << 2));
    const out = y + ((<usize>n * columns) << 2);
    if (type === 3 || type === 4) blockRow(x, all, row, out, columns >> 5, type === 3);
    else if (panels) floatRow(x, all, row, out, columns, type);
    else if (type === 0 || type === 5) memory.copy(out, x + ((<usize>row * columns) << 2), <usize>columns << 2);
    else widen(x + ((<usize>row * columns) << 1), 2, out, columns, type);
  }
}

/** bf16 or f16, `apart` bytes from each other, to f32. */
function widen(from: usize, apart: usize, out: usize, count: i32, type: i32): void {
  for (let c: usize = 0; c < <usize>count; c++) {
    const bits = <u32>load<u16>(from + c * apart);
    store<f32>(out + (c << 2), type === 1 ? reinterpret<f32>(bits << 16) : half(bits));
  }
}

/** One row of a panel of four, four columns at a time. */
function floatRow(x: usize, rows: i32, row: i32, out: usize, columns: i32, type: i32): void {
  const panels = (rows + 3) >> 2;
  for (let c = 0; c < columns; c += 4) {
    const chunk = c & ~(CHUNK - 1);
    const padded = (min(CHUNK, columns - chunk) + 3) & ~3;
    const step = (chunk * panels + (row >> 2) * padded + c - chunk) * 4;
    const lane = row & 3;
    const to = out + (<usize>c << 2);
    const count = min(4, columns - c);
    if (type === 0) memory.copy(to, x + (<usize>(step + (lane << 2)) << 2), count << 2);
    else widen(x + (<usize>(step + (lane >> 1) * 8 + (lane & 1)) << 1), 4, to, count, type);
  }
}

/** One row of a panel of eight (block-panels.ts has the layout): its scale and bytes in every block. */
function blockRow(x: usize, rows: i32, row: i32, out: usize, blocks: i32, bytes: bool): void {
  const size: usize = bytes ? 272 : 144;
  const lane = <usize>(row & 7);
  const place: usize = bytes ? ((lane >> 2) << 3) + ((lane & 3) << 1) : ((lane >> 2) << 4) + ((lane & 3) << 2);
  const panels = (rows + 7) >> 3;
  for (let b = 0; b < blocks; b++, out += 128) {
    const chunk = b & ~15;
    const at = chunk * panels + (row >> 3) * min(16, blocks - chunk) + b - chunk;
    const block = x + <usize>at * size;
    const scale = half(load<u16>(block + (lane << 1)));
    const from = block + 16 + place;
    if (bytes)
      for (let i: usize = 0; i < 32; i++)
        store<f32>(out + (i << 2), scale * <f32>load<i8>(from + ((i >> 1) << 4) + (i & 1)));
    else
      for (let i: usize = 0; i < 16; i++) {
        const pair = <i32>load<u8>(from + ((i >> 2) << 5) + (i & 3));
        store<f32>(out + (i << 2), scale * <f32>((pair & 15) - 8));
        store<f32>(out + (i << 2), scale * <f32>((pair >> 4) - 8), 64);
      }
  }
}

/** f16 to f32: exponent and fraction in their place are the number times 2^-112; all ones stay so. */
@inline
export function half(bits: u32): f32 {
  const placed = (bits & 0x7fff) << 13;
  const value =
    placed >= 0x0f800000
      ? reinterpret<f32>(placed | 0x7f800000)
      : reinterpret<f32>(placed) * reinterpret<f32>(0x77800000);
  return bits >> 15 ? -value : value;
}
