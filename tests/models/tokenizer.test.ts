// Token ids against reference fixtures (tokenizers 0.23.2) where the shared folder lies beside the repository, and what
// must hold for any text: round trips, streams that equal decode, whole characters only, templates, clear errors.
import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FormatError, OptionError, UnsupportedError } from '../../src/kernels/errors.ts';
import type { Tokenizer } from '../../src/models/tokenizer.ts';
import { createTokenizer, loadTokenizer } from '../../src/models/tokenizer.ts';
import { byteFallbackJson } from './tokenizers.ts';

const own = new URL('../../models/target/', import.meta.url);
const shared = new URL('../../../shared/', import.meta.url);
const parse = (url: URL): unknown => JSON.parse(readFileSync(url, 'utf8'));
const optional = (url: URL): unknown => (existsSync(url) ? parse(url) : undefined);
const open = (folder: URL): Tokenizer =>
  createTokenizer({
    tokenizerJson: parse(new URL('tokenizer.json', folder)),
    tokenizerConfig: optional(new URL('tokenizer_config.json', folder)),
  });

interface Case {
  readonly text: string;
  readonly ids?: readonly number[];
  readonly ids_without_bos?: readonly number[];
  /** Where decoding does not give the text back. */
  readonly decoded?: string;
}
type Golden = Readonly<Record<string, readonly Case[] | undefined>>;

const folders = ['gpt2', 'llama2', 'llama3', 'mistral-v1', 'mistral-v3', 'qwen2']
  .map((name) => `tokenizers/${name}/`)
  .concat('models/stories260K/');

describe.each(folders)('shared/%s', (folder) => {
  const url = new URL(folder, shared);
  const absent = !existsSync(new URL('tokenizer_golden.json', url));
  const why = absent ? ' (skipped: the shared folder is not beside the repository)' : '';
  it.skipIf(absent)(`gives the ids and the text of every fixture${why}`, () => {
    const tokenizer = open(url);
    const golden = parse(new URL('tokenizer_golden.json', url)) as Golden;
    const wrong: unknown[] = [];
    let cases = 0;
    for (const key of ['cases_with_bos', 'cases_without_bos', 'llama_cpp_vectors']) {
      for (const { text, ids, ids_without_bos, decoded = text } of golden[key] ?? []) {
        const want = (ids ?? ids_without_bos)!;
        const got = tokenizer.encode(text, { addSpecialTokens: key === 'cases_with_bos' });
        const read = streamed(tokenizer, want).join('');
        cases += 1;
        if (got.join() !== want.join()) wrong.push({ key, text, got, want });
        if (read !== decoded || tokenizer.decode(want) !== decoded) wrong.push({ key, text, read });
      }
    }
    expect(wrong).toEqual([]);
    expect(cases).toBeGreaterThanOrEqual(215);
  });
});

/** Every chunk of a stream, the flush last. */
function streamed(
  tokenizer: Tokenizer,
  ids: readonly number[],
  skipSpecialTokens = true,
): string[] {
  const stream = tokenizer.stream({ skipSpecialTokens });
  return [...ids.map((id) => stream.push(id)), stream.flush()];
}

const target = open(own);
const fallback = createTokenizer({ tokenizerJson: byteFallbackJson() });
const kinds: readonly (readonly [string, Tokenizer])[] = [
  ['byte-level', target],
  ['byte-fallback', fallback],
];
const texts = [
  '',
  ' ',
  '  a  b ',
  'One day, a girl named Lily went to the park.\n\n\t"Hi!"',
  'naïve café, Ελλάδα, Здравствуйте',
  '你好，世界。日本語テキスト 한국어',
  '🙂👩‍👩‍👧‍👦🏳️‍🌈🇩🇪',
  'e\u0301 \u1112\u1161\u11ab a\u0308\u0304',
  'a genuine \ufffd and \ufffd\ufffd, a \ufeff mark, \ufeff',
  '\u0000\u0007\u200b\u2028\u{10ffff}',
];
const loneSurrogate = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

