// A tokenizer.json as the metadata of a GGUF file: byte-level vocabularies as `gpt2`, those of SentencePiece as `llama`,
// with scores that give the merges back.
import { FormatError, UnsupportedError } from '../../kernels/errors.ts';
import type { DecoderConfig } from '../config.ts';
import { createTokenizer, type Tokenizer, type TokenizerFiles } from '../tokenizer.ts';
import { mergeAddedTokens, parseTokenizerConfig, parseTokenizerJson } from '../vocabulary.ts';
import { mergesOfScores } from './merges.ts';
import { type Entry, flag, text, u32 } from './metadata.ts';
import { preTokenizerName } from './pretokenizers.ts';
import { TOKEN_TYPES } from './tokenizer.ts';

/** A token and its kind. */
interface Token {
  readonly content: string;
  readonly type: number;
}

/** What the tokenizer becomes; throws UnsupportedErrors for what a file cannot say. */
export function tokenizerFields(files: TokenizerFiles, config: DecoderConfig): Entry[] {
  const json = parseTokenizerJson(files.tokenizerJson);
  const tokenizerConfig = parseTokenizerConfig(files.tokenizerConfig);
  const tokenizer = createTokenizer(files);
  const model = json.model as unknown as Model;
  if (json.model.type !== 'BPE')
    throw new UnsupportedError(
      `tokenizer.json: model: expected BPE, which a GGUF can say, got ${json.model.type}`,
    );
  const tokens = tokensOf(mergeAddedTokens(json, tokenizerConfig), config.vocab, model);
  const pairs = (model.merges ?? []).map((merge) =>
    typeof merge === 'string' ? (merge.split(' ') as [string, string]) : merge,
  );
  const isByteLevel = JSON.stringify(json.decoder ?? null).includes('"ByteLevel"');
  const own = isByteLevel
    ? byteLevelFields(json, model, pairs)
    : spmFields(json, { tokens, pairs, unknown: model.unk_token });
  return [
    ...own,
    [
      'tokenizer.ggml.tokens',
      { type: 'array', of: 'string', value: tokens.map(({ content }) => content) },
    ],
    [
      'tokenizer.ggml.token_type',
      { type: 'array', of: 'i32', value: Int32Array.from(tokens, ({ type }) => type) },
    ],
    ...specialFields(tokenizer, config),
    ...templateFields(files.chatTemplate ?? tokenizerConfig.chat_template ?? []),
  ];
}

interface Model {
  readonly vocab: Readonly<Record<string, number>>;
  readonly merges?: readonly (string | [string, string])[];
  readonly unk_token?: string | null;
  readonly ignore_merges?: boolean;
  readonly byte_fallback?: boolean;
}

/** One for each row of the embedding; rows without a token get a name that no text has. */
function tokensOf(added: ReturnType<typeof mergeAddedTokens>, rows: number, model: Model): Token[] {
  const tokens: Token[] = Array.from({ length: rows }, (_, id) => ({
    content: `[PAD${id}]`,
    type: TOKEN_TYPES.unused,
  }));
  const put = (id: number, token: Token) => {
    if (id >= rows)
      throw new FormatError(
        `tokenizer.json: expected ids below vocab_size ${rows}, got ${id} for ${JSON.stringify(token.content)}`,
      );
    tokens[id] = token;
  };
  for (const [content, id] of Object.entries(model.vocab))
    put(id, {
      content,
      type:
        model.byte_fallback && /^<0x[0-9A-F]{2}>$/.test(content)
          ? TOKEN_TYPES.byte
          : TOKEN_TYPES.normal,
    });
  for (const { id, content, special } of added) {
    const kind = special ? TOKEN_TYPES.control : TOKEN_TYPES.user;
    put(id, { content, type: content === model.unk_token ? TOKEN_TYPES.unknown : kind });
  }
  return tokens;
}

function byteLevelFields(
  json: { readonly normalizer?: unknown; readonly pre_tokenizer?: unknown },
  { ignore_merges = false }: Model,
  pairs: readonly [string, string][],
): Entry[] {
  const { normalizer, pre_tokenizer } = json;
  return [
    ['tokenizer.ggml.model', text('gpt2')],
    ['tokenizer.ggml.pre', text(preTokenizerName({ normalizer, pre_tokenizer, ignore_merges }))],
    [
      'tokenizer.ggml.merges',
      { type: 'array', of: 'string', value: pairs.map((pair) => pair.join(' ')) },
    ],
  ];
}

