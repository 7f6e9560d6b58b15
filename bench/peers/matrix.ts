// The matrix of the products: 4096 x 4096 in q4_0, the same weights for every peer.
import { BLOCK } from '../../src/kernels/blocks.ts';
import { randomBlocks } from './random-gguf.ts';

/** Rows and columns. */
export const SIZE = 4096;

/** Its blocks, row by row. */
export function matrixBlocks(): Uint8Array {
  const chunks = [
    ...randomBlocks('q4_0', { blocks: (SIZE * SIZE) / BLOCK, inner: SIZE, seed: 11 }),
  ];
  const bytes = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
