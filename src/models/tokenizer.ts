// Text to token ids and back. Encoding is @huggingface/tokenizers; what it reads is checked and completed here first,
// (vocabulary.ts), so that the ids are those of transformers 5. Decoding is stream.ts, chat templates are chat.ts.
// Truncation, padding and clean_up_tokenization_spaces of the files are never applied.
import * as library from '@huggingface/tokenizers';
import * as z from 'zod';
import { FormatError, OptionError, UnsupportedError } from '../kernels/errors.ts';
import { parseJson } from '../tensor/source.ts';
import type { ChatMessage, ChatOptions } from './chat.ts';
import { createChatRenderer, selectChatTemplate } from './chat.ts';
import type { Piece, TextStream } from './stream.ts';
import { compileDecoder, createTextStream } from './stream.ts';
import {
  lastId,
  mergeAddedTokens,
  parseTokenizerConfig,
  parseTokenizerJson,
  postProcessor,
  specialNames,
  templateToken,
} from './vocabulary.ts';

export type { ChatMessage, ChatOptions } from './chat.ts';
export type { TextStream } from './stream.ts';

/** Options of `encode`. */
export interface EncodeOptions {
  /** Adds what the model expects around a text, usually the begin token. Default true; false for a continuation. */
  readonly addSpecialTokens?: boolean | undefined;
}

/** Options of `decode` and `stream`. */
export interface DecodeOptions {
  /** Leaves special tokens out of the text. Default true; false to see them. */
  readonly skipSpecialTokens?: boolean | undefined;
}

/** Text to token ids and back, for one vocabulary. */
export interface Tokenizer {
  /** One more than the largest id. A model may have more rows; their ids have no text. */
  readonly vocabSize: number;
  /** The token that opens a text, or null where the vocabulary has none. */
  readonly bosToken: number | null;
  /** The token that ends a text, or null where the files name none. */
  readonly eosToken: number | null;
  /** The Jinja source that `chat` renders without tools, or null. */
  readonly chatTemplate: string | null;
  /** The ids of a text. A lone surrogate is encoded as U+FFFD. */
  encode(text: string, options?: EncodeOptions): number[];
  /** The text of ids; an id without a token has none. */
  decode(ids: readonly number[], options?: DecodeOptions): string;
  /** Decodes ids one at a time. */
  stream(options?: DecodeOptions): TextStream;
  /** u8: what a token adds in the middle of a text, perhaps part of a character; empty for an id without a token. */
  tokenBytes(id: number): Uint8Array;
  /** The token as the vocabulary spells it. */
  idToToken(id: number): string | undefined;
  /** The id of a token as the vocabulary spells it. */
  tokenToId(token: string): number | undefined;
  /** Whether the token is control, not text. */
  isSpecial(id: number): boolean;
  /** The prompt of a conversation; throws UnsupportedError when there is no chat template. */
  renderChat(messages: readonly ChatMessage[], options?: ChatOptions): string;
  /** The ids of `renderChat`; the template writes the begin token, so none is added. */
  chat(messages: readonly ChatMessage[], options?: ChatOptions): number[];
}

/** The files of a tokenizer, parsed. */
export interface TokenizerFiles {
  /** The contents of tokenizer.json. */
  readonly tokenizerJson: unknown;
  /** The contents of tokenizer_config.json. Default none. */
  readonly tokenizerConfig?: unknown;
  /** The text of chat_template.jinja; it wins over tokenizer_config.json. Default none. */
  readonly chatTemplate?: string | undefined;
}

/** A folder of text files, wherever it lies. */
export interface FolderTextSource {
  /** For messages. */
  readonly name: string;
  has(path: string): Promise<boolean>;
  text(path: string): Promise<string>;
}

/** What we use of the library, whose own types need a resolver other than nodenext. */
interface LibraryTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: (number | undefined)[] };
  id_to_token(id: number): string | undefined;
  token_to_id(token: string): number | undefined;
}
type LibraryConstructor = new (tokenizer: object, config: object) => LibraryTokenizer;
const LibraryTokenizer = library.Tokenizer as unknown as LibraryConstructor;

const encodeSchema = z.strictObject({ addSpecialTokens: z.boolean().default(true) });
const decodeSchema = z.strictObject({ skipSpecialTokens: z.boolean().default(true) });
const chatSchema = z.strictObject({
  addGenerationPrompt: z.boolean().optional(),
  tools: z.array(z.unknown()).optional(),
  variables: z.record(z.string(), z.unknown()).optional(),
});

function options<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  where: string,
): z.infer<Schema> {
  const result = schema.safeParse(value ?? {});
  if (!result.success) throw new OptionError(`${where}: ${z.prettifyError(result.error)}`);
  return result.data;
}

function construct(json: object): LibraryTokenizer {
  try {
    return new LibraryTokenizer(json, {});
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const Failure = /^Unknown/.test(reason) ? UnsupportedError : FormatError;
    throw new Failure(`tokenizer.json: expected a tokenizer, got ${reason}`, { cause: error });
  }
}

