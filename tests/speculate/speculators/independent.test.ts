// Independent draft models in the format: read, written, and drafting as the same model does outside of it.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { wasm } from '../../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import type { Drafter } from '../../../src/speculate/drafter.ts';
import { draftModel } from '../../../src/speculate/drafters/model.ts';
import { generate } from '../../../src/speculate/generate.ts';
import type { GenerateOptions } from '../../../src/speculate/options.ts';
import { openSpeculatorConfig } from '../../../src/speculate/speculators/config.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import { exportVllm } from '../../../src/speculate/speculators/vllm.ts';
import { memorySource } from '../../../src/tensor/source.ts';
import { tiny } from '../../models/fixtures.ts';
import { byteLevel, byteLevelFiles } from '../../models/tokenizers.ts';
import { spelled } from '../fixtures.ts';

const PROMPT = [1, 5, 9, 5, 9, 5];
const { folder } = tiny('llama-mha');
type Json = Record<string, unknown>;
const plainConfig: Json = JSON.parse(readFileSync(`${folder}/config.json`, 'utf8'));
const weights = new Uint8Array(readFileSync(`${folder}/model.safetensors`));

const config = {
  ...plainConfig,
  speculators_model_type: 'independent',
  speculators_version: '0.1.0',
  speculators_config: {
    algorithm: 'independent',
    default_proposal_method: 'greedy',
    proposal_methods: [
      { proposal_type: 'greedy', speculative_tokens: 3 },
      { proposal_type: 'sampling', speculative_tokens: 4 },
      { proposal_type: 'static_tree', initial_branching_factor: 3, branching_factor: 2, depth: 2 },
      { proposal_type: 'dynamic_tree', speculative_tokens: 7, expansion_factor: 3, depth: 3 },
    ],
    verifier: { name_or_path: 'target', architectures: ['LlamaForCausalLM'] },
  },
  of_mine: { kept: true },
};

const sourceWith = (changes: Json = {}, texts: Record<string, string> = {}) =>
  memorySource(
    {
      ...texts,
      'config.json': JSON.stringify({ ...config, ...changes }),
      'model.safetensors': weights,
    },
    'independent',
  );

