// Models in GGUF files: another's file against its golden values, ours exported and read back against the folders they
// come from, the tokenizers of both kinds, types that are converted, and what is refused.
import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cpu } from '../../src/kernels/cpu/index.ts';
import { convert } from '../../src/kernels/dtype.ts';
import type { TypedArray } from '../../src/kernels/plan.ts';
import type { DecoderConfig } from '../../src/models/config.ts';
import type { Decoder } from '../../src/models/decoder.ts';
import { exportGguf } from '../../src/models/gguf/export.ts';
import { preTokenizerOf, preTokenizerSections } from '../../src/models/gguf/pretokenizers.ts';
import { tokenizerFilesOf } from '../../src/models/gguf/tokenizer.ts';
import { tokenizerFields } from '../../src/models/gguf/vocabulary.ts';
import { load, loadModel } from '../../src/models/load.ts';
import { createTokenizer, type TokenizerFiles } from '../../src/models/tokenizer.ts';
import { argmax } from '../../src/speculate/sample.ts';
import { openGguf } from '../../src/tensor/gguf.ts';
import type { GgufDType, GgufField } from '../../src/tensor/gguf-types.ts';
import { writeGguf } from '../../src/tensor/gguf-writer.ts';
import { writeSafetensors } from '../../src/tensor/safetensors.ts';
import { type FolderSource, memorySource, openFolder } from '../../src/tensor/source.ts';
import { demoFixtures, tinyFixtures } from './fixtures.ts';
import { type GoldenCase, worstDifference } from './golden-case.ts';

const path = (relative: string) => new URL(relative, import.meta.url).pathname;
const readJson = (file: string) => JSON.parse(readFileSync(file, 'utf8'));
const target = path('../../models/target');

/** A sink and the file it gets. */
function sink() {
  const parts: Uint8Array[] = [];
  return {
    write: async (bytes: Uint8Array) => void parts.push(bytes.slice()),
    file: () => new Uint8Array(Buffer.concat(parts)),
  };
}

async function exported(from: string | FolderSource, type: GgufDType): Promise<FolderSource> {
  const out = sink();
  const { bytes } = await exportGguf(from, out, { type });
  expect(bytes).toBe(out.file().length);
  return memorySource({ 'a.gguf': out.file() }, 'memory');
}

async function logitsOf(
  model: Decoder,
  tokens: readonly number[],
): Promise<readonly Float32Array[]> {
  const cache = model.createCache();
  const keep = tokens.map((_, row) => row);
  const { logits } = await model.forward(cache, [{ sequence: cache.sequence(), tokens, keep }]);
  cache.dispose();
  return logits;
}

async function greedyIds(model: Decoder, prompt: readonly number[], count: number) {
  const cache = model.createCache();
  const sequence = cache.sequence();
  const ids: number[] = [];
  let tokens = prompt;
  while (ids.length < count) {
    const { logits } = await model.forward(cache, [{ sequence, tokens }]);
    ids.push(argmax(logits[0]));
    tokens = ids.slice(-1);
  }
  cache.dispose();
  return ids;
}

const stories = path('../../../shared/models/stories260K');
const noStories = !existsSync(`${stories}/stories260Ktok512.gguf`);
const skipped = ' (skipped: the shared folder is not beside the repository)';

