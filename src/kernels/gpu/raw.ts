// Weights with the bits they have in a file, for mode webgpu: WGSL can look at the bits of an f32, so that a number of 32 bits
// holds four weights of q8_0, eight of q4_0 or two of 16 bits. GPU.js takes functions in the language of the device by its public
// `addNativeFunction`; nothing of it is changed. What rests on devices leaving the bits of a loaded f32 alone, also of those that are
// no numbers, is tried before it is used (`rawTrial`).
import { BLOCK, BLOCK_BYTES, type BlockDType, isBlocked } from '../blocks.ts';
import type { DType, TypedArray } from '../plan.ts';
import { type BlockReads, overBlocks } from './packed.ts';

/** Types of weights that can stay as they are. */
export type RawDType = BlockDType | 'bf16' | 'f16';

/** Weights to a word. */
export const PER_RAW_WORD: Readonly<Record<RawDType, number>> = {
  q8_0: 4,
  q4_0: 8,
  bf16: 2,
  f16: 2,
};

/** Whether a matrix [O, I] can stay as it is. */
export function staysRaw(dtype: DType, inner: number): dtype is RawDType {
  return isBlocked(dtype) || ((dtype === 'bf16' || dtype === 'f16') && inner % 2 === 0);
}

/** Of a function, in kernels; GPU.js puts `fn_` before it, and spells out what is no letter and no digit. */
const name = (dtype: RawDType, lane: number) => `raw${dtype.replace('_0', '')}at${lane}`;

/** Weight `lane` of a word, in WGSL. */
const DECODE: Readonly<Record<RawDType, (lane: number) => string>> = {
  q8_0: (lane) => `f32(extractBits(bitcast<i32>(word), ${8 * lane}u, 8u))`,
  q4_0: (lane) => `f32(i32(extractBits(bitcast<u32>(word), ${4 * lane}u, 4u)) - 8)`,
  bf16: (lane) => `bitcast<f32>(bitcast<u32>(word) ${lane === 0 ? '<< 16u' : '& 0xffff0000u'})`,
  f16: (lane) => `unpack2x16float(bitcast<u32>(word)).${'xy'[lane]}`,
};

/** What kernels call, by name. */
export const RAW_FUNCTIONS: readonly { readonly name: string; readonly source: string }[] =
  Object.entries(PER_RAW_WORD).flatMap(([key, lanes]) =>
    Array.from({ length: lanes }, (_, lane) => {
      const dtype = key as RawDType;
      return {
        name: name(dtype, lane),
        source: `fn fn_${name(dtype, lane)}(word : f32) -> f32 {\n  return ${DECODE[dtype](lane)};\n}`,
      };
    }),
  );

/** The words of weights in order; of blocks without their scales. */
export function packRawWords(data: TypedArray, dtype: RawDType): Float32Array {
  if (!isBlocked(dtype)) return new Float32Array(data.slice().buffer);
  const size = BLOCK_BYTES[dtype];
  const words = new Uint8Array((data.length / size) * (size - 2));
  for (let from = 0, to = 0; from < data.length; from += size, to += size - 2)
    words.set((data as Uint8Array).subarray(from + 2, from + size), to);
  return new Float32Array(words.buffer);
}

/** Words of a block. */
export const rawWordsOf = (dtype: BlockDType): number => BLOCK / PER_RAW_WORD[dtype];

/**
 * total = Σ_b scale(b) · Σ_i q(b, i) · input(b, i) over `blocks` blocks in ascending order, as statements, in the order of
 * `sumOfBlocks`: the same values in the same accumulators.
 */
export function sumOfRawBlocks(
  total: string,
  { dtype, blocks }: { readonly dtype: BlockDType; readonly blocks: number },
  reads: BlockReads,
): string {
  const word = (w: number) => `word${w}_${total}`;
  return overBlocks(total, blocks, reads, ({ block, part }) => [
    ...Array.from(
      { length: rawWordsOf(dtype) },
      (_, w) => `const ${word(w)} = ${reads.word(block, w)};`,
    ),
    ...slotsOf(dtype).map(
      ({ word: w, lane }, slot) =>
        `${part(slot % 4)} += ${name(dtype, lane)}(${word(w)}) * ${reads.input(block, slot)};`,
    ),
  ]);
}

/** Where weight i of a block is. A byte of q4_0 has weight i in its lower half and i + 16 in its upper one. */
function slotsOf(dtype: BlockDType): readonly { readonly word: number; readonly lane: number }[] {
  return Array.from({ length: BLOCK }, (_, i) => {
    if (dtype === 'q8_0') return { word: i >> 2, lane: i % 4 };
    const byte = i % (BLOCK / 2);
    return { word: byte >> 2, lane: 2 * (byte % 4) + (i < BLOCK / 2 ? 0 : 1) };
  });
}

/**
 * total = Σ_i w(i) · input(i) over `words` words of two weights of 16 bits, as statements, in the order of `sumOf`: four
 * accumulators for two words.
 */
export function sumOfRawPairs(
  total: string,
  { dtype, words }: { readonly dtype: 'bf16' | 'f16'; readonly words: number },
  reads: { word(at: string): string; input(word: string, lane: number): string },
): string {
  const part = (index: number) => `${total}${index}`;
  const counter = `i_${total}`;
  const add = (at: string, from: number) =>
    [0, 1].map(
      (lane) =>
        `${part(from + lane)} += ${name(dtype, lane)}(${reads.word(at)}) * ${reads.input(at, lane)};`,
    );
  const twos = words - (words % 2);
  const loop = [...add(counter, 0), ...add(`${counter} + 1`, 2)];
  const rest = twos < words ? add(String(twos), 0) : [];
  return `${[0, 1, 2, 3].map((index) => `let ${part(index)} = 0;`).join(' ')}
    ${
      twos > 0
        ? `for (let ${counter} = 0; ${counter} < ${twos}; ${counter} += 2) {
      ${loop.join('\n      ')}
    }`
        : ''
    }
    ${rest.join('\n    ')}
    const ${total} = (${part(0)} + ${part(1)}) + (${part(2)} + ${part(3)});`;
}
