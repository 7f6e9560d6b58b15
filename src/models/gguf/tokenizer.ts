// The tokenizer of a GGUF file as a tokenizer.json: `llama` is SentencePiece, whose scores order the merges, `gpt2` is
// byte-level BPE with its merges and a named way to cut texts.
import * as z from 'zod';
import { FormatError, UnsupportedError } from '../../kernels/errors.ts';
import { parse } from '../schema.ts';
import type { TokenizerFiles } from '../tokenizer.ts';
import { mergesOfScores } from './merges.ts';
import { preTokenizerOf, preTokenizerSections } from './pretokenizers.ts';

/** The kinds of tokens, as the file numbers them. */
export const TOKEN_TYPES = { normal: 1, unknown: 2, control: 3, user: 4, unused: 5, byte: 6 };

const strings = z.custom<readonly string[]>(
  (value) => Array.isArray(value) && value.every((each) => typeof each === 'string'),
  'expected an array of strings',
);
const numbers = z.custom<Float32Array | Int32Array>(
  (value) => ArrayBuffer.isView(value) && !(value instanceof DataView),
  'expected an array of numbers',
);
const id = z.int().optional();
const prefix = 'tokenizer.ggml.';
const schema = z.looseObject({
  model: z.string(),
  pre: z.string().optional(),
  tokens: strings,
  scores: numbers.optional(),
  token_type: numbers.optional(),
  merges: strings.optional(),
  bos_token_id: id,
  eos_token_id: id,
  unknown_token_id: id,
  padding_token_id: id,
  add_bos_token: z.boolean().optional(),
  add_eos_token: z.boolean().optional(),
  add_space_prefix: z.boolean().optional(),
});

/** What both kinds of vocabularies have. */
interface Vocabulary {
  readonly file: string;
  readonly tokens: readonly string[];
  readonly types: ArrayLike<number>;
  readonly vocab: Readonly<Record<string, number>>;
}

/** Builds the files; throws FormatErrors and UnsupportedErrors by `file` and key. */
export function tokenizerFilesOf(
  metadata: Readonly<Record<string, unknown>>,
  file: string,
): TokenizerFiles {
  if (metadata[`${prefix}tokens`] === undefined)
    throw new FormatError(
      `${file}: ${prefix}tokens: expected the tokens of a vocabulary, got none`,
    );
  const own = Object.entries(metadata)
    .filter(([key]) => key.startsWith(prefix))
    .map(([key, value]) => [key.slice(prefix.length), value]);
  const fields = parse(schema, Object.fromEntries(own), `${file}: tokenizer.ggml`);
  const { model, tokens } = fields;
  // Without the types, the tokens that ids name are the only special ones.
  const { bos_token_id, eos_token_id, unknown_token_id, padding_token_id } = fields;
  const named = [bos_token_id, eos_token_id, unknown_token_id, padding_token_id];
  const types: ArrayLike<number> =
    fields.token_type ??
    tokens.map((_, index) => (named.includes(index) ? TOKEN_TYPES.control : TOKEN_TYPES.normal));
  checkLength(file, 'token_type', types.length, tokens.length);
  const vocabulary = { file, tokens, types, vocab: vocabOf(tokens, file) };
  const isSpm = model === 'llama';
  if (!isSpm && model !== 'gpt2')
    throw new UnsupportedError(
      `${file}: ${prefix}model: expected llama or gpt2, got ${JSON.stringify(model)}`,
    );
  const pre = isSpm ? null : preTokenizerOf(fields.pre ?? 'default', file);
  const sections = isSpm
    ? spmSections(vocabulary, {
        scores: fields.scores,
        spacePrefix: fields.add_space_prefix ?? true,
        unknown: unknown_token_id ?? 0,
      })
    : byteLevelSections(vocabulary, { merges: fields.merges, pre: pre! });
  // SentencePiece files that name no tokens mean its own 1 and 2.
  const tokenAt = (given: number | undefined, missing: number) =>
    tokens[given ?? (isSpm ? missing : -1)];
  return {
    tokenizerJson: {
      ...sections,
      post_processor: null,
      added_tokens: addedTokens(vocabulary),
    },
    tokenizerConfig: {
      bos_token: tokenAt(bos_token_id, 1),
      eos_token: tokenAt(eos_token_id, 2),
      unk_token: tokenAt(unknown_token_id, 0),
      pad_token: tokenAt(padding_token_id, -1),
      add_bos_token: fields.add_bos_token ?? pre?.addBos ?? true,
      add_eos_token: fields.add_eos_token ?? false,
      chat_template: chatTemplates(metadata),
    },
  };
}

