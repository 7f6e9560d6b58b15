// The configuration of a GGUF file: its metadata as the config.json of the same model, which the architecture then reads.
import * as z from 'zod';
import { FormatError, UnsupportedError } from '../../kernels/errors.ts';
import type { Gguf } from '../../tensor/gguf.ts';
import type { Architecture } from '../architecture.ts';
import { architectures } from '../architectures.ts';
import type { DecoderConfig } from '../config.ts';
import { parse, size, yarnAttention } from '../schema.ts';
import { ROPE_FACTORS } from './tensors.ts';

/** The architectures that are read; files of Mistral models say llama. */
const GGUF_ARCHITECTURES = ['llama', 'qwen2', 'qwen3'] as const;
type GgufArchitecture = (typeof GGUF_ARCHITECTURES)[number];

const MAX_HEAD_DIM = 65_536;

/** f32 numbers were decimals once: the shortest decimal of the same f32 gives 1e-5 back. */
const decimal = z.number().transform(shortestDecimal);
const positive = decimal.pipe(z.number().positive());

const schema = z.looseObject({
  block_count: size,
  embedding_length: size,
  feed_forward_length: size,
  context_length: size,
  expert_count: z.literal(0).optional(),
  'attention.head_count': size,
  'attention.head_count_kv': size.optional(),
  'attention.key_length': size.optional(),
  'attention.value_length': size.optional(),
  'attention.layer_norm_rms_epsilon': positive,
  'attention.sliding_window': z.int().nonnegative().optional(),
  'attention.causal': z.literal(true).optional(),
  'rope.dimension_count': size.optional(),
  'rope.freq_base': positive.optional(),
  'rope.scale_linear': positive.optional(),
  'rope.scaling.type': z.enum(['none', 'linear', 'yarn']).optional(),
  'rope.scaling.factor': positive.optional(),
  'rope.scaling.original_context_length': size.optional(),
  'rope.scaling.finetuned': z.boolean().optional(),
  'rope.scaling.attn_factor': positive.optional(),
  'rope.scaling.yarn_beta_fast': positive.optional(),
  'rope.scaling.yarn_beta_slow': positive.optional(),
});
type Fields = z.output<typeof schema>;

const generalSchema = z.looseObject({
  'general.architecture': z.string(),
  'general.type': z.string().optional(),
  'split.count': z.int().optional(),
  'tokenizer.ggml.bos_token_id': z.int().optional(),
  'tokenizer.ggml.eos_token_id': z.int().optional(),
  'tokenizer.ggml.eot_token_id': z.int().optional(),
  'tokenizer.ggml.eom_token_id': z.int().optional(),
});

/** What `readGgufConfig` finds. */
export interface GgufConfig {
  /** As the file calls it. */
  readonly name: GgufArchitecture;
  readonly architecture: Architecture;
  readonly config: DecoderConfig;
}

/** Reads the metadata; throws FormatErrors and UnsupportedErrors by `file` and key. */
export async function readGgufConfig(gguf: Gguf, file: string): Promise<GgufConfig> {
  const { metadata, tensors } = gguf;
  const general = parse(generalSchema, metadata, file);
  const name = oneOf(file, 'general.architecture', general['general.architecture'], [
    ...GGUF_ARCHITECTURES,
  ]);
  oneOf(file, 'general.type', general['general.type'] ?? 'model', ['model']);
  if ((general['split.count'] ?? 1) > 1)
    throw new UnsupportedError(
      `${file}: split.count: expected a model in one file, got one of ${general['split.count']}; join them first`,
    );
  const fields = readFields(metadata, name, file);
  const embedding = tensors.get('token_embd.weight');
  if (embedding === undefined)
    throw new FormatError(`${file}: token_embd.weight: expected a tensor, got none`);
  const vocab = embedding.shape[0] ?? 0;
  // Some writers put -1 for a token that there is none of.
  const id = (value: number | undefined) =>
    value === undefined || value >= vocab || value < 0 ? null : value;
  const ends = (['eos', 'eot', 'eom'] as const)
    .map((end) => id(general[`tokenizer.ggml.${end}_token_id`]))
    .filter((end) => end !== null);
  const window = fields['attention.sliding_window'] ?? 0;
  const type = name === 'llama' && window > 0 ? 'mistral' : name;
  const json = {
    model_type: type,
    vocab_size: vocab,
    hidden_size: fields.embedding_length,
    intermediate_size: fields.feed_forward_length,
    num_hidden_layers: fields.block_count,
    num_attention_heads: fields['attention.head_count'],
    num_key_value_heads: fields['attention.head_count_kv'] ?? fields['attention.head_count'],
    head_dim: headDimOf(fields, name, file),
    rms_norm_eps: fields['attention.layer_norm_rms_epsilon'],
    max_position_embeddings: fields.context_length,
    rope_theta: fields['rope.freq_base'] ?? 10_000,
    rope_scaling: ropeScaling(fields),
    tie_word_embeddings: !tensors.has('output.weight'),
    attention_bias: type !== 'mistral' && tensors.has('blk.0.attn_q.bias'),
    mlp_bias: type === 'llama' && tensors.has('blk.0.ffn_gate.bias'),
    bos_token_id: id(general['tokenizer.ggml.bos_token_id']),
    eos_token_id: ends,
    ...(window > 0 && { sliding_window: window, use_sliding_window: true, max_window_layers: 0 }),
  };
  const architecture = architectures[type];
  const config = architecture.readConfig(json, file);
  return { name, architecture, config: await withRopeFactors(gguf, config, file) };
}

