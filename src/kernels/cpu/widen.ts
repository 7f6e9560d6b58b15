// f16 and bf16 bit patterns to f32, many at a time.
import { f16Table } from '../dtype.ts';

/** out[i] = bf16 source[from + i]: the upper half of an f32. */
export function widenBf16(
  source: Uint16Array,
  from: number,
  out: Float32Array,
  length: number,
): void {
  const outBits = new Int32Array(out.buffer, out.byteOffset, length);
  for (let i = 0; i < length; i++) outBits[i] = source[from + i] << 16;
}

/** out[i] = f16 source[from + i], by table. */
export function widenF16(
  source: Uint16Array,
  from: number,
  out: Float32Array,
  length: number,
): void {
  const table = f16Table();
  for (let i = 0; i < length; i++) out[i] = table[source[from + i]];
}
