// A model of some of another's layers: the numbers of a checkpoint with only these, on weights that stay where they are.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Buffer } from '../../src/kernels/plan.ts';
import { wasm } from '../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../src/models/decoder.ts';
import { type LoadOptions, loadModel } from '../../src/models/load.ts';
import { shorten } from '../../src/models/shorten.ts';
import { openCheckpoint, type TensorData, writeSafetensors } from '../../src/tensor/safetensors.ts';
import { type FolderSource, memorySource, openFolder } from '../../src/tensor/source.ts';
import { BACKENDS, demoFixtures, loadTiny, tiny } from './fixtures.ts';

const TEXT = [3, 36, 1, 17, 5, 5, 22, 9, 60, 4, 41, 7, 8, 1, 30, 2, 11, 12, 13, 14];

type Config = Record<string, unknown>;

/** Logits of every row, and the states after every layer. */
async function numbersOf(model: Decoder) {
  const taps = Array.from({ length: model.config.layers + 1 }, (_, l) => l);
  using cache = model.createCache({ taps });
  const keep = [...TEXT.keys()];
  return await model.forward(cache, [{ sequence: cache.sequence(), tokens: TEXT, keep }]);
}

/** A tiny checkpoint with these layers only, renamed, and a config of `change`. */
async function cut(
  name: string,
  layers: readonly number[] | null,
  change: Config = {},
): Promise<FolderSource> {
  const { folder } = tiny(name);
  const source = await openFolder(folder);
  const checkpoint = await openCheckpoint(source);
  const tensors: TensorData[] = [];
  for (const { name, dtype, shape } of checkpoint.tensors.values()) {
    const [prefix, index] = /^model\.layers\.(\d+)/.exec(name) ?? [];
    const at = index === undefined || layers === null ? -1 : layers.indexOf(Number(index));
    if (at < 0 && index !== undefined && layers !== null) continue;
    const renamed = at < 0 ? name : name.replace(prefix!, `model.layers.${at}`);
    tensors.push({ name: renamed, dtype: dtype!, shape, data: await checkpoint.read(name) });
  }
  await source.close();
  const config = JSON.parse(readFileSync(`${folder}/config.json`, 'utf8'));
  const files = {
    'config.json': JSON.stringify({
      ...config,
      ...(layers !== null && { num_hidden_layers: layers.length }),
      ...change,
    }),
    'model.safetensors': writeSafetensors(tensors),
  };
  return memorySource(files, name);
}

describe.each(BACKENDS)('on $name', ({ open }) => {
  it('gives the numbers of the whole model with all its layers, and of a checkpoint with only some', async () => {
    const backend = await open();
    const options = { backend, contextLength: 32, maxRows: 8 };
    using whole = await loadTiny('llama-8l', options);
    using all = shorten(whole, [0, 1, 2, 3, 4, 5, 6, 7]);
    expect(await numbersOf(all)).toEqual(await numbersOf(whole));
    for (const layers of [[0, 1, 2], [6], [1, 4, 7]]) {
      using some = shorten(whole, layers);
      using expected = await loadModel(await cut('llama-8l', layers), options);
      expect(some.config.layers).toBe(layers.length);
      expect(await numbersOf(some)).toEqual(await numbersOf(expected));
    }
    backend.dispose();
  }, 60_000);
});