describe.each(kinds)('%s', (_kind, tokenizer) => {
  it.each(texts)('gives %j back', (text) => {
    const ids = tokenizer.encode(text);
    expect(ids[0]).toBe(tokenizer.bosToken);
    expect(tokenizer.decode(ids)).toBe(text);
    expect(streamed(tokenizer, ids).join('')).toBe(text);
    expect(tokenizer.encode(text, { addSpecialTokens: false })).toEqual(ids.slice(1));
  });

  it('streams whole characters as soon as their bytes are there, for any text', () => {
    const anyText = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.string({ unit: 'grapheme', maxLength: 20 }),
      fc.array(fc.constantFrom('\ufffd', '\ufeff', ' ', 'a', '\u2581', '🙂', 'é'), {
        maxLength: 20,
      }),
    );
    fc.assert(
      fc.property(anyText, (drawn) => {
        const text = typeof drawn === 'string' ? drawn : drawn.join('');
        const ids = tokenizer.encode(text);
        const chunks = streamed(tokenizer, ids);
        // The space mark of a SentencePiece vocabulary reads as a space; that is the format.
        const expected = tokenizer === fallback ? text.replaceAll('\u2581', ' ') : text;
        expect(chunks.join('')).toBe(expected);
        expect(tokenizer.decode(ids)).toBe(expected);
        expect(chunks.at(-1)).toBe('');
        for (const chunk of chunks) {
          expect(chunk).not.toMatch(loneSurrogate);
          if (!expected.includes('\ufffd')) expect(chunk).not.toContain('\ufffd');
        }
      }),
      { seed: 20_260, numRuns: 300 },
    );
  });

  it('streams any ids as decode reads them, and never holds more than three bytes', () => {
    const ids = fc.array(fc.nat({ max: tokenizer.vocabSize - 1 }), { maxLength: 40 });
    fc.assert(
      fc.property(ids, fc.boolean(), (drawn, skipSpecialTokens) => {
        const chunks = streamed(tokenizer, drawn, skipSpecialTokens);
        expect(chunks.join('')).toBe(tokenizer.decode(drawn, { skipSpecialTokens }));
        const kept = drawn.filter((id) => !(skipSpecialTokens && tokenizer.isSpecial(id)));
        const bytes = Buffer.concat(kept.map((id) => tokenizer.tokenBytes(id)));
        const whole = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
        const expected = tokenizer === fallback ? whole.replace(/^ /, '') : whole;
        expect(chunks.join('')).toBe(expected);
        expect(['', '\ufffd']).toContain(chunks.at(-1));
      }),
      { seed: 20_261, numRuns: 300 },
    );
  });
});

describe('vocabulary', () => {
  it('names the special tokens of the own tokenizer', () => {
    expect([target.vocabSize, target.bosToken, target.eosToken]).toEqual([2048, 0, 1]);
    expect(target.idToToken(0)).toBe('<|begin_of_text|>');
    expect(target.tokenToId('<|end_of_text|>')).toBe(1);
    expect([target.isSpecial(1), target.isSpecial(2)]).toEqual([true, false]);
    expect([target.idToToken(2048), target.tokenToId('no such token')]).toEqual([
      undefined,
      undefined,
    ]);
    expect(target.decode([0, 1])).toBe('');
    expect(target.decode([0, 1], { skipSpecialTokens: false })).toBe(
      '<|begin_of_text|><|end_of_text|>',
    );
  });

  it('gives the bytes of a token, also of part of a character', () => {
    const ids = target.encode('🙂', { addSpecialTokens: false });
    expect(Buffer.concat(ids.map((id) => target.tokenBytes(id))).toString()).toBe('🙂');
    expect([...fallback.tokenBytes(3 + 0xf0)]).toEqual([0xf0]);
    expect([...fallback.tokenBytes(262)]).toEqual([0x20, 0x61]);
    expect(target.tokenBytes(5000)).toHaveLength(0);
    expect(target.decode([5000])).toBe('');
  });

  it('ends an unfinished character with U+FFFD and starts a new text after flush', () => {
    const stream = fallback.stream();
    expect([stream.push(3 + 0xf0), stream.push(3 + 0x9f), stream.push(260)]).toEqual([
      '',
      '',
      '\ufffda',
    ]);
    expect([stream.push(3 + 0xe4), stream.flush(), stream.push(262)]).toEqual(['', '\ufffd', 'a']);
    expect(stream.push(262)).toBe(' a');
  });

  it('drops the first space of a Metaspace text, and only that', () => {
    const metaspace = { type: 'Metaspace', replacement: '\u2581', prepend_scheme: 'first' };
    const tokenizer = createTokenizer({
      tokenizerJson: { ...byteFallbackJson(), decoder: metaspace },
    });
    expect(tokenizer.decode([1, 262, 262])).toBe('a a');
    expect(streamed(tokenizer, [262, 262])).toEqual(['a', ' a', '']);
    expect(tokenizer.decode([259, 262])).toBe(' a');
  });

  it('lets add_bos_token and add_eos_token replace the post-processor', () => {
    const ids = (tokenizerConfig: unknown, tokenizerJson: unknown = byteFallbackJson()) =>
      createTokenizer({ tokenizerJson, tokenizerConfig }).encode('a');
    const tokens = { bos_token: '<s>', eos_token: { content: '</s>' } };
    const bare = { ...byteFallbackJson(), post_processor: null };
    expect(ids({})).toEqual([1, 262]);
    expect(ids(tokens, bare)).toEqual([262]);
    expect(ids({ ...tokens, add_bos_token: true }, bare)).toEqual([1, 262]);
    expect(ids({ ...tokens, add_bos_token: false })).toEqual([262]);
    expect(ids({ ...tokens, add_bos_token: true, add_eos_token: true })).toEqual([1, 262, 2]);
    expect(ids({ ...tokens, add_eos_token: true })).toEqual([262, 2]);
    expect(ids({ add_bos_token: true })).toEqual([262]);
  });

  it('treats a token that only the configuration names as special', () => {
    const tokenizer = createTokenizer({
      tokenizerJson: byteFallbackJson(),
      tokenizerConfig: { eos_token: 'b' },
    });
    expect(tokenizer.eosToken).toBe(261);
    expect(tokenizer.isSpecial(261)).toBe(true);
    expect(tokenizer.decode(tokenizer.encode('ab'))).toBe('a');
  });
});

