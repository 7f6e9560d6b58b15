// How byte-level vocabularies cut a text before merging, by the names that GGUF files give to them. The expressions are
// those of the tokenizer.json of the models the names come from; `default` is what llama.cpp does for files without a name.
import { UnsupportedError } from '../../kernels/errors.ts';

/** A way to cut texts, as the sections of a tokenizer.json. */
export interface PreTokenizer {
  /** Regular expressions, one after the other on what the ones before left; none for GPT-2's own. */
  readonly patterns: readonly string[];
  /** Unicode composition before anything else. */
  readonly nfc: boolean;
  /** A piece that is a token is not merged. */
  readonly ignoreMerges: boolean;
  /** Whether a text gets a begin token when the file does not say. */
  readonly addBos: boolean;
}

const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const WORDS_TO_SPACES = (digits: string) =>
  `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const TEKKEN = `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

const gpt2: PreTokenizer = { patterns: [], nfc: false, ignoreMerges: false, addBos: false };
const llama3: PreTokenizer = {
  ...gpt2,
  patterns: [WORDS_TO_SPACES('\\p{N}{1,3}')],
  ignoreMerges: true,
  addBos: true,
};
const qwen2: PreTokenizer = { ...gpt2, patterns: [WORDS_TO_SPACES('\\p{N}')], nfc: true };

/** By name; of those that mean the same, the first is written. */
const PRE_TOKENIZERS: ReadonlyMap<string, PreTokenizer> = new Map([
  ['gpt-2', gpt2],
  ['llama-bpe', llama3],
  ['llama3', llama3],
  ['llama-v3', llama3],
  ['qwen2', qwen2],
  ['deepseek-r1-qwen', qwen2],
  ['tekken', { ...llama3, patterns: [TEKKEN] }],
  ['smollm', { ...gpt2, patterns: ['\\p{N}', GPT2] }],
  [
    'default',
    {
      ...gpt2,
      patterns: ['[\\p{P}\\$\\+<=>\\^~\\|]+', GPT2, '\\p{N}+', '[0-9][0-9][0-9]'],
    },
  ],
]);

/** The way of a name; an unknown one is refused. */
export function preTokenizerOf(name: string, file: string): PreTokenizer {
  const found = PRE_TOKENIZERS.get(name);
  if (found === undefined)
    throw new UnsupportedError(
      `${file}: tokenizer.ggml.pre: expected one of ${[...PRE_TOKENIZERS.keys()].join(', ')}, got ${JSON.stringify(name)}`,
    );
  return found;
}

/** The sections of a tokenizer.json that cut a text. */
export function preTokenizerSections({ patterns, nfc }: PreTokenizer) {
  const byteLevel = {
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: patterns.length === 0,
  };
  const splits = patterns.map((pattern) => ({
    type: 'Split',
    pattern: { Regex: pattern },
    behavior: 'Isolated',
    invert: false,
  }));
  return {
    normalizer: nfc ? { type: 'NFC' } : null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: [...splits, byteLevel] },
  };
}

/** The name of the way that a tokenizer.json cuts texts; one without a name is refused. */
export function preTokenizerName(json: {
  readonly normalizer?: unknown;
  readonly pre_tokenizer?: unknown;
  readonly ignore_merges: boolean;
}): string {
  const wanted = JSON.stringify([
    flat(json.normalizer, 'normalizers').map((step) => step['type']),
    flat(json.pre_tokenizer, 'pretokenizers').map(essence),
    json.ignore_merges,
  ]);
  for (const [name, each] of PRE_TOKENIZERS) {
    const { normalizer, pre_tokenizer } = preTokenizerSections(each);
    const own = [
      flat(normalizer, 'normalizers').map((step) => step['type']),
      flat(pre_tokenizer, 'pretokenizers').map(essence),
      each.ignoreMerges,
    ];
    if (JSON.stringify(own) === wanted) return name;
  }
  throw new UnsupportedError(
    `tokenizer.json: expected the pre-tokenizer of ${[...PRE_TOKENIZERS.keys()].join(', ')}, got ${wanted}`,
  );
}

type Step = Readonly<Record<string, unknown>>;

/** The steps of a section, nested sequences laid flat. */
function flat(section: unknown, list: string): Step[] {
  if (section === null || section === undefined) return [];
  const step = section as Step;
  return Array.isArray(step[list]) ? step[list].flatMap((inner) => flat(inner, list)) : [step];
}

/** What of a step changes ids. */
function essence(step: Step): readonly unknown[] {
  const { type } = step;
  if (type === 'ByteLevel')
    return [type, step['add_prefix_space'] ?? true, step['use_regex'] ?? true];
  const { Regex } = (step['pattern'] ?? {}) as { readonly Regex?: unknown };
  return [type, Regex, step['behavior'], step['invert'] ?? false];
}