describe('shorten', () => {
  const WINDOWED = { sliding_window: 4, use_sliding_window: true };
  it.each<[string, LoadOptions['dtype'], Config]>([
    ['qwen2', 'q8_0', {}],
    ['qwen3', 'bf16', {}],
    ['llama-tied-bias', 'auto', {}],
    ['qwen2', 'auto', { ...WINDOWED, max_window_layers: 1 }],
    ['mistral-swa8', 'auto', { layer_types: ['sliding_attention', 'full_attention'] }],
  ])('keeps what layers of %s have of their own, in %s, with %j', async (name, dtype, config) => {
    const options = { dtype, contextLength: 32 };
    using whole = await loadModel(await cut(name, null, config), options);
    for (const l of [0, 1]) {
      using one = shorten(whole, [l]);
      const window = whole.config.windows[l];
      const type = window > 0 ? 'sliding_attention' : 'full_attention';
      const own = { ...config, max_window_layers: 0, layer_types: [type] };
      using expected = await loadModel(await cut(name, [l], own), options);
      expect(one.config.windows).toEqual([window]);
      expect(await numbersOf(one)).toEqual(await numbersOf(expected));
    }
  });

  it('computes with layers of an inflated model, and does not call itself one', async () => {
    using inflated = await loadModel(demoFixtures[1].folder, {
      contextLength: 32,
      inflate: { width: 2, layers: 2 },
    });
    using original = await loadModel(demoFixtures[1].folder, { contextLength: 32 });
    const { layers } = original.config;
    // The layers between are copies that add nothing.
    using short = shorten(
      inflated,
      Array.from({ length: layers }, (_, l) => 2 * l),
    );
    using whole = shorten(
      inflated,
      Array.from({ length: 2 * layers }, (_, l) => l),
    );
    expect((await numbersOf(short)).logits).toEqual((await numbersOf(whole)).logits);
    expect(short.config.inflation).toBeUndefined();
    expect(short.report.notes).toContain(
      `layers ${Array.from({ length: layers }, (_, l) => 2 * l).join(', ')} of ${2 * layers}, on the weights of the whole model`,
    );
  });

  it('allocates no weights and frees none', async () => {
    const backend = wasm({ threads: 1 });
    const events: string[] = [];
    const name = ({ dtype, length }: Buffer) => `${dtype} ${length}`;
    const counting = {
      ...backend,
      alloc(...given: Parameters<typeof backend.alloc>) {
        const buffer = backend.alloc(...given);
        events.push(`alloc ${name(buffer)}`);
        return buffer;
      },
      free(buffer: Buffer) {
        events.push(`free ${name(buffer)}`);
        backend.free(buffer);
      },
    };
    using whole = await loadTiny('llama', { backend: counting, contextLength: 32 });
    const before = await numbersOf(whole);
    events.length = 0;
    const short = shorten(whole, [1]);
    short.dispose();
    short.dispose();
    // Two rotary tables of 32 positions.
    const table = `f32 ${(32 * whole.config.headDim) / 2}`;
    expect(events).toEqual(['alloc', 'alloc', 'free', 'free'].map((what) => `${what} ${table}`));
    expect(await numbersOf(whole)).toEqual(before);
    whole.dispose();
    backend.dispose();
  });

  it('computes no more when the whole model has been disposed, and can be disposed then', async () => {
    const backend = wasm({ threads: 1 });
    for (const options of [{ backend }, {}]) {
      const whole = await loadTiny('llama', { ...options, contextLength: 32 });
      const short = shorten(whole, [0]);
      const shorter = shorten(short, [0]);
      const cache = short.createCache();
      expect([whole, short, shorter].map(({ disposed }) => disposed)).toEqual(Array(3).fill(false));
      whole.dispose();
      expect([whole, short, shorter].map(({ disposed }) => disposed)).toEqual(Array(3).fill(true));
      const message = 'expected the model whose weights it uses, got a disposed one';
      const forward = short.forward(cache, [{ sequence: cache.sequence(), tokens: [1] }]);
      await expect(forward).rejects.toThrow(message);
      expect(() => shorter.createCache()).toThrow(message);
      expect(() => shorten(whole, [0])).toThrow('shorten: expected a model, got a disposed one');
      cache.dispose();
      shorter.dispose();
      short.dispose();
    }
    backend.dispose();
  });

  it.each([[[]], [[2]], [[1, 0]], [[0, 0]], [[-1]], [[0.5]], [[Number.NaN]]])(
    'refuses the layers %j of a model of two',
    async (layers) => {
      using model = await loadTiny('llama', { contextLength: 32 });
      expect(() => shorten(model, layers)).toThrow(
        `shorten: layers: expected some of 0 to 1, ascending, got [${layers.join(', ')}]`,
      );
    },
  );
});
