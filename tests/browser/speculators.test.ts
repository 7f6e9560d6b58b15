// Speculators in a worker of the page: drafts without changing a token, their proposal methods, errors, storage, and their end.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  connect,
  createEngine,
  type Engine,
  type EngineDrafter,
  type Origin,
  type RemoteModel,
  type RemoteSpeculator,
  type RoundData,
} from '../../src/browser/index.ts';
import { FormatError, OptionError, UnsupportedError } from '../../src/kernels/errors.ts';
import { wasm } from '../../src/kernels/wasm/index.ts';
import { load } from '../../src/models/load.ts';
import { generate } from '../../src/speculate/generate.ts';
import { Speculator } from '../../src/speculate/speculators/load.ts';
import { writeSafetensors } from '../../src/tensor/safetensors.ts';
import { memorySource } from '../../src/tensor/source.ts';
import { urlSource } from '../../src/tensor/url-source.ts';
import { byteLevelFiles } from '../models/tokenizers.ts';
import { turnTaking } from './turn-taking.ts';

type Files = Record<string, Uint8Array | string>;
type Json = Record<string, unknown>;

const HEAD = { url: '/tests/golden/heads/eagle3' };
const PROMPT = [1, 5, 9, 5, 9, 5, 17];
const COMMON = { maxTokens: 40, ignoreEos: true } as const;
/** Every proposal method of the format, the first by default. */
const METHODS: readonly Json[] = [
  { proposal_type: 'greedy', speculative_tokens: 3 },
  { proposal_type: 'sampling', speculative_tokens: 2 },
  { proposal_type: 'static_tree', initial_branching_factor: 3, branching_factor: 1, depth: 2 },
  { proposal_type: 'dynamic_tree', speculative_tokens: 6, expansion_factor: 3, depth: 3 },
];

const filesAt = async (folder: string): Promise<Files> =>
  Object.fromEntries(
    await Promise.all(
      ['config.json', 'model.safetensors'].map(async (name) => {
        const response = await fetch(`${folder}/${name}`);
        return [name, new Uint8Array(await response.arrayBuffer())] as const;
      }),
    ),
  );

/** The files with a config.json that is changed. */
function changed(files: Files, change: (config: Json) => Json): Files {
  const config = JSON.parse(new TextDecoder().decode(files['config.json'] as Uint8Array));
  return { ...files, 'config.json': JSON.stringify(change(config)) };
}

const proposing = (methods: readonly Json[]) => (config: Json) => ({
  ...config,
  speculators_config: {
    algorithm: config['speculators_model_type'],
    verifier: { name_or_path: null, architectures: [] },
    default_proposal_method: methods[0]['proposal_type'],
    proposal_methods: methods,
  },
});

/** An MLP speculator of two steps with weights that nobody trained. */
function mlpFiles(): Files {
  const [width, inner, vocab] = [32, 24, 64];
  const shapes = { emb: [vocab, inner], head: [vocab, inner], ln: [inner] };
  const wave = (shape: readonly number[]) =>
    Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, at) => Math.sin(at ** 2));
  const tensors = [
    ...Object.entries(shapes).map(([name, shape]) => ({ name: `${name}.0.weight`, shape })),
    { name: 'ln.0.bias', shape: [inner] },
    { name: 'proj.0.weight', shape: [inner, width] },
    { name: 'proj.1.weight', shape: [inner, inner] },
  ].map((tensor) => ({ ...tensor, dtype: 'f32' as const, data: wave(tensor.shape) }));
  const config = {
    speculators_model_type: 'mlp',
    hidden_size: width,
    intermediate_size: inner,
    vocab_size: vocab,
    num_layers: 2,
    tie_weights: true,
    top_k_tokens_per_head: [2, 2],
    n_candidates: 3,
  };
  return {
    'config.json': JSON.stringify(proposing(METHODS.slice(0, 1))(config)),
    'model.safetensors': writeSafetensors(tensors),
  };
}

let engine: Engine;
let targetFiles: Files;
let headFiles: Files;
let target: RemoteModel;
let head: RemoteSpeculator;
beforeAll(async () => {
  engine = createEngine();
  const words = Array.from({ length: 64 }, (_, id) => `w${id}`);
  const tokenizer = JSON.stringify(byteLevelFiles(words).tokenizerJson);
  const model = await filesAt('/tests/golden/tiny-random-llama-8l');
  targetFiles = { ...model, 'tokenizer.json': tokenizer };
  headFiles = await filesAt(HEAD.url);
  target = await engine.load({ memory: targetFiles, name: '8l' }, { contextLength: 96 });
  head = await engine.loadSpeculator(HEAD, { verifier: target });
});
afterAll(() => engine.dispose());

const withMethods = (verifier: RemoteModel) =>
  engine.loadSpeculator({ memory: changed(headFiles, proposing(METHODS)) }, { verifier });