describe("somebody else's GGUF", () => {
  const file = `${stories}/stories260Ktok512.gguf`;

  it.skipIf(noStories)(
    `gives the logits and the tokens of its folder${noStories ? skipped : ''}`,
    async () => {
      using loaded = await load(file);
      expect(loaded.loadMs).toBeGreaterThan(0);
      const cases: readonly GoldenCase[] = readJson(`${stories}/golden.json`).cases;
      let checked = 0;
      for (const { input_ids, last_logits, greedy_ids } of cases) {
        if (!last_logits || !greedy_ids) continue;
        const rows = await logitsOf(loaded.model, input_ids);
        expect(worstDifference(rows[rows.length - 1], last_logits)).toBeLessThan(1e-4);
        // The file says that it has 128 positions.
        const count = Math.min(greedy_ids.length, 127 - input_ids.length);
        expect(await greedyIds(loaded.model, input_ids, count)).toEqual(greedy_ids.slice(0, count));
        checked += 1;
      }
      expect(checked).toBe(3);
    },
  );

  it.skipIf(noStories)(
    `gives the ids and texts of its tokenizer${noStories ? skipped : ''}`,
    async () => {
      const { tokenizer } = await load(file);
      const { cases_with_bos, cases_without_bos } = readJson(`${stories}/tokenizer_golden.json`);
      for (const [cases, addSpecialTokens] of [
        [cases_with_bos ?? [], true],
        [cases_without_bos ?? [], false],
      ])
        for (const { text, ids, ids_without_bos, decoded = text } of cases) {
          const want = ids ?? ids_without_bos;
          expect([text, tokenizer.encode(text, { addSpecialTokens })]).toEqual([text, want]);
          expect(tokenizer.decode(want)).toBe(decoded);
        }
      expect((cases_with_bos ?? cases_without_bos).length).toBeGreaterThanOrEqual(215);
      expect([tokenizer.bosToken, tokenizer.eosToken]).toEqual([1, 2]);
    },
  );

  it.skipIf(noStories)(
    `is quantised from a GGUF as from its folder${noStories ? skipped : ''}`,
    async () => {
      const from = await loadModel(await exported(file, 'q8_0'), { contextLength: 64 });
      const folder = await loadModel(await exported(stories, 'q8_0'), { contextLength: 64 });
      const tokens = [1, 403, 407, 261, 378];
      expect(await logitsOf(from, tokens)).toEqual(await logitsOf(folder, tokens));
    },
  );
});

/** A byte-level tokenizer of 64 tokens for the models without one. */
const letters = [...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'];
const tinyTokenizer: TokenizerFiles = {
  tokenizerJson: {
    added_tokens: [
      { id: 1, content: '<s>', special: true },
      { id: 2, content: '</s>', special: true },
    ],
    ...preTokenizerSections(preTokenizerOf('gpt-2', '')),
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(
        letters.map((letter, i) => [letter, i === 0 ? 0 : i + 2]).slice(0, 60),
      ),
      merges: [],
    },
  },
  tokenizerConfig: { bos_token: '<s>', eos_token: '</s>', add_bos_token: true },
};

async function withTokenizer(folder: string): Promise<FolderSource> {
  const source = await openFolder(folder);
  const more = memorySource({
    'tokenizer.json': JSON.stringify(tinyTokenizer.tokenizerJson),
    'tokenizer_config.json': JSON.stringify(tinyTokenizer.tokenizerConfig),
  });
  return {
    ...source,
    has: async (file) => (await more.has(file)) || source.has(file),
    text: async (file) => ((await more.has(file)) ? more.text(file) : source.text(file)),
  };
}

describe.each(tinyFixtures)('$name as a GGUF', ({ folder, name, cases }) => {
  it('gives the same configuration and the same bits', async () => {
    const source = await withTokenizer(folder);
    const type = name.endsWith('bf16') ? 'bf16' : name.endsWith('f16') ? 'f16' : 'f32';
    const again = await loadModel(await exported(source, type));
    const model = await loadModel(source);
    await source.close();
    const { raw: _, rope, ...config } = model.config;
    const { raw: __, rope: ropeAgain, ...configAgain } = again.config;
    // A window on every layer is what makes a llama file a Mistral.
    const modelType = name.endsWith('mistral-full') ? 'llama' : config.modelType;
    expect(configAgain).toEqual({ ...config, modelType });
    // Stretched frequencies of Llama 3 are f32 factors in the file.
    if (rope.type !== 'llama3') expect(ropeAgain).toEqual(rope);
    const tolerance = rope.type === 'llama3' ? 1e-5 : 0;
    for (const { input_ids } of cases) {
      const [got, want] = [await logitsOf(again, input_ids), await logitsOf(model, input_ids)];
      for (const [row, logits] of want.entries())
        expect(worstDifference(got[row], Array.from(logits))).toBeLessThanOrEqual(tolerance);
    }
  });
});

