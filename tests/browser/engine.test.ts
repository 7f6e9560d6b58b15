// Models in a worker of the page: the same tokens as on the page itself, errors of the same classes, and a page that stays free.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type EngineWorker, type RemoteModel } from '../../src/browser/engine.ts';
import {
  createEngine,
  type Engine,
  type NodeData,
  type RoundData,
} from '../../src/browser/index.ts';
import { FormatError, OptionError, UnsupportedError } from '../../src/kernels/errors.ts';
import { wasm } from '../../src/kernels/wasm/index.ts';
import { load } from '../../src/models/load.ts';
import { generate } from '../../src/speculate/generate.ts';
import { urlSource } from '../../src/tensor/url-source.ts';

const PROMPT = 'Once upon a time';
const TARGET = { url: '/models/target' };
const DRAFT = { url: '/models/draft' };

let engine: Engine;
let target: RemoteModel;
let draft: RemoteModel;
beforeAll(async () => {
  engine = createEngine();
  target = await engine.load(TARGET);
  draft = await engine.load(DRAFT);
});
afterAll(() => engine.dispose());

const pick = ({ token, p, q }: NodeData) => ({ token, p, q });

const isolated = (globalThis as unknown as { readonly crossOriginIsolated: boolean })
  .crossOriginIsolated;

