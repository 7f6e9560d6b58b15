// What tokenizer.json and tokenizer_config.json say together: checked, and completed the way transformers 5 does it.
// Special tokens around a text: `add_bos_token` or `add_eos_token` in tokenizer_config.json replace the post-processor,
// also when they are false or null; without both the post-processor of tokenizer.json decides.
import * as z from 'zod';
import { FormatError, UnsupportedError } from '../kernels/errors.ts';

const maxId = 2 ** 24;
const idSchema = z
  .int()
  .min(0)
  .max(maxId - 1);
const addedFields = {
  content: z.string().min(1),
  special: z.boolean().default(false),
  single_word: z.boolean().default(false),
};
const addedTokenSchema = z.looseObject({ id: idSchema, ...addedFields });
const jsonSchema = z.looseObject({
  added_tokens: z.array(addedTokenSchema).nullish(),
  normalizer: z.unknown(),
  pre_tokenizer: z.unknown(),
  post_processor: z.unknown(),
  decoder: z.unknown(),
  model: z.looseObject({
    type: z.string().default('BPE'),
    // Checked by a plain loop below: a schema would copy a hundred thousand entries.
    vocab: z.custom<object>(
      (value) => typeof value === 'object' && value !== null,
      'expected tokens',
    ),
    continuing_subword_prefix: z.string().nullish(),
    end_of_word_suffix: z.string().nullish(),
  }),
});

/** The tokens a configuration names, as chat templates know them. */
export const specialNames = ['bos_token', 'eos_token', 'unk_token', 'pad_token'] as const;
const tokenName = z
  .union([z.string(), z.looseObject({ content: z.string() }).transform((token) => token.content)])
  .nullish();
const configSchema = z.looseObject({
  bos_token: tokenName,
  eos_token: tokenName,
  unk_token: tokenName,
  pad_token: tokenName,
  additional_special_tokens: z.array(tokenName).nullish(),
  added_tokens_decoder: z.record(z.string(), z.looseObject(addedFields)).nullish(),
  add_bos_token: z.boolean().nullish(),
  add_eos_token: z.boolean().nullish(),
  chat_template: z
    .union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))])
    .nullish(),
});

/** The checked tokenizer.json. */
type TokenizerJson = z.infer<typeof jsonSchema>;
/** The checked tokenizer_config.json. */
type TokenizerConfig = z.infer<typeof configSchema>;
/** A token matched in the text before the model sees it. */
type AddedToken = z.infer<typeof addedTokenSchema>;

function check<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  where: string,
): z.infer<Schema> {
  const result = schema.safeParse(value);
  if (!result.success) throw new FormatError(`${where}: ${z.prettifyError(result.error)}`);
  return result.data;
}

/** The largest id of the model's vocabulary: a record of ids (BPE), or a list of [token, score] (Unigram). */
export function lastId(vocab: object): number {
  if (Array.isArray(vocab)) return vocab.length - 1;
  let last = -1;
  for (const [token, id] of Object.entries(vocab)) {
    if (!Number.isInteger(id) || id < 0 || id >= maxId) {
      throw new FormatError(
        `tokenizer.json: vocab: expected ids in 0..${maxId - 1}, got ${id} for ${JSON.stringify(token)}`,
      );
    }
    if (id > last) last = id;
  }
  return last;
}

/** The added tokens of both files. As in transformers, what tokenizer_config.json names as special becomes so. */
export function mergeAddedTokens(json: TokenizerJson, config: TokenizerConfig): AddedToken[] {
  const merged = new Map((json.added_tokens ?? []).map((token) => [token.content, token]));
  const vocab = Array.isArray(json.model.vocab) ? {} : (json.model.vocab as Record<string, number>);
  const idOf = (content: string): number | undefined =>
    merged.get(content)?.id ?? (Object.hasOwn(vocab, content) ? vocab[content] : undefined);
  for (const [key, token] of Object.entries(config.added_tokens_decoder ?? {})) {
    const id = idOf(token.content) ?? check(idSchema, Number(key), 'tokenizer_config.json');
    merged.set(token.content, { ...merged.get(token.content), ...token, id });
  }
  const named = [
    ...specialNames.map((name) => config[name]),
    ...(config.additional_special_tokens ?? []),
  ];
  for (const content of named) {
    if (!content) continue;
    const known = merged.get(content);
    const id = idOf(content);
    if (known !== undefined) merged.set(content, { ...known, special: true });
    else if (id !== undefined) {
      const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false };
      merged.set(content, { id, content, special: true, ...plain });
    }
  }
  for (const { content, single_word } of merged.values()) {
    if (single_word) {
      throw new UnsupportedError(
        `tokenizer: expected added tokens that match anywhere, got single_word ${content}`,
      );
    }
  }
  return [...merged.values()];
}

const templateSchema = z.looseObject({
  type: z.literal('TemplateProcessing'),
  single: z.array(z.looseObject({ SpecialToken: z.looseObject({ id: z.string() }).optional() })),
});

/** The special token that a post-processor puts before (or after) a text. */
export function templateToken(section: unknown, side: 'first' | 'last'): string | undefined {
  const sequence = z.looseObject({ processors: z.array(z.unknown()) }).safeParse(section);
  if (sequence.success) {
    return sequence.data.processors
      .map((inner) => templateToken(inner, side))
      .find((token) => token);
  }
  const template = templateSchema.safeParse(section);
  return template.success
    ? template.data.single.at(side === 'first' ? 0 : -1)?.SpecialToken?.id
    : undefined;
}

/** transformers' update_post_processor: the configuration's flags win, and an unnamed token is not added. */
export function postProcessor(json: TokenizerJson, config: TokenizerConfig): unknown {
  const explicit = config.add_bos_token !== undefined || config.add_eos_token !== undefined;
  if (!explicit && json.post_processor != null) return json.post_processor;
  const item = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const single = [
    ...(config.add_bos_token && config.bos_token ? [item(config.bos_token)] : []),
    { Sequence: { id: 'A', type_id: 0 } },
    ...(config.add_eos_token && config.eos_token ? [item(config.eos_token)] : []),
  ];
  return { type: 'TemplateProcessing', single, pair: single, special_tokens: {} };
}

/** Checks the contents of tokenizer.json. */
export function parseTokenizerJson(value: unknown): TokenizerJson {
  const json = check(jsonSchema, value, 'tokenizer.json');
  const { type } = json.model;
  // The library guesses when it does not know the type.
  if (type !== 'BPE' && type !== 'Unigram') {
    throw new UnsupportedError(`tokenizer.json: model: expected BPE or Unigram, got ${type}`);
  }
  for (const affix of ['continuing_subword_prefix', 'end_of_word_suffix'] as const) {
    if (type === 'BPE' && json.model[affix]) {
      throw new UnsupportedError(
        `tokenizer.json: model: expected no ${affix}, got ${json.model[affix]}`,
      );
    }
  }
  return json;
}

/** Checks the contents of tokenizer_config.json; undefined is an empty one. */
export function parseTokenizerConfig(value: unknown = {}): TokenizerConfig {
  return check(configSchema, value, 'tokenizer_config.json');
}
