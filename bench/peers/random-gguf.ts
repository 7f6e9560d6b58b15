// A Llama of a given shape with random weights as a GGUF file. Blocks are made as they lie in the file, so that a model of
// 1.1B parameters takes seconds. Scales are those of trained weights: with others, activations would grow or become
// subnormal, which changes the time.
import { existsSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { Float16Array } from '@petamoriken/float16';
import { BLOCK, BLOCK_BYTES } from '../../src/kernels/blocks.ts';
import type { GgufField } from '../../src/tensor/gguf-types.ts';
import { type GgufTensor, writeGguf } from '../../src/tensor/gguf-writer.ts';
import type { DecoderShape, PeerDType } from './peer.ts';

/** TinyLlama-1.1B. */
export const TINY_LLAMA: DecoderShape = {
  layers: 22,
  width: 2048,
  ffnWidth: 5632,
  heads: 32,
  kvHeads: 4,
  vocab: 32_000,
};

/** For smoke runs. */
export const SMALL: DecoderShape = {
  layers: 2,
  width: 128,
  ffnWidth: 192,
  heads: 4,
  kvHeads: 2,
  vocab: 512,
};

const CONTEXT = 2048;
/** Blocks made at a time. */
const CHUNK = 65_536;

/** The path of the file, which is made if it is not there. */
export async function randomGguf(
  folder: string,
  shape: DecoderShape,
  dtype: PeerDType,
): Promise<string> {
  const file = `${folder}/random-${shape.layers}x${shape.width}-${dtype}.gguf`;
  if (existsSync(file)) return file;
  await mkdir(folder, { recursive: true });
  // Under another name until it is whole.
  await writeGguf(`${file}.part`, { metadata: metadata(shape), tensors: tensors(shape, dtype) });
  await rename(`${file}.part`, file);
  return file;
}

/** Blocks of a matrix whose rows have `inner` weights: uniform, with mean 0 and variance 1 / inner. */
export function* randomBlocks(
  dtype: PeerDType,
  {
    blocks,
    inner,
    seed,
  }: { readonly blocks: number; readonly inner: number; readonly seed: number },
): Generator<Uint8Array> {
  // The root of the mean square of n integers from −n/2 to n/2 − 1, for n = 128 and 16.
  const deviation = Math.sqrt(dtype === 'q8_0' ? 1365.5 : 21.5);
  const scale = new Float16Array([1 / (deviation * Math.sqrt(inner))]);
  const [positive] = new Uint16Array(scale.buffer as ArrayBuffer);
  const stride = BLOCK_BYTES[dtype] / 2;
  let state = seed | 1;
  for (let done = 0; done < blocks; done += CHUNK) {
    const count = Math.min(CHUNK, blocks - done);
    const words = new Uint32Array(Math.ceil((count * stride) / 2));
    for (let i = 0; i < words.length; i++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      // Every byte of q8_0 from −64 to 63, because quantisers never give −128; q4_0 takes all bits.
      words[i] = dtype === 'q8_0' ? ((state | 0x80808080) - 0x40404040) ^ 0x80808080 : state;
    }
    // The integers have mean −1/2: random signs of the scales take it from the weights.
    const halves = new Uint16Array(words.buffer, 0, count * stride);
    for (let at = 0; at < halves.length; at += stride) halves[at] = positive | (halves[at] << 15);
    yield new Uint8Array(words.buffer, 0, count * BLOCK_BYTES[dtype]);
  }
}

function tensors(shape: DecoderShape, dtype: PeerDType): GgufTensor[] {
  const { layers, width, ffnWidth, vocab, heads, kvHeads } = shape;
  const kvWidth = (width / heads) * kvHeads;
  let seed = 1;
  const matrix = (name: string, outer: number, inner: number): GgufTensor => {
    seed += 7919;
    const parts = { blocks: (outer * inner) / BLOCK, inner, seed };
    return {
      name: `${name}.weight`,
      dtype,
      shape: [outer, inner],
      chunks: () => randomBlocks(dtype, parts),
    };
  };
  const ones = (name: string): GgufTensor => ({
    name: `${name}.weight`,
    dtype: 'f32',
    shape: [width],
    chunks: () => [new Float32Array(width).fill(1)],
  });
  const layer = (l: number) => [
    ones(`blk.${l}.attn_norm`),
    matrix(`blk.${l}.attn_q`, width, width),
    matrix(`blk.${l}.attn_k`, kvWidth, width),
    matrix(`blk.${l}.attn_v`, kvWidth, width),
    matrix(`blk.${l}.attn_output`, width, width),
    ones(`blk.${l}.ffn_norm`),
    matrix(`blk.${l}.ffn_gate`, ffnWidth, width),
    matrix(`blk.${l}.ffn_up`, ffnWidth, width),
    matrix(`blk.${l}.ffn_down`, width, ffnWidth),
  ];
  return [
    matrix('token_embd', vocab, width),
    ...Array.from({ length: layers }, (_, l) => layer(l)).flat(),
    ones('output_norm'),
    matrix('output', vocab, width),
  ];
}

function metadata(shape: DecoderShape): [string, GgufField][] {
  const u32 = (value: number): GgufField => ({ type: 'u32', value });
  const f32 = (value: number): GgufField => ({ type: 'f32', value });
  const text = (value: string): GgufField => ({ type: 'string', value });
  const bytes = Array.from({ length: 256 }, (_, byte) => {
    const digits = byte.toString(16).toUpperCase().padStart(2, '0');
    return `<0x${digits}>`;
  });
  const special = ['<unk>', '<s>', '</s>', ...bytes];
  const words = Array.from({ length: shape.vocab - special.length }, (_, index) => `word${index}`);
  const types = [2, 3, 3, ...bytes.map(() => 6), ...words.map(() => 1)];
  return [
    ['general.architecture', text('llama')],
    ['llama.context_length', u32(CONTEXT)],
    ['llama.embedding_length', u32(shape.width)],
    ['llama.block_count', u32(shape.layers)],
    ['llama.feed_forward_length', u32(shape.ffnWidth)],
    ['llama.attention.head_count', u32(shape.heads)],
    ['llama.attention.head_count_kv', u32(shape.kvHeads)],
    ['llama.attention.layer_norm_rms_epsilon', f32(1e-5)],
    ['llama.rope.dimension_count', u32(shape.width / shape.heads)],
    ['llama.rope.freq_base', f32(10_000)],
    ['llama.vocab_size', u32(shape.vocab)],
    ['tokenizer.ggml.model', text('llama')],
    ['tokenizer.ggml.tokens', { type: 'array', of: 'string', value: [...special, ...words] }],
    [
      'tokenizer.ggml.scores',
      { type: 'array', of: 'f32', value: Float32Array.from(types, (_, index) => -index) },
    ],
    ['tokenizer.ggml.token_type', { type: 'array', of: 'i32', value: Int32Array.from(types) }],
    ['tokenizer.ggml.bos_token_id', u32(1)],
    ['tokenizer.ggml.eos_token_id', u32(2)],
    ['tokenizer.ggml.unknown_token_id', u32(0)],
  ];
}
