// What every config.json has in common: the fields, their checks, and the step from Hugging Face's names to ours.
// Defaults are those of the configuration classes of transformers 5; a model file overrides the fields in which its
// class differs. Files are other people's: unknown keys are kept in `raw`, values we cannot honour are refused.
import * as z from 'zod';
import { FormatError, UnsupportedError } from '../kernels/errors.ts';
import type { DecoderConfig, RopeConfig } from './config.ts';

/** A count or a width. */
export const size = z.int().positive();
/** A token id, or null for none. */
export const token = z.int().nullable();
/** One end-of-text token, several, or null for none. */
export const tokens = z
  .union([z.int(), z.array(z.int())], 'expected an integer, a list of integers or null')
  .nullable();

const positive = z.number().positive();

const ropeFields = z.looseObject({
  rope_type: z.string().nullish(),
  type: z.string().nullish(),
  rope_theta: positive.nullish(),
  factor: positive.nullish(),
  original_max_position_embeddings: positive.nullish(),
  low_freq_factor: positive.nullish(),
  high_freq_factor: positive.nullish(),
  attention_factor: positive.nullish(),
  beta_fast: z.number().nonnegative().nullish(),
  beta_slow: z.number().nonnegative().nullish(),
  mscale: z.number().nullish(),
  mscale_all_dim: z.number().nullish(),
  truncate: z.boolean().optional(),
  partial_rotary_factor: positive.nullish(),
  // How the weights came to be, without a meaning for numbers.
  finetuned: z.boolean().nullish(),
});
const ROPE_TYPES = ['default', 'linear', 'llama3', 'yarn'];

/** The fields of every decoder; spread into the object of a model file. */
export const decoderFields = {
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  // The bound only keeps a broken file from asking for a weight map without end.
  num_hidden_layers: size.max(4096),
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  hidden_act: z.string().default('silu'),
  rms_norm_eps: positive.default(1e-6),
  tie_word_embeddings: z.boolean().default(false),
  rope_theta: positive.nullish(),
  rope_scaling: ropeFields.nullish(),
  rope_parameters: ropeFields.nullish(),
  original_max_position_embeddings: positive.nullish(),
  partial_rotary_factor: positive.nullish(),
  layer_types: z.array(z.string()).nullish(),
  quantization_config: z.unknown().optional(),
  torch_dtype: z.string().nullish(),
  dtype: z.string().nullish(),
};

const common = z.looseObject({
  ...decoderFields,
  model_type: z.string(),
  max_position_embeddings: size,
  bos_token_id: token,
  eos_token_id: tokens,
});

/** A checked config.json: the fields above and the four every class gives its own default. */
type DecoderFields = z.infer<typeof common>;

/** The part of a config that means the same in every model file. */
type CommonConfig = Omit<DecoderConfig, 'qkvBias' | 'outBias' | 'mlpBias' | 'qkNorm' | 'windows'>;

/** Checks a file from outside; throws a FormatError that lists every wrong key. */
export function parse<Fields>(schema: z.ZodType<Fields>, json: unknown, file: string): Fields {
  const result = schema.safeParse(json);
  if (!result.success) throw new FormatError(`${file}: ${z.prettifyError(result.error)}`);
  return result.data;
}

/** Refuses a value this version does not do, by name of its key. */
export function expectValue(file: string, key: string, value: unknown, expected: unknown): void {
  if (value !== expected) throw unsupported(file, key, JSON.stringify(expected), value);
}

/** Fields and common part of a config.json. */
export function readCommon<Fields extends DecoderFields>(
  schema: z.ZodType<Fields>,
  json: unknown,
  file: string,
): { readonly fields: Fields; readonly config: CommonConfig } {
  const fields = parse(schema, json, file);
  expectValue(file, 'hidden_act', fields.hidden_act, 'silu');
  if (fields.quantization_config != null)
    throw unsupported(file, 'quantization_config', 'none', fields.quantization_config);
  const heads = fields.num_attention_heads;
  const kvHeads = fields.num_key_value_heads ?? heads;
  if (heads % kvHeads !== 0)
    throw new FormatError(
      `${file}: num_key_value_heads: expected a divisor of num_attention_heads ${heads}, got ${kvHeads}`,
    );
  const config: CommonConfig = {
    modelType: fields.model_type,
    layers: fields.num_hidden_layers,
    width: fields.hidden_size,
    heads,
    kvHeads,
    headDim: readHeadDim(fields, file),
    ffnWidth: fields.intermediate_size,
    vocab: fields.vocab_size,
    normEps: fields.rms_norm_eps,
    maxPositions: fields.max_position_embeddings,
    rope: readRope(fields, file),
    tied: fields.tie_word_embeddings,
    bosToken: fields.bos_token_id,
    eosTokens: fields.eos_token_id === null ? [] : [fields.eos_token_id].flat(),
    raw: json as Record<string, unknown>,
  };
  return { fields, config };
}

/**
 * Window of each layer, 0 for none: as `layer_types` says, or else `window` from the layer `first` on. A null window
 * means that no layer may slide.
 */
export function readWindows(
  fields: Pick<DecoderFields, 'layer_types' | 'num_hidden_layers'>,
  file: string,
  { window, first = 0 }: { readonly window: number | null; readonly first?: number },
): number[] {
  const { layer_types: types, num_hidden_layers: layers } = fields;
  if (types && types.length !== layers)
    throw new FormatError(`${file}: layer_types: expected ${layers} entries, got ${types.length}`);
  return Array.from({ length: layers }, (_, l) => {
    if (!types) return window !== null && l >= first ? window : 0;
    if (types[l] === 'full_attention') return 0;
    const known = window === null ? '"full_attention"' : '"full_attention" or "sliding_attention"';
    if (types[l] !== 'sliding_attention' || window === null)
      throw unsupported(file, `layer_types[${l}]`, known, types[l]);
    return window;
  });
}

