// Small tokenizers, made in memory.
import {
  createTokenizer,
  type Tokenizer,
  type TokenizerFiles,
} from '../../src/models/tokenizer.ts';

interface ByteLevelOptions {
  readonly merges?: readonly string[];
  readonly addsBos?: boolean;
}

/** A byte-level vocabulary: ids are the places of `tokens`; `</s>` and `<s>` among them are control tokens. */
export function byteLevel(tokens: readonly string[], options: ByteLevelOptions = {}): Tokenizer {
  return createTokenizer(byteLevelFiles(tokens, options));
}

/** Its files. */
export function byteLevelFiles(
  tokens: readonly string[],
  { merges = [], addsBos = false }: ByteLevelOptions = {},
): TokenizerFiles {
  const special = ['<s>', '</s>'].filter((token) => tokens.includes(token));
  return {
    tokenizerJson: {
      added_tokens: special.map((content) => ({
        id: tokens.indexOf(content),
        content,
        special: true,
      })),
      normalizer: null,
      pre_tokenizer: {
        type: 'ByteLevel',
        add_prefix_space: false,
        trim_offsets: true,
        use_regex: true,
      },
      post_processor: null,
      decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      model: {
        type: 'BPE',
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges,
      },
    },
    tokenizerConfig: {
      ...(special.includes('<s>') && { bos_token: '<s>' }),
      ...(special.includes('</s>') && { eos_token: '</s>' }),
      add_bos_token: addsBos,
    },
  };
}

/** The tokenizer.json of a SentencePiece-style vocabulary with byte fallback: `a`, `b`, the space mark, all bytes, and `more`. */
export function byteFallbackJson(
  more: readonly string[] = [],
  merges: readonly string[] = ['\u2581 a'],
): Record<string, unknown> {
  const bytes = Array.from({ length: 256 }, (_, byte) => {
    return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
  });
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, '\u2581', 'a', 'b', '\u2581a', ...more];
  const special = (id: number) => ({
    id,
    content: tokens[id],
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  });
  const mark = { String: '\u2581' };
  return {
    added_tokens: [0, 1, 2].map(special),
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '\u2581' },
        { type: 'Replace', pattern: { String: ' ' }, content: '\u2581' },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    },
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: mark, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}
