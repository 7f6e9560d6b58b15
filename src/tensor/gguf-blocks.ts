// The block types of GGUF that no kernel runs on, to f32, in the layouts of ggml (ggml-common.h in ggml-org/ggml; f16 are
// little endian). Blocks of 32 have one scale; super-blocks of 256 have scales of scales.
import { f16Table } from '../kernels/dtype.ts';

type Unpack = (bytes: Uint8Array, out: Float32Array) => void;

/** Calls `block` with the first byte of each block and the first of its `size` elements. */
function eachBlock(
  bytes: Uint8Array,
  { bytes: step, size }: { readonly bytes: number; readonly size: number },
  block: (at: number, to: number) => void,
): void {
  for (let at = 0, to = 0; at < bytes.length; at += step, to += size) block(at, to);
}

function half(bytes: Uint8Array, at: number): number {
  return f16Table()[bytes[at] | (bytes[at + 1] << 8)];
}

/** f16 d, f16 m, 16 bytes: w = d·q + m, q the low halves of the bytes and then the high ones. */
export const unpackQ4_1: Unpack = (bytes, out) => {
  eachBlock(bytes, { bytes: 20, size: 32 }, (at, to) => {
    const [d, m] = [half(bytes, at), half(bytes, at + 2)];
    for (let j = 0; j < 16; j++) {
      const byte = bytes[at + 4 + j];
      out[to + j] = d * (byte & 15) + m;
      out[to + j + 16] = d * (byte >> 4) + m;
    }
  });
};

/** f16 d, 32 high bits, 16 bytes: w = d·(q − 16), bit 4 of weight j is high bit j. */
export const unpackQ5_0: Unpack = (bytes, out) => {
  eachBlock(bytes, { bytes: 22, size: 32 }, (at, to) => {
    const d = half(bytes, at);
    for (let j = 0; j < 16; j++) {
      const byte = bytes[at + 6 + j];
      out[to + j] = d * (((byte & 15) | (bit(bytes, at + 2, j) << 4)) - 16);
      out[to + j + 16] = d * (((byte >> 4) | (bit(bytes, at + 2, j + 16) << 4)) - 16);
    }
  });
};

/** f16 d, f16 m, 32 high bits, 16 bytes: w = d·q + m. */
export const unpackQ5_1: Unpack = (bytes, out) => {
  eachBlock(bytes, { bytes: 24, size: 32 }, (at, to) => {
    const [d, m] = [half(bytes, at), half(bytes, at + 2)];
    for (let j = 0; j < 16; j++) {
      const byte = bytes[at + 8 + j];
      out[to + j] = d * ((byte & 15) | (bit(bytes, at + 4, j) << 4)) + m;
      out[to + j + 16] = d * ((byte >> 4) | (bit(bytes, at + 4, j + 16) << 4)) + m;
    }
  });
};

function bit(bytes: Uint8Array, at: number, index: number): number {
  return (bytes[at + (index >> 3)] >> (index & 7)) & 1;
}

/** f16 d, f16 e, 12 bytes of scales and minima, 128 bytes: w = d·s·q − e·m, s and m of each 32 weights. */
export const unpackQ4_K: Unpack = (bytes, out) => {
  eachBlock(bytes, { bytes: 144, size: 256 }, (at, to) => {
    for (let sub = 0; sub < 8; sub++) {
      const { scale, minimum } = subScale(bytes, at, sub);
      // Every 32 bytes have one sub-block in their low halves and the next in their high ones.
      const from = at + 16 + (sub >> 1) * 32;
      const shift = (sub & 1) * 4;
      for (let j = 0; j < 32; j++)
        out[to + sub * 32 + j] = scale * ((bytes[from + j] >> shift) & 15) - minimum;
    }
  });
};

/** As Q4_K with 32 bytes of high bits after the scales: bit `sub` of byte j is bit 4 of weight j of sub-block `sub`. */
export const unpackQ5_K: Unpack = (bytes, out) => {
  eachBlock(bytes, { bytes: 176, size: 256 }, (at, to) => {
    for (let sub = 0; sub < 8; sub++) {
      const { scale, minimum } = subScale(bytes, at, sub);
      const from = at + 48 + (sub >> 1) * 32;
      const shift = (sub & 1) * 4;
      for (let j = 0; j < 32; j++) {
        const high = (bytes[at + 16 + j] >> sub) & 1;
        out[to + sub * 32 + j] =
          scale * (((bytes[from + j] >> shift) & 15) | (high << 4)) - minimum;
      }
    }
  });
};

/**
 * d·s and e·m of a sub-block. Scales and minima have 6 bits: the first four of each lie in the low bits of bytes 0 .. 7;
 * the others have their low halves in bytes 8 .. 11 and their top two bits in what bytes 0 .. 7 left over.
 */
function subScale(bytes: Uint8Array, at: number, sub: number) {
  const packed = at + 4;
  const [s, m] =
    sub < 4
      ? [bytes[packed + sub] & 63, bytes[packed + sub + 4] & 63]
      : [
          (bytes[packed + sub + 4] & 15) | ((bytes[packed + sub - 4] >> 6) << 4),
          (bytes[packed + sub + 4] >> 4) | ((bytes[packed + sub] >> 6) << 4),
        ];
  return { scale: half(bytes, at) * s, minimum: half(bytes, at + 2) * m };
}

/** 128 bytes of low halves, 64 of high pairs of bits, 16 i8 scales, f16 d: w = d·s·(q − 32), s of each 16 weights. */
export const unpackQ6_K: Unpack = (bytes, out) => {
  eachBlock(bytes, { bytes: 210, size: 256 }, (at, to) => {
    const d = half(bytes, at + 208);
    for (let i = 0; i < 256; i++) {
      // In each half of the block, quarters 0 and 1 are low halves of bytes, 2 and 3 the high ones of the same bytes.
      const quarter = (i >> 5) & 3;
      const side = i >> 7;
      const low = bytes[at + side * 64 + (quarter & 1) * 32 + (i & 31)] >> ((quarter >> 1) * 4);
      const high = bytes[at + 128 + side * 32 + (i & 31)] >> (quarter * 2);
      const scale = (bytes[at + 192 + (i >> 4)] << 24) >> 24;
      out[to + i] = d * scale * (((low & 15) | ((high & 3) << 4)) - 32);
    }
  });
};