/** Makes a tokenizer from the parsed contents of its files. */
export function createTokenizer(files: TokenizerFiles): Tokenizer {
  const json = parseTokenizerJson(files.tokenizerJson);
  const config = parseTokenizerConfig(files.tokenizerConfig);
  const decoder = compileDecoder(json.decoder);
  const added = mergeAddedTokens(json, config);
  const post_processor = postProcessor(json, config);
  const vocabSize =
    1 + added.reduce((last, { id }) => Math.max(last, id), lastId(json.model.vocab));
  const { normalizer = null, pre_tokenizer = null } = json;
  const inner = construct({
    ...json,
    normalizer,
    pre_tokenizer,
    post_processor,
    added_tokens: added,
  });

  const addedIds = new Set(added.map((token) => token.id));
  const specialIds = new Set(added.filter((token) => token.special).map((token) => token.id));
  const named = (name: string, content: string | null | undefined): number | null => {
    if (!content) return null;
    const id = inner.token_to_id(content);
    if (id === undefined) {
      throw new FormatError(
        `tokenizer: ${name}: expected a token of the vocabulary, got ${JSON.stringify(content)}`,
      );
    }
    return id;
  };
  const bosToken = named('bos_token', config.bos_token || templateToken(post_processor, 'first'));
  const eosToken = named('eos_token', config.eos_token || templateToken(post_processor, 'last'));

  const names: Record<string, string> = {};
  for (const name of specialNames) if (config[name]) names[name] = config[name];
  if (bosToken !== null) names['bos_token'] ??= inner.id_to_token(bosToken)!;
  if (eosToken !== null) names['eos_token'] ??= inner.id_to_token(eosToken)!;
  const templates = files.chatTemplate ?? config.chat_template ?? null;
  const render = createChatRenderer(templates, names);

  const pieceOf = (id: number): Piece | undefined => {
    if (!Number.isInteger(id) || id < 0)
      throw new OptionError(`decode: expected a token id, got ${id}`);
    const token = inner.id_to_token(id);
    return token === undefined ? undefined : { token, verbatim: addedIds.has(id) };
  };
  const textPieceOf = (id: number) => (specialIds.has(id) ? undefined : pieceOf(id));
  const tokenizer: Tokenizer = {
    vocabSize,
    bosToken,
    eosToken,
    chatTemplate: selectChatTemplate(templates, false),
    encode(text, given) {
      const { addSpecialTokens } = options(encodeSchema, given, 'encode');
      if (typeof text !== 'string')
        throw new OptionError(`encode: expected a string, got ${typeof text}`);
      return inner.encode(text, { add_special_tokens: addSpecialTokens }).ids.map((id) => {
        if (id === undefined)
          throw new FormatError('tokenizer.json: expected unk_token in the vocabulary');
        return id;
      });
    },
    decode(ids, given) {
      const stream = tokenizer.stream(given);
      return ids.map((id) => stream.push(id)).join('') + stream.flush();
    },
    stream(given) {
      const { skipSpecialTokens } = options(decodeSchema, given, 'decode');
      return createTextStream(decoder, skipSpecialTokens ? textPieceOf : pieceOf);
    },
    tokenBytes(id) {
      const piece = pieceOf(id);
      return piece === undefined ? new Uint8Array(0) : decoder.bytes(piece);
    },
    idToToken: (id) => inner.id_to_token(id),
    tokenToId: (token) => inner.token_to_id(token),
    isSpecial: (id) => specialIds.has(id),
    renderChat: (messages, given) => render(messages, options(chatSchema, given, 'chat')),
    chat: (messages, given) =>
      tokenizer.encode(tokenizer.renderChat(messages, given), { addSpecialTokens: false }),
  };
  return tokenizer;
}

/** Reads tokenizer.json, and tokenizer_config.json and chat_template.jinja where present, from a model folder. */
export async function readTokenizerFiles(source: FolderTextSource): Promise<TokenizerFiles> {
  const read = async (path: string) => ((await source.has(path)) ? source.text(path) : undefined);
  const [json, config, chatTemplate] = await Promise.all(
    ['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'].map(read),
  );
  if (json === undefined)
    throw new FormatError(`${source.name}: expected a file tokenizer.json, got none`);
  return named(source.name, () => ({
    tokenizerJson: parseJson(json, 'tokenizer.json'),
    tokenizerConfig: config === undefined ? undefined : parseJson(config, 'tokenizer_config.json'),
    chatTemplate,
  }));
}

/** The tokenizer of a model folder. */
export async function loadTokenizer(source: FolderTextSource): Promise<Tokenizer> {
  const files = await readTokenizerFiles(source);
  return named(source.name, () => createTokenizer(files));
}

/** What `make` returns; errors about files get the name of their folder in front. */
export function named<Result>(folder: string, make: () => Result): Result {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof FormatError || error instanceof UnsupportedError)) throw error;
    const Failure = error.constructor as typeof FormatError;
    throw new Failure(`${folder}/${error.message}`, { cause: error });
  }
}