/** The fields of the architecture without its name in front; what could change a number and is not known is refused. */
function readFields(
  metadata: Readonly<Record<string, unknown>>,
  name: GgufArchitecture,
  file: string,
): Fields {
  const own = Object.entries(metadata)
    .filter(([key]) => key.startsWith(`${name}.`))
    .map(([key, value]) => [key.slice(name.length + 1), value] as const);
  for (const [key, value] of own)
    if (
      /^(rope|attention|expert)|scale|softcap/.test(key) &&
      !Object.hasOwn(schema.shape, key) &&
      value !== 0
    )
      throw new UnsupportedError(`${file}: ${name}.${key}: expected no such key, got ${value}`);
  const scaling = own.find(([key]) => key === 'rope.scaling.type')?.[1] ?? 'none';
  oneOf(file, `${name}.rope.scaling.type`, scaling, ['none', 'linear', 'yarn']);
  const experts = own.find(([key]) => key === 'expert_count')?.[1] ?? 0;
  if (experts !== 0)
    throw new UnsupportedError(`${file}: ${name}.expert_count: expected 0, got ${experts}`);
  return parse(schema, Object.fromEntries(own), `${file}: ${name}`);
}

function headDimOf(fields: Fields, name: string, file: string): number {
  const width = fields.embedding_length / fields['attention.head_count'];
  const headDim = fields['attention.key_length'] ?? width;
  // The order of rows within a head is a list of so many numbers.
  if (headDim > MAX_HEAD_DIM)
    throw new FormatError(
      `${file}: ${name}.attention.key_length: expected heads of at most ${MAX_HEAD_DIM}, got ${headDim}`,
    );
  for (const key of ['attention.value_length', 'rope.dimension_count'] as const)
    if ((fields[key] ?? headDim) !== headDim)
      throw new UnsupportedError(
        `${file}: ${name}.${key}: expected ${headDim} as the width of a head, got ${fields[key]}`,
      );
  if (!Number.isInteger(headDim))
    throw new FormatError(
      `${file}: ${name}.embedding_length: expected a multiple of head_count ${fields['attention.head_count']}, got ${fields.embedding_length}`,
    );
  return headDim;
}

function ropeScaling(fields: Fields): Record<string, unknown> | null {
  const type = fields['rope.scaling.type'] ?? (fields['rope.scale_linear'] ? 'linear' : 'none');
  const factor = fields['rope.scaling.factor'] ?? fields['rope.scale_linear'];
  if (type === 'none' || (type === 'linear' && (factor ?? 1) === 1)) return null;
  if (type === 'linear') return { rope_type: type, factor };
  const attention = fields['rope.scaling.attn_factor'];
  return {
    rope_type: 'yarn',
    factor,
    original_max_position_embeddings: fields['rope.scaling.original_context_length'],
    beta_fast: fields['rope.scaling.yarn_beta_fast'],
    beta_slow: fields['rope.scaling.yarn_beta_slow'],
    // The file's factor comes on top of YaRN's own.
    ...(attention !== undefined && {
      attention_factor: attention * yarnAttention(factor ?? 1),
    }),
  };
}

/** Frequencies that Llama 3 stretches are divided by a tensor of factors. */
async function withRopeFactors(
  gguf: Gguf,
  config: DecoderConfig,
  file: string,
): Promise<DecoderConfig> {
  const entry = gguf.tensors.get(ROPE_FACTORS);
  if (entry === undefined) return config;
  const { rope, headDim } = config;
  if (rope.type !== 'default')
    throw new UnsupportedError(
      `${file}: ${ROPE_FACTORS}: expected either factors or rope.scaling, got both`,
    );
  if (entry.dtype !== 'f32' || entry.shape.length !== 1 || entry.shape[0] !== headDim / 2)
    throw new FormatError(
      `${file}: ${ROPE_FACTORS}: expected F32 [${headDim / 2}], got ${entry.type} [${entry.shape.join(', ')}]`,
    );
  const factors = Array.from(await gguf.read(ROPE_FACTORS));
  if (!factors.every((factor) => factor > 0 && Number.isFinite(factor)))
    throw new FormatError(`${file}: ${ROPE_FACTORS}: expected positive factors, got others`);
  return { ...config, rope: { type: 'factors', theta: rope.theta, factors } };
}

function oneOf<const Name extends string>(
  file: string,
  key: string,
  value: unknown,
  names: readonly Name[],
): Name {
  const found = names.find((name) => name === value);
  if (found === undefined)
    throw new UnsupportedError(
      `${file}: ${key}: expected ${names.map((name) => JSON.stringify(name)).join(' or ')}, got ${JSON.stringify(value)}`,
    );
  return found;
}

function shortestDecimal(value: number): number {
  for (let digits = 1; digits < 10; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