describe('an independent draft model', () => {
  let verifier: Decoder;
  beforeAll(async () => {
    const backend = wasm({ threads: 1 });
    verifier = await loadModel(tiny('llama').folder, { backend, contextLength: 96 });
  });
  afterAll(() => verifier.dispose());

  async function roundsOf(drafter: Drafter, options: GenerateOptions) {
    const rounds: unknown[] = [];
    await generate({ model: verifier, tokenizer: spelled }, PROMPT, {
      maxTokens: 24,
      ignoreEos: true,
      draftLength: 4,
      ...options,
      drafter,
      onRound: ({ draft, emitted }) =>
        rounds.push({ drafted: draft.tokens.map(({ token }) => token), emitted }),
    });
    drafter.dispose?.();
    return rounds;
  }

  it('drafts what the same folder drafts as a plain model', async () => {
    using speculator = await Speculator.fromPretrained(sourceWith(), { verifier });
    using model = await loadModel(folder, { backend: verifier.backend, contextLength: 96 });
    for (const branching of [[1], [3, 2]])
      for (const temperature of [0, 0.8]) {
        const expected = await roundsOf(draftModel(model, { branching }), { temperature });
        expect(await roundsOf(speculator.drafter({ branching }), { temperature })).toEqual(
          expected,
        );
        expect(expected.length).toBeGreaterThan(4);
      }
    expect(speculator.head).toBe(null);
    expect(speculator.model!.config.layers).toBe(model.config.layers);
  });

  it('is written as it was read, with the files of its tokenizer', async () => {
    const texts = {
      'tokenizer.json': JSON.stringify(byteLevelFiles(['a', 'b']).tokenizerJson),
      'tokenizer_config.json': '{}',
      'chat_template.jinja': '{{ messages }}',
      'generation_config.json': '{"eos_token_id": 3}',
    };
    using read = await Speculator.fromPretrained(sourceWith({}, texts), { verifier });
    const files = await read.files();
    expect(files).toMatchObject(texts);
    expect(JSON.parse(String(files['config.json']))).toEqual(config);
    using again = await Speculator.fromPretrained(memorySource(files, 'again'), { verifier });
    expect(await again.files()).toEqual(files);
    expect(again.config).toEqual(read.config);
    expect(await roundsOf(again.drafter(), {})).toEqual(await roundsOf(read.drafter(), {}));
  });

  it('has the proposal methods, and no word of its acceptance', async () => {
    using speculator = await Speculator.fromPretrained(sourceWith(), { verifier });
    expect(speculator.proposal()).toMatchObject({ draftLength: 3, drafter: { name: 'model' } });
    expect(speculator.proposal('sampling')).toMatchObject({
      draftLength: 4,
      verifier: { name: 'rejection' },
    });
    const tree = speculator.proposal('static_tree');
    expect(tree).toMatchObject({ draftLength: 9, drafter: { name: 'model tree [3, 2]' } });
    expect(speculator.proposal('dynamic_tree').drafter.name).toMatch(
      /^model tree of \d+, \d+ wide$/,
    );
    expect(() => speculator.drafter({ confidence: 0.5 })).toThrow(
      'independent: expected a shape of an independent draft model, which says nothing of its acceptance',
    );
  });

  it('drafts what both vocabularies have when the tokenizers are known, and says when they are not', async () => {
    const words = byteLevelFiles(['x', 'b', 'a', 'c']);
    const texts = { 'tokenizer.json': JSON.stringify(words.tokenizerJson) };
    const source = sourceWith({}, texts);
    const tokenizer = byteLevel(['a', 'b', 'c', 'd']);
    using known = await Speculator.fromPretrained(source, { verifier, tokenizer });
    expect(known.notes).toContain(
      "the draft model has another vocabulary: it drafts the 3 of its 64 tokens that are among the target's 64",
    );
    const rounds = (await roundsOf(known.drafter(), {})) as { drafted: number[] }[];
    const drafted = rounds.flatMap((round) => round.drafted);
    expect(drafted.length).toBeGreaterThan(4);
    expect(drafted.every((token) => token < 3)).toBe(true);
    using unknown = await Speculator.fromPretrained(source, { verifier });
    expect(unknown.notes).toContain(
      "its tokenizer is not compared with the target's: the target's was not given",
    );
    using none = await Speculator.fromPretrained(sourceWith(), { verifier, tokenizer });
    expect(none.notes).toContain("its tokenizer is not compared with the target's: it has none");
  });

  it('needs the size of the vocabulary where no tokenizers are compared', async () => {
    using larger = await loadModel(tiny('qwen2').folder, { backend: verifier.backend });
    const { vocab } = larger.config;
    const other = Object.assign(Object.create(larger), { config: { ...larger.config, vocab: 65 } });
    expect(vocab).toBe(64);
    await expect(Speculator.fromPretrained(sourceWith(), { verifier: other })).rejects.toThrow(
      "independent/config.json: vocab_size: expected the target's 65 where no tokenizers are compared (it has none), got 64",
    );
  });

  it('names wrong keys and tensors as a model does', async () => {
    const load = (changes: Json) => Speculator.fromPretrained(sourceWith(changes), { verifier });
    await expect(load({ model_type: 'mamba' })).rejects.toThrow(
      'model_type: expected one of llama',
    );
    await expect(load({ hidden_size: 40 })).rejects.toThrow('independent');
    await expect(load({ num_hidden_layers: 1 })).rejects.toThrow('unused model.layers.1');
  });

  it('is served by vLLM in another way', async () => {
    const read = await openSpeculatorConfig(sourceWith());
    expect(() => exportVllm(read, { speculator: 'folder' })).toThrow(
      'got independent; it serves an ordinary draft model by its folder (method draft_model)',
    );
  });
});