describe('a speculator in an engine', () => {
  it('says what it is, what it proposes and how, and how far its load has come', async () => {
    const seen: number[] = [];
    const lossy = METHODS.with(1, { ...METHODS[1], accept_lenience: 0.5 });
    const loaded = await engine.loadSpeculator(
      { memory: changed(headFiles, proposing(lossy)) },
      {
        verifier: target,
        dtype: 'f16',
        onProgress: ({ loadedBytes, totalBytes }) => seen.push(loadedBytes / totalBytes),
      },
    );
    expect(seen.at(-1)).toBe(1);
    expect(loaded.algorithm).toBe('eagle3');
    expect(loaded.defaultProposal).toBe('greedy');
    const types = METHODS.map(({ proposal_type }) => proposal_type);
    expect(loaded.proposals.map(({ type }) => type)).toEqual(types);
    expect(loaded.proposals.map(({ notes }) => notes.join())).toEqual([
      '',
      expect.stringContaining('accept_lenience 0.5 changes the law'),
      '',
      '',
    ]);
    expect(loaded.notes).toEqual([]);
    await loaded.dispose();
  });

  it.each([0, 0.8])(
    'leaves the text as it is at temperature %d, in every shape',
    async (temperature) => {
      const common = { ...COMMON, temperature, seed: 7 };
      const plain = await target.generate(PROMPT, common);
      const shapes = [
        {},
        { branching: [2, 1] },
        { best: true },
        { best: { width: 2 } },
        { dynamic: { expansion: 2, levels: 3, tokens: 5 } },
        { paths: { expansion: [2, 2], kept: 3 } },
      ] as const;
      for (const shape of shapes) {
        const rounds: RoundData[] = [];
        const drafted = await target.generate(PROMPT, {
          ...common,
          drafter: { kind: 'speculator', speculator: head, ...shape },
          draftLength: 4,
          onRound: (round) => rounds.push(round),
        });
        expect([shape, drafted.tokens]).toEqual([shape, plain.tokens]);
        expect(drafted.stats.draftedTokens).toBeGreaterThan(0);
        const some = rounds.find(({ nodes }) => nodes.length > 0)!;
        expect(some.rows[0].some(({ q }) => q !== null && q > 0)).toBe(true);
      }
    },
  );

  it('drafts as far and judges as the proposal method says, as outside of the engine', async () => {
    const remote = await withMethods(target);
    const backend = wasm({ threads: 1 });
    const here = await load(memorySource(targetFiles), { backend, contextLength: 96 });
    const files = changed(headFiles, proposing(METHODS));
    const local = await Speculator.fromPretrained(memorySource(files), { verifier: here.model });
    for (const [index, { type }] of remote.proposals.entries()) {
      const common = { ...COMMON, temperature: 0.9, seed: index };
      const expected = await generate(here, PROMPT, { ...common, ...local.proposal(type) });
      const found = await target.generate(PROMPT, {
        ...common,
        drafter: { kind: 'speculator', speculator: remote, proposal: type },
      });
      const { draftedTokens, acceptedTokens, drafting } = expected.stats;
      const { drafter, draftLength } = drafting;
      expect(found.tokens).toEqual(expected.tokens);
      expect(found.stats).toMatchObject({ draftedTokens, acceptedTokens });
      expect(found.stats.drafting).toMatchObject({ drafter, draftLength });
    }
    local.dispose();
    here.dispose();
    backend.dispose();
    await remote.dispose();
  });

  it('drafts by its own method unless told otherwise, and takes the length and the verifier of the caller', async () => {
    const remote = await withMethods(target);
    /** Nodes of the largest draft, and what chance was asked for: only rejection has coins. */
    const seen = async (options: object, choice: object = {}) => {
      let most = 0;
      const kinds = new Set<string>();
      await target.generate(PROMPT, {
        ...COMMON,
        temperature: 0.9,
        ...options,
        drafter: { kind: 'speculator', speculator: remote, ...choice },
        onRound({ nodes, choices }) {
          most = Math.max(most, nodes.length);
          if (nodes.length > 0) for (const { kind } of choices) kinds.add(kind);
        },
      });
      return [most, kinds.has('coin') ? 'rejection' : kinds.has('race') ? 'match' : 'neither'];
    };
    expect(await seen({})).toEqual([3, 'match']);
    expect(await seen({ draftLength: 1, verifier: 'rejection' })).toEqual([1, 'rejection']);
    expect(await seen({}, { proposal: 'sampling' })).toEqual([2, 'rejection']);
    expect(await seen({ verifier: 'match' }, { proposal: 'sampling' })).toEqual([2, 'match']);
    await remote.dispose();
  });

  it('proposes the paths of an MLP speculator', async () => {
    const plain = await target.generate(PROMPT, COMMON);
    const mlp = await engine.loadSpeculator({ memory: mlpFiles() }, { verifier: target });
    expect(mlp.proposals.map(({ type }) => type)).toEqual(['greedy', 'paths']);
    const { tokens, stats } = await target.generate(PROMPT, {
      ...COMMON,
      drafter: { kind: 'speculator', speculator: mlp, proposal: 'paths' },
    });
    expect(tokens).toEqual(plain.tokens);
    expect(stats.drafting).toMatchObject({ drafter: 'mlp 3 paths of [2, 2]', draftLength: 6 });
    await mlp.dispose();
  });

  it('compares the tokenizer of an independent draft model with that of the target', async () => {
    const plain = await target.generate(PROMPT, COMMON);
    const files = changed(targetFiles, (config) =>
      proposing(METHODS)({ ...config, speculators_model_type: 'independent' }),
    );
    const loaded = await engine.loadSpeculator({ memory: files }, { verifier: target });
    expect([loaded.algorithm, loaded.notes]).toEqual(['independent', []]);
    const drafter = { kind: 'speculator', speculator: loaded } as const;
    const { tokens, stats } = await target.generate(PROMPT, { ...COMMON, drafter });
    expect(tokens).toEqual(plain.tokens);
    expect(stats.acceptedTokens).toBe(stats.draftedTokens);
    await loaded.dispose();
  });

  it('drafts for two texts at once', async () => {
    const drafter = { kind: 'speculator', speculator: head } as const;
    const prompts = [PROMPT, [1, 33, 2, 33, 40]];
    const alone: (readonly number[])[] = [];
    for (const prompt of prompts) alone.push((await target.generate(prompt, COMMON)).tokens);
    const together = await Promise.all(
      prompts.map((prompt) => target.generate(prompt, { ...COMMON, drafter })),
    );
    expect(together.map(({ tokens }) => tokens)).toEqual(alone);
    for (const { stats } of together) expect(stats.draftedTokens).toBeGreaterThan(0);
  });

  it('shapes the drafts of a model, too', async () => {
    const plain = await target.generate(PROMPT, COMMON);
    const shapes = [{ best: true }, { dynamic: { expansion: 2, levels: 3, tokens: 5 } }] as const;
    const names: string[] = [];
    for (const shape of shapes) {
      const drafter = { kind: 'model', model: target, ...shape } as const;
      const { tokens, stats } = await target.generate(PROMPT, {
        ...COMMON,
        drafter,
        draftLength: 5,
      });
      expect(tokens).toEqual(plain.tokens);
      names.push(stats.drafting.drafter);
    }
    expect(names).toEqual(['model best tree', 'model tree of 5, 2 wide']);
  });

  it('is kept in the storage of the browser as what it is', async () => {
    const plain = await target.generate(PROMPT, COMMON);
    const { bytes } = await engine.store('head', HEAD);
    await engine.store('broken', { memory: { 'config.json': '{' } });
    await engine.store('target', { memory: targetFiles });
    expect((await engine.stored()).map(({ name, kind }) => [name, kind])).toEqual([
      ['broken', 'model'],
      ['head', 'speculator'],
      ['target', 'model'],
    ]);
    const size = Object.values(headFiles).reduce((sum, { length }) => sum + length, 0);
    expect(bytes).toBe(size);
    const stored = await engine.loadSpeculator({ stored: 'head' }, { verifier: target });
    const drafter = { kind: 'speculator', speculator: stored } as const;
    expect((await target.generate(PROMPT, { ...COMMON, drafter })).tokens).toEqual(plain.tokens);
    for (const name of ['broken', 'head', 'target']) await engine.removeStored(name);
    await stored.dispose();
  });

  it('throws the errors that loading throws elsewhere', async () => {
    const other = await engine.load({ url: '/models/draft' }, { contextLength: 64 });
    const here = await load(urlSource('/models/draft'), { contextLength: 64 });
    const expected = await Speculator.fromPretrained(memorySource(headFiles, 'eagle3'), {
      verifier: here.model,
    }).catch((error: Error) => error);
    here.dispose();
    const remote = (origin: Origin, verifier = target) =>
      engine.loadSpeculator(origin, { verifier });
    const found = remote({ memory: headFiles, name: 'eagle3' }, other);
    await expect(found).rejects.toThrow(FormatError);
    await expect(found).rejects.toThrow((expected as Error).message);
    await other.dispose();

    await expect(remote({ url: '/models/draft' })).rejects.toThrow(
      'speculators_model_type: expected a speculator',
    );
    const unknown = changed(headFiles, (config) => ({ ...config, speculators_model_type: 'hope' }));
    await expect(remote({ memory: unknown })).rejects.toThrow(UnsupportedError);
    const wrong = { verifier: target, dtype: 'q9' as 'q8_0' };
    await expect(engine.loadSpeculator(HEAD, wrong)).rejects.toThrow(OptionError);
    const more = { verifier: target, backend: { name: 'cpu' } };
    await expect(engine.loadSpeculator(HEAD, more)).rejects.toThrow(/loadSpeculator: .*backend/s);
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(engine.loadSpeculator(HEAD, { verifier: target, signal })).rejects.toThrow(
      'enough',
    );
  });

  it('refuses what cannot draft', async () => {
    const drafting = (drafter: object) =>
      target.generate(PROMPT, { ...COMMON, drafter: drafter as EngineDrafter }).then();
    const speculator = { kind: 'speculator', speculator: head };
    const refused = async (drafter: object, message: string | RegExp) => {
      const found = drafting(drafter);
      await expect(found).rejects.toThrow(OptionError);
      await expect(found).rejects.toThrow(message);
    };
    await refused(
      { ...speculator, proposal: 'sampling' },
      'proposal: expected greedy, got sampling',
    );
    await refused(
      { ...speculator, proposal: 'greedy', branching: [2] },
      'expected a proposal or a shape, got proposal and branching',
    );
    await refused({ ...speculator, branching: [2], best: true }, 'expected one shape');
    await refused({ ...speculator, branching: [0] }, 'expected whole numbers from 1');
    await refused({ ...speculator, best: { width: 0 } }, 'best:');
    await refused({ ...speculator, width: 2 }, 'Unrecognized key: "width"');
    await refused({ kind: 'model', model: target, width: 2 }, 'Unrecognized key: "width"');
    await refused({ ...speculator, confidence: 0.5 }, 'confidence: expected a chain of a head');
    await refused({ kind: 'none', branches: 2 }, 'Unrecognized key: "branches"');
    await refused({ kind: 'hope' }, 'drafter: expected none, ngram');
    await refused(
      { kind: 'speculator', speculator: target },
      'expected a speculator of this engine, got another object',
    );
    const twin = await engine.load({ memory: targetFiles }, { contextLength: 96 });
    const drafter = { kind: 'speculator', speculator: head } as const;
    await expect(twin.generate(PROMPT, { drafter }).then()).rejects.toThrow(
      'expected a speculator that was loaded for this model, got one of another',
    );
    await twin.dispose();
    const elsewhere = createEngine();
    await expect(elsewhere.loadSpeculator(HEAD, { verifier: target })).rejects.toThrow(
      'loadSpeculator: verifier: expected a model of this engine, got another object',
    );
    elsewhere.dispose();
  });

  it('ends by itself or with its model, once, with one error for whoever asks for it then', async () => {
    const own = await engine.load({ memory: targetFiles }, { contextLength: 96 });
    const [first, second] = [await withMethods(own), await withMethods(own)];
    const drafting = (speculator: RemoteSpeculator, model = own) =>
      model.generate(PROMPT, { ...COMMON, drafter: { kind: 'speculator', speculator } });
    const plain = await own.generate(PROMPT, COMMON);
    await drafting(first);
    await first.dispose();
    await first.dispose();
    const gone = 'engine: expected a loaded speculator, got one that has been disposed';
    await expect(drafting(first).then()).rejects.toThrow(gone);
    expect((await drafting(second)).tokens).toEqual(plain.tokens);
    await own.dispose();
    await expect(drafting(second, target).then()).rejects.toThrow(gone);
    await expect(drafting(second).then()).rejects.toThrow('expected a loaded model');
    await second.dispose();
    await expect(engine.loadSpeculator(HEAD, { verifier: own })).rejects.toThrow(
      'engine: expected a loaded model, got one that has been disposed',
    );
  });

  it('ends a generation and a load that need it, with the same error', async () => {
    const own = connect(turnTaking());
    const origin = { memory: targetFiles };
    const options = { contextLength: 96, backend: { name: 'wasm', options: { threads: 1 } } };
    const model = await own.load(origin, options);
    const verifier = { verifier: model };
    const plain = await model.generate(PROMPT, COMMON);
    const onAborts = ['throw', 'return'] as const;
    for (const onAbort of onAborts) {
      const speculator = await own.loadSpeculator(HEAD, verifier);
      const drafter = { kind: 'speculator', speculator } as const;
      const generation = model.generate(PROMPT, { ...COMMON, drafter, onAbort });
      const reading = (async () => {
        for await (const _ of generation) await speculator.dispose();
      })();
      await expect(reading).rejects.toThrow('engine: expected a loaded speculator');
      expect((await model.generate(PROMPT, COMMON)).tokens).toEqual(plain.tokens);
    }
    let freed: Promise<void> | undefined;
    const loading = own.loadSpeculator(HEAD, {
      ...verifier,
      onProgress: () => {
        freed ??= model.dispose();
      },
    });
    await expect(loading).rejects.toThrow('engine: expected a loaded model');
    await freed;
    own.dispose();
  });
});
