// Blocks of 32 weights with one scale, in the layout of GGUF (ggml's block_q8_0 and block_q4_0): an f16 scale d, then
// q8_0: 32 signed bytes, w = d·q; q4_0: 16 bytes, of which byte j has weight j in its low and weight j + 16 in its high
// half, w = d·(q − 8). Rounding is ggml's own, so that the bits are those of its quantiser.
import { f16Bits } from './narrow.ts';

/** Weights a block. */
export const BLOCK = 32;

/** The dtypes whose elements come in blocks. */
export type BlockDType = 'q8_0' | 'q4_0';

/** Bytes of one block. */
export const BLOCK_BYTES: Readonly<Record<BlockDType, number>> = { q8_0: 34, q4_0: 18 };

/** Whether elements of a dtype come in blocks. */
export const isBlocked = (dtype: string): dtype is BlockDType => Object.hasOwn(BLOCK_BYTES, dtype);

/** Element i of blocks of `dtype`, given the value of every f16 pattern. */
export function blockElement(
  data: Uint8Array,
  dtype: BlockDType,
  halves: Float64Array,
): (i: number) => number {
  const size = BLOCK_BYTES[dtype];
  return (i) => {
    const block = Math.floor(i / BLOCK) * size;
    const scale = halves[data[block] | (data[block + 1] << 8)];
    const place = i % BLOCK;
    if (dtype === 'q8_0') return scale * ((data[block + 2 + place] << 24) >> 24);
    const byte = data[block + 2 + (place % 16)];
    return scale * ((place < 16 ? byte & 15 : byte >> 4) - 8);
  };
}

/** Blocks `from` .. `from + count` (in blocks) as f32, written to `out` from element `at` on. */
export function widenBlocks(
  data: Uint8Array,
  dtype: BlockDType,
  halves: Float64Array,
  { from, count }: { readonly from: number; readonly count: number },
  out: Float32Array,
  at = 0,
): void {
  const size = BLOCK_BYTES[dtype];
  for (let b = 0; b < count; b++) {
    const block = (from + b) * size;
    const scale = halves[data[block] | (data[block + 1] << 8)];
    const to = at + b * BLOCK;
    if (dtype === 'q8_0')
      for (let i = 0; i < BLOCK; i++) out[to + i] = scale * ((data[block + 2 + i] << 24) >> 24);
    else
      for (let i = 0; i < 16; i++) {
        const byte = data[block + 2 + i];
        out[to + i] = scale * ((byte & 15) - 8);
        out[to + i + 16] = scale * ((byte >> 4) - 8);
      }
  }
}

/** Numbers as blocks of `dtype`; their count is a multiple of 32. The largest magnitude of a block decides its scale. */
export function quantise(values: Float32Array, dtype: BlockDType): Uint8Array<ArrayBuffer> {
  const blocks = values.length / BLOCK;
  const size = BLOCK_BYTES[dtype];
  const out = new Uint8Array(blocks * size);
  const scale = new Float32Array(1);
  const bits = new Uint32Array(scale.buffer);
  for (let b = 0; b < blocks; b++) {
    const at = b * size;
    scale[0] =
      dtype === 'q8_0'
        ? bytesOfBlock(values, b * BLOCK, out, at + 2)
        : nibblesOfBlock(values, b * BLOCK, out, at + 2);
    const half = f16Bits(bits[0]);
    out[at] = half & 255;
    out[at + 1] = half >> 8;
  }
  return out;
}

/** q = round(x / d), halves away from zero; returns d = max|x| / 127. */
function bytesOfBlock(x: Float32Array, from: number, out: Uint8Array, to: number): number {
  let largest = 0;
  for (let i = 0; i < BLOCK; i++) largest = Math.max(largest, Math.abs(x[from + i]));
  const d = Math.fround(largest / 127);
  const inverse = d === 0 ? 0 : Math.fround(1 / d);
  for (let i = 0; i < BLOCK; i++) {
    const q = Math.fround(x[from + i] * inverse);
    out[to + i] = q < 0 ? -((0.5 - q) | 0) : (q + 0.5) | 0;
  }
  return d;
}

/** q = ⌊x / d + 8.5⌋ up to 15; returns d = m / −8 for the x = m of the largest magnitude, so that m is q = 0. */
function nibblesOfBlock(x: Float32Array, from: number, out: Uint8Array, to: number): number {
  let extreme = 0;
  for (let i = 0; i < BLOCK; i++)
    if (Math.abs(x[from + i]) > Math.abs(extreme)) extreme = x[from + i];
  const d = Math.fround(extreme / -8);
  const inverse = d === 0 ? 0 : Math.fround(1 / d);
  for (let i = 0; i < 16; i++) {
    const low = Math.fround(Math.fround(x[from + i] * inverse) + 8.5) | 0;
    const high = Math.fround(Math.fround(x[from + i + 16] * inverse) + 8.5) | 0;
    out[to + i] = Math.min(15, low) | (Math.min(15, high) << 4);
  }
  return d;
}