describe.each(demoFixtures)('$name, quantised', ({ folder, cases }) => {
  it.each(['q8_0', 'q4_0'] as const)(
    'to %s, is the same from a GGUF as from its folder, bit for bit',
    async (type) => {
      const fromFile = await load(await exported(folder, type));
      const fromFolder = await load(folder, { dtype: type });
      for (const { input_ids, prompt } of cases) {
        expect(await logitsOf(fromFile.model, input_ids)).toEqual(
          await logitsOf(fromFolder.model, input_ids),
        );
        expect(fromFile.tokenizer.encode(prompt!)).toEqual(fromFolder.tokenizer.encode(prompt!));
      }
      const { bosToken, eosToken, vocabSize } = fromFolder.tokenizer;
      expect(fromFile.tokenizer).toMatchObject({ bosToken, eosToken, vocabSize });
      expect(fromFile.model.config.eosTokens).toEqual(fromFolder.model.config.eosTokens);
    },
  );
});

it('the q8_0 of the embedded target still tells the story that f32 tells', async () => {
  const q8 = await loadModel(target, { dtype: 'q8_0' });
  const f32 = await loadModel(target, { dtype: 'f32' });
  const [{ input_ids }] = demoFixtures[0].cases;
  const [rows, exact] = [await logitsOf(q8, input_ids), await logitsOf(f32, input_ids)];
  const worst = worstDifference(rows[rows.length - 1], Array.from(exact[exact.length - 1]));
  expect(worst).toBeGreaterThan(0);
  expect(worst).toBeLessThan(0.2);
  expect(q8.report.notes).toContain(
    '4 matrices with rows of 688 kept in bf16: q8_0 takes whole blocks of 32',
  );
});

describe('a GGUF of mixed types', () => {
  const source = () =>
    memorySource({ 'mixed.gguf': readFileSync(path('../golden/gguf/mixed.gguf')) }, 'memory');

  /** The same model as a folder of f32, rows of q and k in halves. */
  async function folder(): Promise<FolderSource> {
    const file = await openGguf(source(), 'mixed.gguf');
    const names: Record<string, string> = {
      token_embd: 'model.embed_tokens',
      output_norm: 'model.norm',
      output: 'lm_head',
      'blk.0.attn_norm': 'model.layers.0.input_layernorm',
      'blk.0.ffn_norm': 'model.layers.0.post_attention_layernorm',
      'blk.0.attn_output': 'model.layers.0.self_attn.o_proj',
      ...Object.fromEntries(
        ['q', 'k', 'v'].map((each) => [
          `blk.0.attn_${each}`,
          `model.layers.0.self_attn.${each}_proj`,
        ]),
      ),
      ...Object.fromEntries(
        ['gate', 'up', 'down'].map((each) => [
          `blk.0.ffn_${each}`,
          `model.layers.0.mlp.${each}_proj`,
        ]),
      ),
    };
    const tensors = [];
    for (const { name, dtype, shape } of file.tensors.values()) {
      let data = convert(await file.read(name), dtype ?? 'f32', 'f32') as Float32Array;
      if (/attn_[qk]\./.test(name)) {
        const rows = data.slice();
        for (let row = 0; row < shape[0]; row++) {
          // Neighbours 2i and 2i + 1 of a head of eight are i and i + 4.
          const [head, place] = [Math.floor(row / 8), row % 8];
          const to = head * 8 + (place % 2) * 4 + Math.floor(place / 2);
          rows.set(data.subarray(row * 256, (row + 1) * 256), to * 256);
        }
        data = rows;
      }
      const renamed = `${names[name.replace(/\.weight$/, '')]}.weight`;
      tensors.push({ name: renamed, dtype: 'f32' as const, shape, data });
    }
    const config = {
      model_type: 'llama',
      vocab_size: 48,
      hidden_size: 256,
      intermediate_size: 32,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      num_key_value_heads: 1,
      head_dim: 8,
      max_position_embeddings: 64,
      rms_norm_eps: 1e-5,
    };
    return memorySource({
      'config.json': JSON.stringify(config),
      'model.safetensors': writeSafetensors(tensors),
    });
  }

  const tokens = [3, 14, 15, 9, 26, 5, 35, 8];

  it('gives the bits of its weights in f32', async () => {
    const model = await loadModel(source(), { dtype: 'f32' });
    expect(await logitsOf(model, tokens)).toEqual(
      await logitsOf(await loadModel(await folder()), tokens),
    );
  });

  it('keeps what has a kernel and converts the others to q8_0, and says which', async () => {
    const model = await loadModel(source());
    const notes = model.report.notes.filter((note) => note.includes('converted'));
    expect(notes.sort()).toEqual([
      '1 tensors of Q4_1 converted to q8_0',
      '1 tensors of Q5_0 converted to q8_0',
      '1 tensors of Q5_1 converted to q8_0',
      '1 tensors of Q5_K converted to q8_0',
      '1 tensors of Q6_K converted to q8_0',
      '2 tensors of Q4_K converted to q8_0',
    ]);
    const exact = await logitsOf(await loadModel(source(), { dtype: 'f32' }), tokens);
    const got = await logitsOf(model, tokens);
    const scale = Math.max(...exact[7].map(Math.abs));
    const worst = worstDifference(got[7], Array.from(exact[7])) / scale;
    expect(worst).toBeGreaterThan(0);
    expect(worst).toBeLessThan(0.05);
  });

  it('wants a tokenizer for load', async () => {
    await expect(load(source())).rejects.toThrow(
      'memory/mixed.gguf: tokenizer.ggml.tokens: expected the tokens of a vocabulary, got none',
    );
  });
});

