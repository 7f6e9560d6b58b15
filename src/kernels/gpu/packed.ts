// Weights in blocks of 32 as GPU.js can hold them: every value is an f32, whose 24 bits of integer take three bytes or six halves
// of a byte. A block is its words, the last one filled up with zeros, and a scale in another array.
import { BLOCK, BLOCK_BYTES, type BlockDType } from '../blocks.ts';
import { f16Table } from '../dtype.ts';

/** Weights a word, and what is added to each so that none is below zero. */
const PER_WORD: Readonly<Record<BlockDType, number>> = { q8_0: 3, q4_0: 6 };
const SHIFT: Readonly<Record<BlockDType, number>> = { q8_0: 128, q4_0: 8 };

/** Words a block. */
export const wordsOf = (dtype: BlockDType): number => Math.ceil(BLOCK / PER_WORD[dtype]);

/** The words of blocks, in order. */
export function packWords(bytes: Uint8Array, dtype: BlockDType): Float32Array {
  const size = BLOCK_BYTES[dtype];
  const blocks = bytes.length / size;
  const words = wordsOf(dtype);
  const perWord = PER_WORD[dtype];
  const base = 24 / perWord;
  const out = new Float32Array(blocks * words);
  const raw = new Uint8Array(words * perWord);
  for (let b = 0; b < blocks; b++) {
    const from = b * size + 2;
    raw.fill(SHIFT[dtype]);
    // The halves of q4_0 are stored with 8 added.
    if (dtype === 'q8_0') for (let i = 0; i < BLOCK; i++) raw[i] = bytes[from + i] ^ 128;
    else
      for (let i = 0; i < BLOCK / 2; i++) {
        raw[i] = bytes[from + i] & 15;
        raw[i + BLOCK / 2] = bytes[from + i] >> 4;
      }
    for (let w = 0; w < words; w++) {
      let word = 0;
      for (let i = perWord - 1; i >= 0; i--) word = (word << base) | raw[w * perWord + i];
      out[b * words + w] = word;
    }
  }
  return out;
}

/** The scales of blocks, in order. */
export function packScales(bytes: Uint8Array, dtype: BlockDType): Float32Array {
  const size = BLOCK_BYTES[dtype];
  const halves = f16Table();
  return Float32Array.from(
    { length: bytes.length / size },
    (_, b) => halves[bytes[b * size] | (bytes[b * size + 1] << 8)],
  );
}

/**
 * total = Σ_b scale(b) · Σ_i q(b, i) · input(32·b + i) over `blocks` blocks in ascending order, as statements. Four accumulators
 * within a block.
 */
export function sumOfBlocks(
  total: string,
  { dtype, blocks }: { readonly dtype: BlockDType; readonly blocks: number },
  reads: BlockReads,
): string {
  const word = (w: number) => `word${w}_${total}`;
  const words = wordsOf(dtype);
  const perWord = PER_WORD[dtype];
  const bits = 24 / perWord;
  // Divided by powers of two, which is exact: operators on bits are loops in GL.
  const rest = (w: number, i: number) => (i === 0 ? word(w) : `rest${w}at${i}_${total}`);
  return overBlocks(total, blocks, reads, ({ block, part }) =>
    Array.from({ length: words }, (_, w) => {
      const taken = Math.min(perWord, BLOCK - w * perWord);
      const terms = Array.from({ length: taken }, (_, i) => {
        const slot = w * perWord + i;
        const last = i === perWord - 1;
        const next = `const ${rest(w, i + 1)} = Math.floor(${rest(w, i)} * ${1 / 2 ** bits});`;
        const value = last ? rest(w, i) : `${rest(w, i)} - ${2 ** bits} * ${rest(w, i + 1)}`;
        return `${last ? '' : next}
      ${part(slot % 4)} += (${value} - ${SHIFT[dtype]}) * ${reads.input(block, slot)};`;
      });
      return `const ${word(w)} = ${reads.word(block, w)};
      ${terms.join('\n      ')}`;
    }),
  );
}

/** Where the numbers of a product over blocks are. */
export interface BlockReads {
  /** Word `w` of a block. */
  word(block: string, w: number): string;
  scale(block: string): string;
  /** Input `i` of those of a block. */
  input(block: string, i: number): string;
}

/** The loop over blocks around `linesOf`, which add a block's products to four accumulators, `part(0)` to `part(3)`. */
export function overBlocks(
  total: string,
  blocks: number,
  { scale }: Pick<BlockReads, 'scale'>,
  linesOf: (inside: {
    readonly block: string;
    readonly part: (lane: number) => string;
  }) => readonly string[],
): string {
  const block = `block_${total}`;
  const part = (lane: number) => `part${lane}_${total}`;
  return `let ${total} = 0;
    for (let ${block} = 0; ${block} < ${blocks}; ${block}++) {
      ${[0, 1, 2, 3].map((lane) => `let ${part(lane)} = 0;`).join(' ')}
      ${linesOf({ block, part }).join('\n      ')}
      ${total} += ((${part(0)} + ${part(1)}) + (${part(2)} + ${part(3)})) * ${scale(block)};
    }`;
}