function readHeadDim(fields: DecoderFields, file: string): number {
  const { hidden_size: width, num_attention_heads: heads } = fields;
  if (!fields.head_dim && width % heads !== 0)
    throw new FormatError(
      `${file}: hidden_size: expected a multiple of num_attention_heads ${heads}, got ${width}`,
    );
  const headDim = fields.head_dim ?? width / heads;
  if (headDim % 2 !== 0)
    throw new FormatError(`${file}: head_dim: expected an even number, got ${headDim}`);
  return headDim;
}

/** The rotary parameters that count: as in transformers the old ones, where they say anything. */
export const ropeGiven = <Parameters extends object>(fields: {
  readonly rope_scaling?: Parameters | null | undefined;
  readonly rope_parameters?: Parameters | null | undefined;
}): Parameters | null | undefined => {
  const { rope_scaling: old, rope_parameters: fresh } = fields;
  return old && Object.keys(old).length > 0 ? old : fresh;
};

/** Rotary parameters from `rope_scaling` and `rope_theta` (transformers 4) or `rope_parameters` (5). */
function readRope(fields: DecoderFields, file: string): RopeConfig {
  const values = ropeGiven(fields) ?? {};
  const where = values === fields.rope_scaling ? 'rope_scaling' : 'rope_parameters';
  const type = values.rope_type ?? values.type ?? 'default';
  const nested = Object.entries(values).find(
    ([, value]) => typeof value === 'object' && value !== null && !Array.isArray(value),
  );
  if (nested !== undefined)
    throw unsupported(
      file,
      `${where}.${nested[0]}`,
      'one set of parameters for all layers',
      nested[1],
    );
  if (!ROPE_TYPES.includes(type))
    throw unsupported(file, `${where}.rope_type`, '"default", "linear", "llama3" or "yarn"', type);
  // An unknown rotary parameter would change every number after it.
  for (const [key, value] of Object.entries(values))
    if (!Object.hasOwn(ropeFields.shape, key))
      throw unsupported(file, `${where}.${key}`, 'no such parameter', value);
  if (type === 'default' && values.factor != null && values.factor !== 1)
    throw unsupported(file, `${where}.factor`, 'none for rope_type "default"', values.factor);
  expectValue(file, `${where}.partial_rotary_factor`, values.partial_rotary_factor ?? 1, 1);
  expectValue(file, 'partial_rotary_factor', fields.partial_rotary_factor ?? 1, 1);

  const need = (key: 'factor' | 'low_freq_factor' | 'high_freq_factor'): number => {
    const value = values[key];
    if (value == null)
      throw new FormatError(`${file}: ${where}.${key}: expected a positive number, got ${value}`);
    return value;
  };
  const theta = values.rope_theta ?? fields.rope_theta ?? 10_000;
  const originalMaxPositions =
    fields.original_max_position_embeddings ??
    values.original_max_position_embeddings ??
    fields.max_position_embeddings;
  switch (type) {
    case 'default':
      return { type, theta };
    case 'linear':
      return { type, theta, factor: need('factor') };
    case 'llama3': {
      const lowFreqFactor = need('low_freq_factor');
      const highFreqFactor = need('high_freq_factor');
      if (highFreqFactor <= lowFreqFactor)
        throw new FormatError(
          `${file}: ${where}.high_freq_factor: expected more than low_freq_factor ${lowFreqFactor}, got ${highFreqFactor}`,
        );
      return {
        type,
        theta,
        factor: need('factor'),
        lowFreqFactor,
        highFreqFactor,
        originalMaxPositions,
      };
    }
    case 'yarn': {
      // A null factor means the ratio of the context lengths; an absent one is a mistake.
      const ratio = fields.max_position_embeddings / originalMaxPositions;
      const factor = values.factor === null ? ratio : need('factor');
      return {
        type,
        theta,
        factor,
        originalMaxPositions,
        attentionFactor:
          values.attention_factor ?? yarnAttention(factor, values.mscale, values.mscale_all_dim),
        betaFast: values.beta_fast || 32,
        betaSlow: values.beta_slow || 1,
        truncate: values.truncate ?? true,
      };
    }
    default:
      throw new Error(`internal: no rotary parameters of type ${type}`);
  }
}

/** 0.1·mscale·ln(factor) + 1, or the ratio of two such numbers when both scales are given. */
export function yarnAttention(
  factor: number,
  mscale?: number | null,
  mscaleAllDim?: number | null,
): number {
  const scaled = (by: number) => yarnScale(factor, by);
  return mscale && mscaleAllDim ? scaled(mscale) / scaled(mscaleAllDim) : scaled(1);
}

/** 0.1·by·ln(factor) + 1 where positions are stretched (Peng et al., "YaRN", 2023). */
export const yarnScale = (factor: number, by: number): number =>
  factor <= 1 ? 1 : 0.1 * by * Math.log(factor) + 1;

function unsupported(file: string, key: string, expected: string, got: unknown): UnsupportedError {
  return new UnsupportedError(`${file}: ${key}: expected ${expected}, got ${JSON.stringify(got)}`);
}