const shared = path('../../../shared');
const vocabularies = ['gpt2', 'llama2', 'llama3', 'mistral-v1', 'mistral-v3', 'qwen2'];

describe.each(vocabularies)('the tokenizer %s', (name) => {
  const folder = `${shared}/tokenizers/${name}`;
  const absent = !existsSync(`${folder}/tokenizer_golden.json`);
  it.skipIf(absent)(`goes through a GGUF with the same ids${absent ? skipped : ''}`, () => {
    const config = `${folder}/tokenizer_config.json`;
    const files: TokenizerFiles = {
      tokenizerJson: readJson(`${folder}/tokenizer.json`),
      tokenizerConfig: existsSync(config) ? readJson(config) : undefined,
    };
    const { vocabSize: vocab, bosToken } = createTokenizer(files);
    const fields = tokenizerFields(files, { vocab, eosTokens: [] } as unknown as DecoderConfig);
    const metadata = Object.fromEntries(fields.map(([key, { value }]) => [key, value]));
    const tokenizer = createTokenizer(tokenizerFilesOf(metadata, 'a.gguf'));
    expect(tokenizer.bosToken).toBe(bosToken);
    const golden = readJson(`${folder}/tokenizer_golden.json`);
    let cases = 0;
    for (const key of ['cases_with_bos', 'cases_without_bos', 'llama_cpp_vectors'])
      for (const { text, ids, ids_without_bos, decoded = text } of golden[key] ?? []) {
        const want = ids ?? ids_without_bos;
        const addSpecialTokens = key === 'cases_with_bos';
        expect([text, tokenizer.encode(text, { addSpecialTokens })]).toEqual([text, want]);
        expect(tokenizer.decode(want)).toBe(decoded);
        cases += 1;
      }
    expect(cases).toBeGreaterThanOrEqual(215);
  });
});

