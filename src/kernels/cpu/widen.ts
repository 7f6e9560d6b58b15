// f16 and bf16 bit patterns to f32, many at a time, unrolled by four: 1.5x (bench kernels, linear with more than one row).
import { f16Table } from '../dtype.ts';

/** out[i] = bf16 source[from + i]: the upper half of an f32. */
export function widenBf16(
  source: Uint16Array,
  from: number,
  out: Float32Array,
  length: number,
): void {
  const outBits = new Int32Array(out.buffer, out.byteOffset, length);
  let i = 0;
  for (; i + 4 <= length; i += 4) {
    const at = from + i;
    outBits[i] = source[at] << 16;
    outBits[i + 1] = source[at + 1] << 16;
    outBits[i + 2] = source[at + 2] << 16;
    outBits[i + 3] = source[at + 3] << 16;
  }
  for (; i < length; i++) outBits[i] = source[from + i] << 16;
}

/** out[i] = f16 source[from + i], by table. */
export function widenF16(
  source: Uint16Array,
  from: number,
  out: Float32Array,
  length: number,
): void {
  const table = f16Table();
  let i = 0;
  for (; i + 4 <= length; i += 4) {
    const at = from + i;
    out[i] = table[source[at]];
    out[i + 1] = table[source[at + 1]];
    out[i + 2] = table[source[at + 2]];
    out[i + 3] = table[source[at + 3]];
  }
  for (; i < length; i++) out[i] = table[source[from + i]];
}
