// The metadata of a GGUF file of a model that came from a Hugging Face folder: the keys llama.cpp wants, with the types it
// wants them in.
import { UnsupportedError } from '../../kernels/errors.ts';
import type { GgufField } from '../../tensor/gguf-types.ts';
import type { DecoderConfig, RopeConfig } from '../config.ts';
import { inverseFrequencies } from '../rope.ts';
import { yarnAttention } from '../schema.ts';

/** A key with its value. */
export type Entry = readonly [string, GgufField];

export const u32 = (value: number): GgufField => ({ type: 'u32', value });
export const text = (value: string): GgufField => ({ type: 'string', value });
export const flag = (value: boolean): GgufField => ({ type: 'bool', value });
const f32 = (value: number): GgufField => ({ type: 'f32', value });

/** The architecture of a file for a model type: Mistral is a llama with a window. */
export function ggufArchitecture({ modelType }: DecoderConfig): string {
  return modelType === 'mistral' ? 'llama' : modelType;
}

/** What the configuration becomes; throws an UnsupportedError by key for what a file cannot say. */
export function configFields(config: DecoderConfig, where: string): Entry[] {
  const architecture = ggufArchitecture(config);
  const entries: Entry[] = [
    ['context_length', u32(config.maxPositions)],
    ['embedding_length', u32(config.width)],
    ['block_count', u32(config.layers)],
    ['feed_forward_length', u32(config.ffnWidth)],
    ['vocab_size', u32(config.vocab)],
    ['attention.head_count', u32(config.heads)],
    ['attention.head_count_kv', u32(config.kvHeads)],
    ['attention.key_length', u32(config.headDim)],
    ['attention.value_length', u32(config.headDim)],
    ['attention.layer_norm_rms_epsilon', f32(config.normEps)],
    ...windowFields(config.windows, where),
    ['rope.dimension_count', u32(config.headDim)],
    ['rope.freq_base', f32(config.rope.theta)],
    ...ropeFields(config.rope, where),
  ];
  return entries.map(([key, field]) => [`${architecture}.${key}`, field]);
}

function windowFields(windows: readonly number[], where: string): Entry[] {
  const [first] = windows;
  if (windows.some((window) => window !== first))
    throw new UnsupportedError(
      `${where}: sliding_window: expected one window for all layers, which is all a GGUF says, got ${windows.join(', ')}`,
    );
  return first > 0 ? [['attention.sliding_window', u32(first)]] : [];
}

/** Frequencies of Llama 3 are a tensor instead (`ropeFactors`). */
function ropeFields(rope: RopeConfig, where: string): Entry[] {
  if (rope.type === 'linear')
    return [
      ['rope.scaling.type', text('linear')],
      ['rope.scaling.factor', f32(rope.factor)],
    ];
  if (rope.type !== 'yarn') return [];
  if (!rope.truncate)
    throw new UnsupportedError(`${where}: truncate: expected true for YaRN in a GGUF, got false`);
  // The file's factor comes on top of YaRN's own.
  const attention = rope.attentionFactor / yarnAttention(rope.factor);
  return [
    ['rope.scaling.type', text('yarn')],
    ['rope.scaling.factor', f32(rope.factor)],
    ['rope.scaling.original_context_length', u32(rope.originalMaxPositions)],
    ...(attention === 1 ? [] : [['rope.scaling.attn_factor', f32(attention)] as const]),
    ['rope.scaling.yarn_beta_fast', f32(rope.betaFast)],
    ['rope.scaling.yarn_beta_slow', f32(rope.betaSlow)],
  ];
}

/** What each frequency is divided by, f32 [D/2], or null where plain or scaled frequencies say it. */
export function ropeFactors({ rope, headDim }: DecoderConfig): Float32Array | null {
  if (rope.type !== 'llama3' && rope.type !== 'factors') return null;
  const plain = inverseFrequencies({ type: 'default', theta: rope.theta }, headDim).inverse;
  const stretched = inverseFrequencies(rope, headDim).inverse;
  return Float32Array.from(plain, (frequency, d) => frequency / stretched[d]);
}