describe('the ways to cut a text', () => {
  const cut = (name: string, text: string): string[] => {
    // Every byte a token and no merges: the ids are bytes; a token for a whole piece shows the cuts.
    const pieces = text.split('|').map((piece) => piece.replaceAll(' ', 'Ġ').replaceAll('\n', 'Ċ'));
    const vocab = Object.fromEntries(
      [...new Set([...pieces.join(''), ...pieces])].map((token, id) => [token, id]),
    );
    const { tokenizerJson } = {
      tokenizerJson: {
        ...preTokenizerSections(preTokenizerOf(name, '')),
        post_processor: null,
        decoder: { type: 'ByteLevel' },
        model: { type: 'BPE', vocab, merges: [], ignore_merges: true },
      },
    };
    const tokenizer = createTokenizer({ tokenizerJson });
    return tokenizer.encode(text.replaceAll('|', '')).map((id) => tokenizer.idToToken(id)!);
  };
  it.each([
    ['gpt-2', "it|'s| 12345|  | a|!!"],
    ['llama-bpe', "it|'S| |123|45| a|!!\n"],
    ['qwen2', "it|'S| |1|2|3| a|!!\n"],
    ['tekken', 'Hello|World| |1|2| a|!/\n'],
    ['smollm', 'a| |1|2| b'],
    ['default', 'a| b|.| c|+|123|45'],
  ])('%s: %j', (name, text) => {
    const pieces = text.split('|').map((piece) => piece.replaceAll(' ', 'Ġ').replaceAll('\n', 'Ċ'));
    expect(cut(name, text)).toEqual(pieces);
  });
});

const u32 = (value: number): GgufField => ({ type: 'u32', value });
const text = (value: string): GgufField => ({ type: 'string', value });

/** A tiny llama after a change of its metadata or tensors. */
async function changed(
  change: (
    fields: Map<string, GgufField>,
    tensors: Map<string, { shape: readonly number[]; data: TypedArray }>,
  ) => void,
): Promise<FolderSource> {
  const source = await withTokenizer(path('../golden/tiny-random-llama'));
  const file = await openGguf(await exported(source, 'f32'), 'a.gguf');
  await source.close();
  const fields = new Map(file.fields);
  const tensors = new Map<string, { shape: readonly number[]; data: TypedArray }>();
  for (const { name, shape } of file.tensors.values())
    tensors.set(name, { shape, data: await file.read(name) });
  change(fields, tensors);
  const out = sink();
  await writeGguf(out, {
    metadata: fields,
    tensors: [...tensors].map(([name, { shape, data }]) => ({
      name,
      shape,
      dtype: 'f32' as const,
      chunks: () => [data],
    })),
  });
  return memorySource({ 'a.gguf': out.file() }, 'memory');
}

