// Inflating a model: larger in every axis, and still the same function.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isBlocked } from '../../src/kernels/blocks.ts';
import { cpu } from '../../src/kernels/cpu/index.ts';
import { convert, toFloat32 } from '../../src/kernels/dtype.ts';
import type { DType, TypedArray } from '../../src/kernels/plan.ts';
import { wasm } from '../../src/kernels/wasm/index.ts';
import { architectureOf } from '../../src/models/architectures.ts';
import type { Decoder } from '../../src/models/decoder.ts';
import { type InflateOptions, inflate } from '../../src/models/inflate.ts';
import { load, loadModel } from '../../src/models/load.ts';
import { draftModel } from '../../src/speculate/drafters/model.ts';
import { generate } from '../../src/speculate/generate.ts';
import { argmax } from '../../src/speculate/sample.ts';
import { bytesOf, type Checkpoint } from '../../src/tensor/checkpoint.ts';
import { byteLength } from '../../src/tensor/header.ts';
import { openCheckpoint } from '../../src/tensor/safetensors.ts';
import { sizeOf } from '../../src/tensor/shape.ts';
import { openFolder } from '../../src/tensor/source.ts';
import { demoFixtures, tiny, tinyFixtures } from './fixtures.ts';
import { worstDifference } from './golden-case.ts';

const [demoTarget, demoDraft] = demoFixtures;
const TOLERANCE = 1e-4;

/** The checkpoint of a folder and what `inflate` makes of it. */
async function inflated(
  folder: string,
  options: InflateOptions,
  change = (checkpoint: Checkpoint): Checkpoint => checkpoint,
) {
  const json = JSON.parse(readFileSync(`${folder}/config.json`, 'utf8'));
  const architecture = architectureOf(json, folder);
  const source = await openFolder(folder);
  const opened = await openCheckpoint(source);
  const tensors = new Map<string, TypedArray>();
  for (const name of opened.tensors.keys()) tensors.set(name, await opened.read(name));
  await source.close();
  const checkpoint = change({ ...opened, read: async (name) => tensors.get(name)! });
  const config = architecture.readConfig(json, folder);
  return { config, checkpoint, large: inflate(architecture, { config, checkpoint }, options) };
}

/** Numbers of a tensor. */
async function numbers(checkpoint: Checkpoint, name: string): Promise<Float32Array> {
  const { dtype } = checkpoint.tensors.get(name)!;
  return toFloat32(await checkpoint.read(name), dtype as DType);
}

async function logitsOf(model: Decoder, tokens: readonly number[]) {
  const cache = model.createCache();
  const sequence = cache.sequence();
  const keep = tokens.map((_, row) => row);
  const { logits } = await model.forward(cache, [{ sequence, tokens, keep }]);
  return { logits, cache, sequence };
}

async function greedyTokens(model: Decoder, tokens: readonly number[], count: number) {
  const { logits, cache, sequence } = await logitsOf(model, tokens);
  const found: number[] = [];
  let row = logits[logits.length - 1];
  while (found.length < count) {
    found.push(argmax(row));
    [row] = (await model.forward(cache, [{ sequence, tokens: found.slice(-1) }])).logits;
  }
  cache.dispose();
  return found;
}