describe('errors', () => {
  const files = (entries: Readonly<Record<string, string>>) => ({
    name: 'model',
    has: async (path: string) => path in entries,
    text: async (path: string) => entries[path]!,
  });

  it('reads a folder and names the file that is missing or malformed', async () => {
    const json = JSON.stringify(byteFallbackJson());
    const tokenizer = await loadTokenizer(
      files({
        'tokenizer.json': json,
        'tokenizer_config.json': '{"chat_template": "old", "eos_token": "</s>"}',
        'chat_template.jinja': 'new',
      }),
    );
    expect([tokenizer.eosToken, tokenizer.chatTemplate]).toEqual([2, 'new']);
    const load = (entries: Record<string, string>) => loadTokenizer(files(entries));
    await expect(load({})).rejects.toThrow(
      new FormatError('model: expected a file tokenizer.json, got none'),
    );
    await expect(load({ 'tokenizer.json': '{' })).rejects.toThrow(
      /^model\/tokenizer.json: expected JSON/,
    );
    await expect(load({ 'tokenizer.json': '[]' })).rejects.toThrow(FormatError);
    await expect(
      load({ 'tokenizer.json': json, 'tokenizer_config.json': '{"bos_token": 5}' }),
    ).rejects.toThrow(/^model\/tokenizer_config.json: /);
  });

  const changed = (change: object) => () =>
    createTokenizer({ tokenizerJson: { ...byteFallbackJson(), ...change } });
  const model = byteFallbackJson()['model'] as object;
  it.each([
    ['no vocabulary', { model: {} }, FormatError],
    ['an id that is no number', { model: { ...model, vocab: { a: 'x' } } }, FormatError],
    ['an id out of range', { model: { ...model, vocab: { a: 2 ** 31 } } }, FormatError],
    ['merges that are no list', { model: { ...model, merges: 7 } }, FormatError],
    ['an unknown model', { model: { ...model, type: 'Runes' } }, UnsupportedError],
    ['no decoder', { decoder: null }, UnsupportedError],
    ['a WordPiece decoder', { decoder: { type: 'WordPiece', prefix: '##' } }, UnsupportedError],
    ['a decoder without type', { decoder: {} }, FormatError],
    ['word suffixes', { model: { ...model, end_of_word_suffix: '</w>' } }, UnsupportedError],
    [
      'whole-word added tokens',
      { added_tokens: [{ id: 1, content: '<s>', single_word: true }] },
      UnsupportedError,
    ],
  ])('refuses %s', (_name, change, kind) => {
    expect(changed(change)).toThrow(kind);
  });

  it('refuses unknown options, ids that are none, and named tokens that are not there', () => {
    expect(() => target.encode('a', { addBos: true } as object)).toThrow(OptionError);
    expect(() => target.decode([0.5])).toThrow(OptionError);
    expect(() => target.decode([-1])).toThrow(OptionError);
    expect(() => target.stream({ skip: true } as object)).toThrow(OptionError);
    expect(() =>
      createTokenizer({
        tokenizerJson: byteFallbackJson(),
        tokenizerConfig: { eos_token: '<end>' },
      }),
    ).toThrow(/eos_token: expected a token of the vocabulary/);
  });
});