function vocabOf(tokens: readonly string[], file: string): Record<string, number> {
  const ids = new Map<string, number>();
  tokens.forEach((token, index) => {
    if (ids.has(token))
      throw new FormatError(
        `${file}: ${prefix}tokens[${index}]: expected a token once, got ${JSON.stringify(token)} as ${ids.get(token)} too`,
      );
    ids.set(token, index);
  });
  return Object.fromEntries(ids);
}

/** Tokens that are found in the text before anything else. */
function addedTokens({ tokens, types }: Vocabulary) {
  const { control, unknown, user } = TOKEN_TYPES;
  const added: readonly number[] = [control, unknown, user];
  return tokens.flatMap((content, id) => {
    if (!added.includes(types[id]) || content === '') return [];
    const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false };
    return [{ id, content, ...plain, special: types[id] !== user }];
  });
}

function spmSections(
  vocabulary: Vocabulary,
  {
    scores,
    spacePrefix,
    unknown,
  }: {
    readonly scores: ArrayLike<number> | undefined;
    readonly spacePrefix: boolean;
    readonly unknown: number;
  },
) {
  const { file, tokens, types, vocab } = vocabulary;
  if (scores === undefined)
    throw new FormatError(`${file}: ${prefix}scores: expected the scores of the tokens, got none`);
  checkLength(file, 'scores', scores.length, tokens.length);
  const isNormal = (index: number) => types[index] === TOKEN_TYPES.normal;
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: '\u2581' };
  const prepend = { type: 'Prepend', prepend: '\u2581' };
  const strip = { type: 'Strip', content: ' ', start: 1, stop: 0 };
  return {
    model: {
      type: 'BPE',
      unk_token: tokens[unknown] ?? null,
      fuse_unk: true,
      byte_fallback: Array.from(types).includes(TOKEN_TYPES.byte),
      vocab,
      merges: mergesOfScores(tokens, scores, isNormal),
    },
    normalizer: {
      type: 'Sequence',
      normalizers: spacePrefix ? [prepend, replace] : [replace],
    },
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '\u2581' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(spacePrefix ? [strip] : []),
      ],
    },
  };
}

function byteLevelSections(
  { file, vocab }: Vocabulary,
  {
    merges,
    pre,
  }: {
    readonly merges: readonly string[] | undefined;
    readonly pre: ReturnType<typeof preTokenizerOf>;
  },
) {
  if (merges === undefined)
    throw new FormatError(
      `${file}: ${prefix}merges: expected the merges of a vocabulary, got none`,
    );
  const pairs = merges.map((merge, index) => {
    const at = merge.indexOf(' ', 1);
    if (at < 0 || at === merge.length - 1)
      throw new FormatError(
        `${file}: ${prefix}merges[${index}]: expected two tokens with a space between, got ${JSON.stringify(merge)}`,
      );
    return [merge.slice(0, at), merge.slice(at + 1)];
  });
  return {
    ...preTokenizerSections(pre),
    model: { type: 'BPE', ignore_merges: pre.ignoreMerges, vocab, merges: pairs },
    decoder: { type: 'ByteLevel' },
  };
}

/** One template, or several by name when there is more than the default. */
function chatTemplates(metadata: Readonly<Record<string, unknown>>) {
  const start = 'tokenizer.chat_template';
  const named = Object.entries(metadata)
    .filter(([key, value]) => key.startsWith(`${start}.`) && typeof value === 'string')
    .map(([key, template]) => ({ name: key.slice(start.length + 1), template }));
  const plain = metadata[start];
  if (named.length === 0) return plain;
  return plain === undefined ? named : [{ name: 'default', template: plain }, ...named];
}

function checkLength(file: string, key: string, got: number, expected: number): void {
  if (got !== expected)
    throw new FormatError(
      `${file}: ${prefix}${key}: expected one for each of ${expected} tokens, got ${got}`,
    );
}