function spmFields(
  json: { readonly normalizer?: unknown; readonly pre_tokenizer?: unknown },
  {
    tokens,
    pairs,
    unknown,
  }: {
    readonly tokens: readonly Token[];
    readonly pairs: readonly [string, string][];
    readonly unknown: string | null | undefined;
  },
): Entry[] {
  const contents = tokens.map(({ content }) => content);
  // A token is worth the less, the later its first merge.
  const first = new Map<string, number>();
  for (const [rank, pair] of pairs.entries()) {
    const token = pair.join('');
    if (!first.has(token)) first.set(token, rank);
  }
  const scores = Float32Array.from(contents, (token) => -(first.get(token) ?? 0));
  const isNormal = (index: number) => tokens[index].type === TOKEN_TYPES.normal;
  const back = mergesOfScores(contents, scores, isNormal);
  const join = (pair: readonly [string, string] | undefined) => pair?.join(' ');
  const all = new Set(back.map(join));
  // Of the cuts of one token any order is as good as another.
  const differs = pairs.findIndex(
    (pair, rank) => pair.join('') !== back[rank]?.join('') || !all.has(join(pair)),
  );
  if (differs >= 0 || back.length !== pairs.length)
    throw new UnsupportedError(
      `tokenizer.json: merges: expected an order that scores of tokens give, got another from ${JSON.stringify(pairs[differs] ?? back[pairs.length])} on`,
    );
  const unknownId = unknown == null ? -1 : contents.indexOf(unknown);
  return [
    ['tokenizer.ggml.model', text('llama')],
    ['tokenizer.ggml.pre', text('default')],
    ['tokenizer.ggml.scores', { type: 'array', of: 'f32', value: scores }],
    ...(unknownId < 0 ? [] : [['tokenizer.ggml.unknown_token_id', u32(unknownId)] as const]),
    ['tokenizer.ggml.add_space_prefix', flag(spacePrefixOf(json))],
  ];
}

/** Whether a space is put before a text; throws an UnsupportedError for other ways to treat it. */
function spacePrefixOf({
  normalizer,
  pre_tokenizer: cut,
}: {
  readonly normalizer?: unknown;
  readonly pre_tokenizer?: unknown;
}): boolean {
  const outer = (normalizer ?? null) as { readonly normalizers?: readonly unknown[] } | null;
  const steps = JSON.stringify(outer?.normalizers ?? (outer === null ? [] : [outer]));
  const replace = '{"type":"Replace","pattern":{"String":" "},"content":"\u2581"}';
  if (cut == null && steps === `[{"type":"Prepend","prepend":"\u2581"},${replace}]`) return true;
  if (cut == null && steps === `[${replace}]`) return false;
  throw new UnsupportedError(
    `tokenizer.json: expected a normalizer of Prepend and Replace and no pre_tokenizer, got ${steps} and ${JSON.stringify(cut ?? null)}`,
  );
}

function specialFields(tokenizer: Tokenizer, config: DecoderConfig): Entry[] {
  const { bosToken, eosToken } = tokenizer;
  const around = tokenizer.encode('a');
  const inside = tokenizer.encode('a', { addSpecialTokens: false });
  const addBos = bosToken !== null && around[0] === bosToken && inside[0] !== bosToken;
  const addEos = eosToken !== null && around.at(-1) === eosToken && inside.at(-1) !== eosToken;
  if (around.length !== inside.length + Number(addBos) + Number(addEos))
    throw new UnsupportedError(
      `tokenizer.json: post_processor: expected at most a begin and an end token around a text, got ${around.join(' ')} around ${inside.join(' ')}`,
    );
  const ends = [...new Set([...(eosToken === null ? [] : [eosToken]), ...config.eosTokens])];
  if (ends.length > 3)
    throw new UnsupportedError(
      `eos_token_id: expected at most three end tokens in a GGUF, got ${ends.join(', ')}`,
    );
  const names = ['eos', 'eot', 'eom'];
  return [
    ...(bosToken === null ? [] : [['tokenizer.ggml.bos_token_id', u32(bosToken)] as const]),
    ...ends.map((id, index) => [`tokenizer.ggml.${names[index]}_token_id`, u32(id)] as const),
    ['tokenizer.ggml.add_bos_token', flag(addBos)],
    ['tokenizer.ggml.add_eos_token', flag(addEos)],
  ];
}

function templateFields(
  template: NonNullable<ReturnType<typeof parseTokenizerConfig>['chat_template']>,
): Entry[] {
  const named = typeof template === 'string' ? [{ name: 'default', template }] : template;
  return named.map(({ name, template: source }) => [
    name === 'default' ? 'tokenizer.chat_template' : `tokenizer.chat_template.${name}`,
    text(source),
  ]);
}
