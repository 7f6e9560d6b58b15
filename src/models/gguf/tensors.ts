// The names of GGUF tensors for those of Hugging Face, and the order of the rows of q and k. Llama files have them as the
// original code rotates, pairs of neighbours; ours, as transformers', are pairs of halves. The converter of llama.cpp put
// row i of half h of a head to 2i + h, and only for llama: the others are stored as they are.
import type { DecoderConfig } from '../config.ts';
import type { Place } from '../files.ts';

const NAMES: Readonly<Record<string, string>> = {
  'model.embed_tokens.weight': 'token_embd.weight',
  'model.norm.weight': 'output_norm.weight',
  'lm_head.weight': 'output.weight',
};

const LAYER_NAMES: Readonly<Record<string, string>> = {
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
  post_attention_layernorm: 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
};

/** The factors of stretched rotary frequencies, where a file has them. */
export const ROPE_FACTORS = 'rope_freqs.weight';

/** The name of a weight in a GGUF file. */
export function ggufName(weight: string): string {
  const inLayer = /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(weight);
  const name = inLayer
    ? `blk.${inLayer[1]}.${LAYER_NAMES[inLayer[2]]}.${inLayer[3]}`
    : NAMES[weight];
  if (name === undefined || name.includes('undefined'))
    throw new Error(`internal: ${weight} has no name in GGUF`);
  return name;
}

const isRotated = (weight: string) => /\.self_attn\.[qk]_proj\.(weight|bias)$/.test(weight);

/** Where a weight lies in a GGUF file of `architecture`. */
export function ggufPlace(weight: string, architecture: string, { headDim }: DecoderConfig): Place {
  const name = ggufName(weight);
  if (architecture !== 'llama' || !isRotated(weight)) return { name };
  const half = headDim / 2;
  return {
    name,
    rowOrder: Array.from(
      { length: headDim },
      (_, row) => 2 * (row % half) + Math.floor(row / half),
    ),
  };
}

/** The order in which rows of a weight of ours go to a GGUF file of `architecture`, or undefined for ours. */
export function ggufRowOrder(
  weight: string,
  architecture: string,
  { headDim }: DecoderConfig,
): readonly number[] | undefined {
  if (architecture !== 'llama' || !isRotated(weight)) return undefined;
  return Array.from({ length: headDim }, (_, row) => (row % 2) * (headDim / 2) + (row >> 1));
}
