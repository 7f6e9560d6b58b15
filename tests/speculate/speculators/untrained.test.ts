// The signature of a layer that nobody trained, on layers drawn from a seed.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cpu } from '../../../src/kernels/cpu/index.ts';
import { fromFloat32 } from '../../../src/kernels/dtype.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import { convertSpeculator } from '../../../src/speculate/speculators/convert.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import {
  findUntrained,
  type NamedValues,
  readUntrained,
} from '../../../src/speculate/speculators/untrained.ts';
import { openCheckpoint, type TensorData } from '../../../src/tensor/safetensors.ts';
import { openFolder } from '../../../src/tensor/source.ts';
import { numbers } from '../../kernels/toy.ts';
import { golden, headSource, TARGET, verifier } from './research.ts';

/** Normal numbers by the method of Box and Muller. */
function normal(seed: number, length: number, deviation: number): Float32Array {
  const uniform = numbers(seed, 2 * length).map((value) => (value + 1) / 2);
  return Float32Array.from(
    { length },
    (_, i) =>
      deviation *
      Math.sqrt(-2 * Math.log(1 - uniform[2 * i])) *
      Math.cos(2 * Math.PI * uniform[2 * i + 1]),
  );
}

const SHAPES = { 'self_attn.q_proj.weight': [64, 48], 'mlp.down_proj.weight': [48, 80] } as const;
const NORMS = ['input_layernorm.weight', 'post_attention_layernorm.weight'];

/** A layer of ones and numbers of a distribution. */
function layerOf(
  seed: number,
  draw: (seed: number, length: number) => Float32Array,
  norm = 1,
): NamedValues[] {
  return [
    ...Object.entries(SHAPES).map(([name, shape], index) => ({
      name: `layers.0.${name}`,
      shape,
      values: draw(seed * 100 + index, shape[0] * shape[1]),
    })),
    ...NORMS.map((name) => ({
      name: `layers.0.${name}`,
      shape: [48],
      values: new Float32Array(48).fill(norm),
    })),
  ];
}
const fresh = (seed: number, length: number) => normal(seed, length, 0.02);

describe('a layer that nobody trained', () => {
  it.each(Array.from({ length: 20 }, (_, seed) => seed))('is found, seed %i', async (seed) => {
    const others = [{ name: 'fc.weight', shape: [4, 4], values: normal(seed, 16, 1) }];
    expect(await findUntrained([...others, ...layerOf(seed, fresh)])).toEqual(['layers.0']);
  });

  it.each(['transformer', 'midlayer', 'mtp_layers.0', 'model.layers.12'])(
    'is found under the name %s',
    async (prefix) => {
      const layer = layerOf(1, fresh).map(({ name, ...rest }) => ({
        ...rest,
        name: name.replace('layers.0', prefix),
      }));
      expect(await findUntrained(layer)).toEqual([prefix]);
    },
  );

  it.each([
    ['norms that are not all 1', layerOf(1, fresh, 1.0001)],
    ['another deviation', layerOf(2, (seed, length) => normal(seed, length, 0.025))],
    [
      'a uniform distribution of the same deviation',
      layerOf(3, (seed, length) =>
        numbers(seed, length).map((value) => value * 0.02 * Math.sqrt(3)),
      ),
    ],
    ['a mean', layerOf(4, (seed, length) => fresh(seed, length).map((value) => value + 0.005))],
    ['no norms', layerOf(5, fresh).slice(0, 2)],
    ['no matrices', layerOf(6, fresh).slice(2)],
    [
      'one matrix of another kind',
      layerOf(7, (seed, length) => normal(seed, length, seed % 2 === 0 ? 0.02 : 0.03)),
    ],
  ])('is not one with %s', async (_, tensors) => {
    expect(await findUntrained(tensors)).toEqual([]);
  });
});

describe('a head with such a layer', () => {
  /** The golden EAGLE-3 head with a fresh layer, as the lost names left it. */
  async function broken(dtype: 'f32' | 'bf16' | 'f16'): Promise<TensorData[]> {
    const source = await openFolder(golden('heads/eagle3'));
    const { tensors, read, readInto } = await openCheckpoint(source);
    const all: TensorData[] = [];
    for (const [index, { name, shape, type, from, to }] of [...tensors.values()].entries()) {
      if (name.startsWith('layers.0.')) {
        const { length } = await read(name);
        const values =
          shape.length === 1 ? new Float32Array(length).fill(1) : fresh(index + 1, length);
        all.push({ name, dtype, shape, data: fromFloat32(values, dtype) });
        continue;
      }
      const data = new Uint8Array(to - from);
      await readInto(name, 0, data);
      all.push({ name, dtype: type as 'F32', shape, data });
    }
    await source.close();
    return all;
  }
  let target: Decoder;
  beforeAll(async () => {
    target = await loadModel(TARGET, { backend: cpu(), contextLength: 64 });
  });
  afterAll(() => target.dispose());

  it.each(['f32', 'bf16', 'f16'] as const)('is noted when it is loaded from %s', async (dtype) => {
    const folder = await openFolder(golden('heads/eagle3'));
    const config = JSON.parse(await folder.text('config.json'));
    const source = headSource(config, await broken(dtype));
    expect(await readUntrained(await openCheckpoint(source))).toEqual(['layers.0']);
    using head = await Speculator.fromPretrained(source, { verifier: target });
    expect(head.notes.join()).toContain('layers.0: norms of 1 and random matrices');
    using sound = await Speculator.fromPretrained(folder, { verifier: target });
    expect(sound.notes.join()).not.toContain('random matrices');
    await folder.close();
  });

  it('is not converted', async () => {
    const folder = await openFolder(golden('heads/eagle3-native'));
    const source = headSource(JSON.parse(await folder.text('config.json')), await broken('f32'));
    await expect(convertSpeculator(source, { verifier })).rejects.toThrow(
      'head: expected trained weights, got layers.0: norms of 1 and random matrices',
    );
    await folder.close();
  });

  it('is not taken for one where a norm is of no floating type', async () => {
    const norm = {
      name: 'layers.0.norm.weight',
      dtype: 'i32',
      shape: [2],
      data: Int32Array.of(1, 1),
    } as const;
    const matrix = {
      name: 'layers.0.a.weight',
      dtype: 'f32',
      shape: [64, 64],
      data: fresh(1, 4096),
    } as const;
    expect(await readUntrained(await openCheckpoint(headSource({}, [norm, matrix])))).toEqual([]);
    const ones = { ...norm, dtype: 'f32', data: Float32Array.of(1, 1) } as const;
    expect(await readUntrained(await openCheckpoint(headSource({}, [ones, matrix])))).toEqual([
      'layers.0',
    ]);
  });
});