describe('an engine', () => {
  it('runs wasm, with threads because the page is isolated', () => {
    expect(isolated).toBe(true);
    expect(target.report.backend).toBe('wasm');
    expect(target.report.executor).toMatch(/SIMD, \d+ threads?$/);
    expect(target.parameters.vocab).toBeGreaterThan(1000);
  });

  it('gives the tokens of the page itself, one by one, and the same result', async () => {
    const backend = wasm({ threads: 1 });
    const here = await load(urlSource(TARGET.url), { backend });
    const expected = await generate(here, PROMPT, { maxTokens: 24, temperature: 0.7, seed: 3 });
    here.dispose();
    backend.dispose();
    const generation = target.generate(PROMPT, { maxTokens: 24, temperature: 0.7, seed: 3 });
    const ids: number[] = [];
    for await (const { id } of generation) ids.push(id);
    const result = await generation.result;
    expect(ids).toEqual(expected.tokens);
    expect(result.tokens).toEqual(expected.tokens);
    expect(result.text).toBe(expected.text);
    expect(result.stats.explain()).toBe(expected.stats.explain());
  });

  it('drafts with a model, with n-grams, with suffixes and with a prediction without changing a token', async () => {
    const common = { maxTokens: 48, ignoreEos: true };
    const plain = await target.generate(PROMPT, common);
    const drafters = [
      { kind: 'model', model: draft, branching: [2, 1] },
      { kind: 'ngram', maxLength: 2 },
      { kind: 'suffix', maxDepth: 12, offset: 1 },
      { kind: 'ngram', branches: 3 },
      { kind: 'suffix', tree: true, offset: 3 },
      {
        kind: 'prediction',
        tokens: await target.encode(plain.text, { addSpecialTokens: false }),
      },
    ] as const;
    for (const drafter of drafters) {
      const drafted = await target.generate(PROMPT, { ...common, drafter, draftLength: 4 });
      expect(drafted.tokens).toEqual(plain.tokens);
      expect(drafted.stats.draftedTokens).toBeGreaterThan(0);
    }
  });

  it('shows its rounds: what was drafted, both laws, the coins and the verdict', async () => {
    const rounds: RoundData[] = [];
    const result = await target.generate(PROMPT, {
      drafter: { kind: 'model', model: draft },
      draftLength: 3,
      verifier: 'rejection',
      temperature: 1,
      maxTokens: 24,
      ignoreEos: true,
      candidates: 5,
      onRound: (round) => rounds.push(round),
    });
    expect(rounds.flatMap(({ emitted }) => emitted)).toEqual(result.tokens);
    const drafted = rounds.filter(({ nodes }) => nodes.length > 0);
    expect(drafted.length).toBeGreaterThan(2);
    for (const { nodes, rows, path, choices, next } of drafted) {
      expect(rows).toHaveLength(nodes.length + 1);
      for (const [row, candidates] of rows.entries()) {
        expect(candidates.length).toBeGreaterThanOrEqual(5);
        expect(candidates.length).toBeLessThanOrEqual(12);
        expect(candidates.every(({ q }) => (q === null) === (row === nodes.length))).toBe(true);
        const at = candidates.find(({ token }) => token === nodes[row]?.token);
        if (row === path.length) expect(candidates.map(({ token }) => token)).toContain(next.token);
        expect(at).toEqual(row < nodes.length ? { ...at, ...pick(nodes[row]) } : undefined);
      }
      expect(nodes.map(({ parent }) => parent)).toEqual(nodes.map((_, node) => node - 1));
      expect(nodes.flatMap(({ accepted }, node) => (accepted ? [node] : []))).toEqual(path);
      const [coin] = choices.filter((choice) => choice.kind === 'coin');
      expect(coin.probability).toBeCloseTo(nodes[0].p / nodes[0].q, 12);
    }
    await expect(target.generate(PROMPT, { maxTokens: 2 })).resolves.toBeDefined();
  });

  it('shows the law of the drafter and the numbers of the race also where a draft is stated as a point', async () => {
    const rounds: RoundData[] = [];
    await target.generate(PROMPT, {
      drafter: { kind: 'model', model: draft, branching: [2, 1] },
      draftLength: 2,
      temperature: 0.8,
      maxTokens: 24,
      ignoreEos: true,
      onRound: (round) => rounds.push(round),
    });
    const drafted = rounds.filter(({ nodes }) => nodes.length > 0);
    expect(drafted.length).toBeGreaterThan(2);
    for (const { nodes, rows, choices } of drafted) {
      expect(nodes.every(({ q }) => q === 1)).toBe(true);
      expect(rows[0].filter(({ q }) => q! > 0 && q! < 1).length).toBeGreaterThan(1);
      for (const choice of choices) {
        if (choice.kind !== 'race') throw new Error(`expected a race, got a ${choice.kind}`);
        const times = choice.candidates.map((each) => -Math.log(each.number) / each.probability);
        expect(choice.candidates[times.indexOf(Math.min(...times))].token).toBe(choice.result[0]);
      }
    }
  });

  it('measures the ladder of a model', async () => {
    const ladder = await target.ladder([1, 2, 5], { turns: 3 });
    expect(ladder.map(({ rows, samples }) => [rows, samples])).toEqual([
      [1, 3],
      [2, 3],
      [5, 3],
    ]);
    expect(ladder.every(({ ms }) => ms >= 0)).toBe(true);
    await expect(target.ladder([0])).rejects.toThrow('ladder: rows: expected whole numbers from 1');
  });

  it('loads from files and from memory', async () => {
    const names = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'];
    const blobs = await Promise.all(
      names.map(async (name) => (await fetch(`/models/draft/${name}`)).blob()),
    );
    const files = blobs.map((blob, index) => new File([blob], names[index]));
    const memory = Object.fromEntries(
      await Promise.all(
        files.map(async (file) => [file.name, new Uint8Array(await file.arrayBuffer())] as const),
      ),
    );
    const expected = await draft.generate(PROMPT, { maxTokens: 8 });
    for (const origin of [{ files }, { memory }]) {
      const model = await engine.load(origin, { contextLength: 64 });
      expect(model.contextLength).toBe(64);
      expect((await model.generate(PROMPT, { maxTokens: 8 })).tokens).toEqual(expected.tokens);
      await model.dispose();
      await expect(model.encode('a')).rejects.toThrow('expected a loaded model');
    }
  });

  it('keeps models in the storage of the browser', async () => {
    expect(await engine.stored()).toEqual([]);
    await expect(engine.load({ stored: 'draft' })).rejects.toThrow(
      'expected a stored model "draft"',
    );
    const seen: number[] = [];
    const { bytes } = await engine.store('draft', DRAFT, {
      onProgress: ({ storedBytes, totalBytes }) => seen.push(storedBytes / totalBytes),
    });
    expect(seen.at(-1)).toBe(1);
    expect(await engine.stored()).toEqual([{ name: 'draft', kind: 'model', bytes }]);
    const model = await engine.load({ stored: 'draft' });
    const expected = await draft.generate(PROMPT, { maxTokens: 8 });
    expect((await model.generate(PROMPT, { maxTokens: 8 })).tokens).toEqual(expected.tokens);
    await model.dispose();
    await engine.store('shards', { url: '/tests/golden/tiny-random-llama-sharded' });
    expect((await engine.stored()).map(({ name }) => name)).toEqual(['draft', 'shards']);
    for (const name of ['draft', 'shards', 'nothing']) await engine.removeStored(name);
    expect(await engine.stored()).toEqual([]);
  });

  it('leaves nothing of a copy that was stopped or that failed, and takes no name of a path', async () => {
    const controller = new AbortController();
    const stopped = engine.store('half', TARGET, {
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('enough')),
    });
    await expect(stopped).rejects.toThrow('enough');
    await expect(engine.store('none', { url: '/nowhere' })).rejects.toThrow(FormatError);
    await expect(engine.store('../up', DRAFT)).rejects.toThrow(OptionError);
    expect(await engine.stored()).toEqual([]);
  });

  it('reports progress, and stops loading when told to', async () => {
    const seen: number[] = [];
    const model = await engine.load(DRAFT, {
      onProgress: ({ loadedBytes, totalBytes }) => seen.push(loadedBytes / totalBytes),
    });
    expect(seen.at(-1)).toBe(1);
    await model.dispose();
    const stopped = engine.load(DRAFT, { signal: AbortSignal.abort(new Error('enough')) });
    await expect(stopped).rejects.toThrow('enough');
  });

  it('throws errors of the same classes', async () => {
    await expect(engine.load({ url: '/nowhere' })).rejects.toThrow(FormatError);
    await expect(engine.load(DRAFT, { dtype: 'q9' as 'q8_0' })).rejects.toThrow(OptionError);
    await expect(engine.load(DRAFT, { backend: { name: 'gpu' } })).rejects.toThrow(
      'load: backend: expected wasm, cpu, got "gpu"',
    );
    await expect(
      engine.load(DRAFT, { backend: { name: 'wasm', options: { threads: 0 } } }),
    ).rejects.toThrow(OptionError);
    const unknown = target.generate(PROMPT, { verifier: 'hope' as 'greedy' });
    await expect(unknown.then()).rejects.toThrow(OptionError);
    const uncloneable = target.generate(PROMPT, { seed: (() => 1) as unknown as number });
    await expect(uncloneable.then()).rejects.toThrow(/sent to a worker/);
    const memory = { 'config.json': '{"model_type":"bert"}' };
    await expect(engine.load({ memory })).rejects.toThrow(UnsupportedError);
  });

  it('stops a generation with the reason it is given, and goes on with the next', async () => {
    const controller = new AbortController();
    const reason = new Error('the reader left');
    const generation = target.generate(PROMPT, {
      maxTokens: 400,
      ignoreEos: true,
      signal: controller.signal,
    });
    let tokens = 0;
    const reading = (async () => {
      for await (const _ of generation) if (++tokens === 3) controller.abort(reason);
    })();
    await expect(reading).rejects.toBe(reason);
    expect(tokens).toBeLessThan(400);
    expect((await target.generate(PROMPT, { maxTokens: 4 })).tokens).toHaveLength(4);
  });

  it('stops a generation that nobody reads any more', async () => {
    const generation = target.generate(PROMPT, { maxTokens: 400, ignoreEos: true });
    for await (const _ of generation) break;
    await expect(generation.result).rejects.toThrow('nobody listens');
    await expect(
      (async () => {
        for await (const _ of generation) break;
      })(),
    ).rejects.toThrow('one consumer');
  });

  it('keeps the page free while it generates', async () => {
    const longestGap = async () => {
      let longest = 0;
      let last = performance.now();
      const timer = setInterval(() => {
        const now = performance.now();
        longest = Math.max(longest, now - last);
        last = now;
      }, 1);
      await target.generate(PROMPT, { maxTokens: 300, ignoreEos: true });
      clearInterval(timer);
      return longest;
    };
    // The best of a few: a busy machine takes the page's core away now and then.
    const gaps: number[] = [];
    while (gaps.length < 5 && !gaps.some((gap) => gap <= 50)) gaps.push(await longestGap());
    expect(Math.min(...gaps)).toBeLessThanOrEqual(50);
  });

  it('says that it has been disposed, to whoever waits and whoever comes', async () => {
    const own = createEngine();
    const model = await own.load(DRAFT);
    const waiting = model.generate(PROMPT, { maxTokens: 400, ignoreEos: true }).then();
    own.dispose();
    await expect(waiting).rejects.toThrow('it has been disposed');
    await expect(model.encode('a')).rejects.toThrow('it has been disposed');
  });

  it('says that its worker could not be started', async () => {
    const { Worker } = globalThis as unknown as {
      readonly Worker: new (url: string) => EngineWorker;
    };
    const broken = connect(
      new Worker(URL.createObjectURL(new Blob(['throw new Error("no such thing")']))),
    );
    await expect(broken.load(DRAFT)).rejects.toThrow(/the worker ended \(.*no such thing\)/);
  });
});