describe('load refuses, with the file and the key, a GGUF', () => {
  const tokens = (value: readonly string[]): GgufField => ({ type: 'array', of: 'string', value });
  it.each<[string, Parameters<typeof changed>[0], string, string?]>([
    [
      'of another architecture',
      (fields) => fields.set('general.architecture', text('gemma')),
      'memory/a.gguf: general.architecture: expected "llama" or "qwen2" or "qwen3", got "gemma"',
      'UnsupportedError',
    ],
    [
      'without an architecture',
      (fields) => fields.delete('general.architecture'),
      'general.architecture',
    ],
    [
      'that is an adapter',
      (fields) => fields.set('general.type', text('adapter')),
      'general.type: expected "model", got "adapter"',
      'UnsupportedError',
    ],
    [
      'that is a part',
      (fields) => fields.set('split.count', { type: 'u16', value: 3 }),
      'split.count: expected a model in one file, got one of 3',
      'UnsupportedError',
    ],
    [
      'of experts',
      (fields) => fields.set('llama.expert_count', u32(8)),
      'llama.expert_count: expected 0, got 8',
      'UnsupportedError',
    ],
    [
      'of another rotary scaling',
      (fields) => fields.set('llama.rope.scaling.type', text('longrope')),
      'llama.rope.scaling.type: expected "none" or "linear" or "yarn", got "longrope"',
      'UnsupportedError',
    ],
    [
      'with a rotary key that is not known',
      (fields) => fields.set('llama.rope.scaling.alpha', { type: 'f32', value: 2 }),
      'llama.rope.scaling.alpha: expected no such key, got 2',
      'UnsupportedError',
    ],
    [
      'with a partial rotation',
      (fields) => fields.set('llama.rope.dimension_count', u32(4)),
      'llama.rope.dimension_count: expected 8 as the width of a head, got 4',
      'UnsupportedError',
    ],
    ['without layers', (fields) => fields.delete('llama.block_count'), 'block_count'],
    [
      'with more layers than anybody has',
      (fields) => fields.set('llama.block_count', u32(2 ** 31)),
      'num_hidden_layers',
    ],
    [
      'with a width that is text',
      (fields) => fields.set('llama.embedding_length', text('wide')),
      'embedding_length',
    ],
    [
      'with heads wider than memory',
      (fields) => fields.set('llama.attention.key_length', u32(2 ** 32 - 1)),
      'llama.attention.key_length: expected heads of at most 65536, got 4294967295',
    ],
    [
      'without an embedding',
      (_, tensors) => tensors.delete('token_embd.weight'),
      'token_embd.weight: expected a tensor, got none',
    ],
    [
      'without a norm',
      (_, tensors) => tensors.delete('output_norm.weight'),
      'missing output_norm.weight [32]',
    ],
    [
      'with a tensor too many',
      (_, tensors) => tensors.set('blk.9.ffn_up.weight', { shape: [1], data: new Float32Array(1) }),
      'unused blk.9.ffn_up.weight in a.gguf',
    ],
    [
      'with rotary factors of another size',
      (_, tensors) =>
        tensors.set('rope_freqs.weight', { shape: [3], data: new Float32Array(3).fill(1) }),
      'rope_freqs.weight: expected F32 [4], got F32 [3]',
    ],
    [
      'with a rotary factor of zero',
      (_, tensors) => tensors.set('rope_freqs.weight', { shape: [4], data: new Float32Array(4) }),
      'rope_freqs.weight: expected positive factors',
    ],
    [
      'with an unknown way to cut',
      (fields) => fields.set('tokenizer.ggml.pre', text('grok-9')),
      'tokenizer.ggml.pre: expected one of gpt-2, llama-bpe',
      'UnsupportedError',
    ],
    [
      'with another kind of tokenizer',
      (fields) => fields.set('tokenizer.ggml.model', text('bert')),
      'tokenizer.ggml.model: expected llama or gpt2, got "bert"',
      'UnsupportedError',
    ],
    [
      'without tokens',
      (fields) => fields.delete('tokenizer.ggml.tokens'),
      'tokenizer.ggml.tokens: expected the tokens of a vocabulary, got none',
    ],
    [
      'with tokens that are numbers',
      (fields) =>
        fields.set('tokenizer.ggml.tokens', { type: 'array', of: 'u8', value: Uint8Array.of(1) }),
      'expected an array of strings',
    ],
    [
      'with fewer types than tokens',
      (fields) =>
        fields.set('tokenizer.ggml.token_type', {
          type: 'array',
          of: 'i32',
          value: new Int32Array(3),
        }),
      'tokenizer.ggml.token_type: expected one for each of 64 tokens, got 3',
    ],
    [
      'with a token twice',
      (fields) =>
        fields.set(
          'tokenizer.ggml.tokens',
          tokens([...'abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz012345678901']),
        ),
      'tokenizer.ggml.tokens[26]: expected a token once, got "a" as 0 too',
    ],
    [
      'with a merge of one token',
      (fields) => fields.set('tokenizer.ggml.merges', tokens(['ab'])),
      'tokenizer.ggml.merges[0]: expected two tokens with a space between, got "ab"',
    ],
    [
      'without merges',
      (fields) => fields.delete('tokenizer.ggml.merges'),
      'tokenizer.ggml.merges: expected the merges of a vocabulary, got none',
    ],
    [
      'of SentencePiece without scores',
      (fields) => fields.set('tokenizer.ggml.model', text('llama')),
      'tokenizer.ggml.scores: expected the scores of the tokens, got none',
    ],
  ])('%s', async (_, change, message, name = 'FormatError') => {
    const error = await load(await changed(change)).catch((caught: Error) => caught);
    expect((error as Error).message).toContain(message);
    expect((error as Error).message).toContain('memory/a.gguf');
    expect(error).toMatchObject({ name });
  });

  it('or reads it as it stands, with a few bytes of its header changed', async () => {
    const source = await changed(() => {});
    const bytes = await source.read('a.gguf', 0, await source.size('a.gguf'));
    const { tensors } = await openGguf(source, 'a.gguf');
    const header = Math.min(...[...tensors.values()].map(({ from }) => from));
    const change = fc.record({ index: fc.nat({ max: header - 1 }), value: fc.nat({ max: 255 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
        const broken = bytes.slice();
        for (const { index, value } of changes) broken[index] = value;
        const options = { backend: cpu(), contextLength: 8 };
        try {
          (await load(memorySource({ 'a.gguf': broken }, 'memory'), options)).dispose();
        } catch (error) {
          expect((error as Error).name).toMatch(/^(FormatError|UnsupportedError|OptionError)$/);
        }
      }),
      { numRuns: 400, seed: 3 },
    );
  });

  it('is read when nothing was changed', async () => {
    using loaded = await load(await changed(() => {}));
    expect(loaded.tokenizer.encode('abc')).toEqual([1, 0, 3, 4]);
  });
});

describe('the metadata', () => {
  it('gives end tokens of turns and messages, and leaves out ids beyond the vocabulary', async () => {
    const source = await changed((fields) => {
      fields.set('tokenizer.ggml.eot_token_id', u32(7));
      fields.set('tokenizer.ggml.eom_token_id', u32(2 ** 32 - 1));
    });
    const { config } = await loadModel(source);
    expect(config.eosTokens).toEqual([2, 7]);
  });

  it('gives a chat template, and others by name', async () => {
    const source = await changed((fields) => {
      fields.set('tokenizer.chat_template', text('{{ messages[0].content }}'));
      fields.set('tokenizer.chat_template.tool_use', text('tools: {{ messages[0].content }}'));
    });
    const { tokenizer } = await load(source);
    const message = [{ role: 'user', content: 'hi' }];
    expect(tokenizer.renderChat(message)).toBe('hi');
    expect(tokenizer.renderChat(message, { tools: [] })).toBe('tools: hi');
  });

  it('gives a window, which makes a llama a Mistral', async () => {
    const source = await changed((fields) => fields.set('llama.attention.sliding_window', u32(8)));
    const { config } = await loadModel(source);
    expect(config).toMatchObject({ modelType: 'mistral', windows: [8, 8] });
  });
});

it('exportGguf says what llama.cpp does not read', async () => {
  const notes = async (name: string) => {
    const source = await withTokenizer(path(`../golden/${name}`));
    const result = await exportGguf(source, sink(), { type: 'f32' });
    await source.close();
    return result.notes.join();
  };
  expect(await notes('tiny-random-mistral-swa8')).toContain('sliding window of 8');
  expect(await notes('tiny-random-llama')).toBe('');
});

describe('exportGguf refuses', () => {
  it('options it does not know, and what the format cannot say', async () => {
    await expect(exportGguf(target, sink(), { type: 'q2_k' } as never)).rejects.toThrow('type');
    await expect(exportGguf(target, sink(), { type: 'f32', tipe: 1 } as never)).rejects.toThrow(
      'tipe',
    );
    const source = await withTokenizer(path('../golden/tiny-random-mistral-swa8'));
    const config = JSON.parse(await source.text('config.json'));
    config.layer_types = ['full_attention', 'sliding_attention'];
    const mixed = {
      ...source,
      text: async (file: string) =>
        file === 'config.json' ? JSON.stringify(config) : source.text(file),
    };
    await expect(exportGguf(mixed, sink(), { type: 'f32' })).rejects.toThrow(
      'sliding_window: expected one window for all layers',
    );
    await source.close();
  });

  it('to go on after an abort', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const options = {
      type: 'f16',
      signal: controller.signal,
      onProgress: () => controller.abort(reason),
    } as const;
    await expect(exportGguf(target, sink(), options)).rejects.toBe(reason);
  });
});

it('a backend is disposed with a model that came from a GGUF', async () => {
  const backend = cpu();
  let held = 0;
  const counting = {
    ...backend,
    alloc: (...args: Parameters<typeof backend.alloc>) => {
      held += 1;
      return backend.alloc(...args);
    },
    free: () => void held--,
  };
  const model = await loadModel(await exported(target, 'q4_0'), { backend: counting });
  expect(held).toBeGreaterThan(30);
  model.dispose();
  expect(held).toBe(0);
});