describe('an inflated model', () => {
  const ways: readonly InflateOptions[] = [
    { width: 2, layers: 2 },
    { heads: 3, ffn: 5 },
    { width: 3, heads: 2, ffn: 4, layers: 3 },
  ];
  it.each(tinyFixtures)(
    'gives the logits and greedy tokens of $name',
    async ({ folder, cases }) => {
      const own = await loadModel(folder);
      for (const options of ways) {
        const model = await loadModel(folder, { inflate: options });
        const { from, to } = model.config.inflation!;
        expect(to).toBeGreaterThan(from);
        for (const golden of cases) {
          const { logits, cache } = await logitsOf(model, golden.input_ids);
          const small = await logitsOf(own, golden.input_ids);
          for (const [row, values] of logits.entries()) {
            expect(worstDifference(values, [...small.logits[row]])).toBeLessThanOrEqual(TOLERANCE);
            const expected = golden.all_logits?.[row];
            if (expected) expect(worstDifference(values, expected)).toBeLessThanOrEqual(TOLERANCE);
          }
          cache.dispose();
          small.cache.dispose();
          const greedy = golden.greedy_ids ?? [];
          expect(await greedyTokens(model, golden.input_ids, greedy.length)).toEqual(greedy);
        }
        model.dispose();
      }
      own.dispose();
    },
    60_000,
  );

  it('is as many times as large as its config and its report say', async () => {
    const factors = { width: 2, heads: 3, ffn: 2, layers: 2 };
    const { config, checkpoint, large } = await inflated(tiny('llama-tied-bias').folder, factors);
    expect(large.config).toMatchObject({
      width: 2 * config.width,
      heads: 3 * config.heads,
      kvHeads: 3 * config.kvHeads,
      headDim: config.headDim,
      ffnWidth: 2 * config.ffnWidth,
      layers: 2 * config.layers,
      tied: true,
    });
    const total = ({ tensors }: Checkpoint) =>
      [...tensors.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    expect(large.config.inflation).toEqual({
      factors,
      from: total(checkpoint),
      to: total(large.checkpoint),
    });
    for (const [name, { dtype, shape, from, to }] of large.checkpoint.tensors) {
      const { length, byteLength: bytes } = await large.checkpoint.read(name);
      expect([name, length, bytes]).toEqual([name, sizeOf(shape), to - from]);
      expect(bytes).toBe(byteLength(dtype as DType, shape));
      const pieces = new Uint8Array(bytes);
      const whole = bytesOf(await large.checkpoint.read(name));
      for (let at = 0; at < bytes; at += 77)
        await large.checkpoint.readInto(name, at, pieces.subarray(at, at + 77));
      expect(pieces).toEqual(whole);
    }
    const model = await loadModel(tiny('llama-tied-bias').folder, { inflate: factors });
    expect(model.report.notes.filter((note) => note.startsWith('inflated'))).toEqual([
      `inflated from ${total(checkpoint)} to ${total(large.checkpoint)} parameters (width x2, heads x3, feed-forward x2, layers x2): the same function at the cost of that size`,
    ]);
    model.dispose();
  });

  it('repeats windows with their layers', async () => {
    const { large } = await inflated(tiny('mistral-swa8').folder, { layers: 3 });
    expect(large.config.windows).toEqual([8, 8, 8, 8, 8, 8]);
  });

  it.each([
    ['llama', 0],
    ['llama-bf16', 0],
    // Half of the smallest subnormal for each of six copies.
    ['llama-f16', 6 * 2 ** -25],
  ] as const)('has copies that add up to the weights of %s within %d', async (name, tolerance) => {
    const factors = { width: 3, heads: 5, ffn: 6, layers: 2 };
    const { config, checkpoint, large } = await inflated(tiny(name).folder, factors);
    const check = async (to: string, from: string, copies: number, columns: number) => {
      const small = await numbers(checkpoint, from);
      const values = await numbers(large.checkpoint, to);
      const wide = large.checkpoint.tensors.get(to)!.shape[1] ?? 1;
      const rows = small.length / columns;
      const sums = new Float64Array(small.length);
      for (let row = 0; row < copies * rows; row++)
        for (let column = 0; column < columns; column++)
          sums[(row % rows) * columns + column] += values[row * wide + column];
      expect(values.length).toBe(copies * rows * wide);
      expect(worstDifference(sums, [...small])).toBeLessThanOrEqual(tolerance);
    };
    const at = (l: number, rest: string) => `model.layers.${l}.${rest}.weight`;
    await check('model.norm.weight', 'model.norm.weight', 3, 1);
    await check(at(2, 'input_layernorm'), at(1, 'input_layernorm'), 3, 1);
    await check(at(2, 'self_attn.v_proj'), at(1, 'self_attn.v_proj'), 5, config.width);
    await check(at(3, 'mlp.up_proj'), at(1, 'mlp.up_proj'), 6, config.width);
  });

  it('adds layers that write exactly nothing', async () => {
    const { large } = await inflated(tiny('llama-tied-bias').folder, { layers: 3 });
    const writers = ['self_attn.o_proj', 'mlp.down_proj'];
    for (let l = 0; l < large.config.layers; l++)
      for (const writer of writers)
        for (const kind of ['weight', 'bias']) {
          const data = await large.checkpoint.read(`model.layers.${l}.${writer}.${kind}`);
          expect(data.every((bits) => bits === 0)).toBe(l % 3 > 0);
        }
    const q = await large.checkpoint.read('model.layers.1.self_attn.q_proj.weight');
    expect(q.every((bits) => bits !== 0)).toBe(true);
  });

  it.each(['q8_0', 'q4_0'] as const)('scales the blocks of %s exactly', async (dtype) => {
    const blocks = (checkpoint: Checkpoint): Checkpoint => ({
      ...checkpoint,
      tensors: new Map(
        [...checkpoint.tensors].map(([name, entry]) => [
          name,
          entry.shape.length === 2 ? { ...entry, dtype } : entry,
        ]),
      ),
      read: async (name) => {
        const { shape, dtype: from } = checkpoint.tensors.get(name)!;
        const data = await checkpoint.read(name);
        return shape.length === 2 ? convert(data, from as DType, dtype) : data;
      },
    });
    const { checkpoint, large } = await inflated(
      tiny('llama').folder,
      { heads: 3, width: 2 },
      blocks,
    );
    expect(isBlocked(dtype)).toBe(true);
    const name = 'model.layers.0.self_attn.v_proj.weight';
    const small = await numbers(checkpoint, name);
    const values = await numbers(large.checkpoint, name);
    const { shape } = large.checkpoint.tensors.get(name)!;
    const [rows, columns] = [shape[0] / 3, shape[1] / 2];
    const expected = Float32Array.from({ length: values.length }, (_, i) => {
      const row = Math.floor(i / shape[1]);
      const share = row < rows ? 0.5 : 0.25;
      return share * small[(row % rows) * columns + (i % columns)];
    });
    expect(values).toEqual(expected);
  });

  it('accepts the drafts that the original accepts, on the embedded pair', async () => {
    const backend = wasm();
    const own = await load(demoTarget.folder, { backend });
    const large = await load(demoTarget.folder, { backend, inflate: { parameters: 20e6 } });
    const draft = await load(demoDraft.folder, { backend });
    const run = (target: typeof own) =>
      generate(target, 'Once upon a time', {
        drafter: draftModel(draft.model),
        draftLength: 4,
        maxTokens: 64,
      });
    const [small, wide] = [await run(own), await run(large)];
    expect(large.model.config.inflation!.to).toBeGreaterThan(15e6);
    expect(wide.tokens).toEqual(small.tokens);
    expect(wide.stats.acceptedByPosition).toEqual(small.stats.acceptedByPosition);
    for (const model of [own, large, draft]) model.dispose();
    backend.dispose();
  }, 60_000);

  it.each([4e6, 20e6, 100e6, 400e6, 1e9, 7e9])(
    'comes within a quarter of %d parameters, in the shape of a real model',
    async (parameters) => {
      const { large } = await inflated(demoTarget.folder, { parameters });
      const { width, layers, ffnWidth, inflation } = large.config;
      expect(Math.abs(inflation!.to / parameters - 1)).toBeLessThan(0.25);
      if (parameters < 50e6) return;
      expect(width / layers).toBeGreaterThan(40);
      expect(width / layers).toBeLessThan(160);
      expect(ffnWidth / width).toBeGreaterThan(2);
      expect(ffnWidth / width).toBeLessThan(6);
      // Whole blocks: it can be quantised, which the original cannot.
      expect([width % 32, ffnWidth % 32]).toEqual([0, 0]);
    },
  );

  it.each<[unknown, RegExp]>([
    [{ parameters: 10 }, /^inflate: parameters: expected at least the \d+ the model has, got 10$/],
    [{ parameters: Number.NaN }, /^load: .*inflate/s],
    [{ width: 1.5 }, /^load: .*inflate/s],
    [{ width: 0 }, /^load: .*inflate/s],
    [{ depth: 2 }, /^load: .*inflate/s],
    [{ parameters: 1e6, width: 2 }, /^load: .*inflate/s],
    [true, /^load: .*inflate/s],
  ])('refuses %j', async (options, message) => {
    const backend = cpu();
    await expect(
      loadModel(tiny('llama').folder, { backend, inflate: options as InflateOptions }),
    ).rejects.toThrow(expect.objectContaining({ name: 'OptionError' }));
    await expect(
      loadModel(tiny('llama').folder, { backend, inflate: options as InflateOptions }),
    ).rejects.toThrow(message);
  });
});
