// Heads in research layouts made in memory from a seed, in one file or several, and the way there and back.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import type { Decoder } from '../../../src/models/decoder.ts';
import {
  type Conversion,
  type ConvertOptions,
  convertSpeculator,
  exportResearch,
} from '../../../src/speculate/speculators/convert.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import { migrateSpeculator } from '../../../src/speculate/speculators/migrate.ts';
import { partsBytes, readParts, type TensorParts } from '../../../src/tensor/parts.ts';
import {
  openCheckpoint,
  type TensorData,
  writeSafetensors,
} from '../../../src/tensor/safetensors.ts';
import { type FolderSource, memorySource } from '../../../src/tensor/source.ts';
import { numbers } from '../../kernels/toy.ts';

/** A path in tests/golden. */
export const golden = (path: string) =>
  fileURLToPath(new URL(`../../golden/${path}`, import.meta.url));
/** Folder of the target of the heads. */
export const TARGET = golden('tiny-random-llama-8l');
/** The target, as a conversion is told of it. */
export const verifier = {
  config: JSON.parse(readFileSync(`${TARGET}/config.json`, 'utf8')),
  name: '../tiny-random-llama-8l',
};

type Shapes = Readonly<Record<string, readonly number[]>>;

/** Seeded tensors; vectors are near one, as norms are. */
export function tensorsOf(shapes: Shapes, seed: number): TensorData[] {
  return Object.entries(shapes).map(([name, shape], index) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const data = numbers(seed * 1000 + index, size).map((value) =>
      shape.length === 1 ? 1 + 0.2 * value : value / Math.sqrt(shape.at(-1)! / 3),
    );
    return { name, dtype: 'f32', shape, data };
  });
}

/** The config of a DFlash head of z-lab with two layers. */
export const DFLASH = {
  architectures: ['DFlashDraftModel'],
  model_type: 'qwen3',
  vocab_size: 64,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 8,
  max_position_embeddings: 128,
  block_size: 5,
  num_target_layers: 8,
  dflash_config: { mask_token_id: 3, target_layer_ids: [0, 3, 5] },
};

/** A vocabulary of every other token, as tensors. */
export function everyOther(vocab: number): TensorData[] {
  const offsets = BigInt64Array.from({ length: vocab / 2 }, (_, token) => BigInt(token));
  const mask = Uint8Array.from({ length: vocab }, (_, token) => (token + 1) % 2);
  return [
    { name: 'd2t', dtype: 'I64', shape: [vocab / 2], data: new Uint8Array(offsets.buffer) },
    { name: 't2d', dtype: 'bool', shape: [vocab], data: mask },
  ];
}

/** A folder with a config.json and tensors, spread over so many files. */
export function headSource(
  config: object,
  tensors: readonly TensorData[],
  { shards = 1, name = 'head' }: { readonly shards?: number; readonly name?: string } = {},
): FolderSource {
  const files: Record<string, string | Uint8Array> = { 'config.json': JSON.stringify(config) };
  if (shards === 1) {
    files['model.safetensors'] = writeSafetensors(tensors);
    return memorySource(files, name);
  }
  const fileOf = (index: number) => `model-${(index % shards) + 1}-of-${shards}.safetensors`;
  for (let shard = 0; shard < shards; shard++)
    files[fileOf(shard)] = writeSafetensors(
      tensors.filter((_, index) => index % shards === shard),
      { format: 'pt' },
    );
  const weight_map = Object.fromEntries(tensors.map((each, index) => [each.name, fileOf(index)]));
  files['model.safetensors.index.json'] = JSON.stringify({ metadata: {}, weight_map });
  return memorySource(files, name);
}

/** The same tensors with their bytes. */
export const wholeTensors = (tensors: readonly TensorParts[]): Promise<TensorData[]> =>
  Promise.all(
    tensors.map(async ({ parts, ...tensor }) => {
      const data = new Uint8Array(partsBytes({ parts }));
      await readParts({ parts }, 0, data);
      return { ...tensor, data };
    }),
  );

/** Type, shape and bytes of every tensor, by name. */
export async function contentOf(source: FolderSource): Promise<Record<string, string>> {
  const { tensors, readInto } = await openCheckpoint(source);
  const content: [string, string][] = [];
  for (const [name, { type, shape, from, to }] of tensors) {
    const bytes = new Uint8Array(to - from);
    await readInto(name, 0, bytes);
    content.push([name, `${type} [${shape}] ${Buffer.from(bytes).toString('base64')}`]);
  }
  return Object.fromEntries(content.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * Converts to a folder that is current, loads where a target is given, saves, and converts back; expects the names, bytes and config of the source, but for
 * `lost` tensors. Returns the conversion.
 */
export async function thereAndBack(
  source: FolderSource,
  options: ConvertOptions & {
    readonly target?: Decoder;
    readonly lost?: (name: string) => boolean;
  },
): Promise<Conversion> {
  const { target, lost = () => false, ...rest } = options;
  const made = await convertSpeculator(source, rest);
  let files = await made.files();
  const { changes } = await migrateSpeculator(memorySource(files, 'made'));
  expect(changes).toEqual([]);
  if (target !== undefined) {
    using speculator = await Speculator.fromPretrained(memorySource(files, 'made'), {
      verifier: target,
    });
    files = await speculator.files();
    const saved = await contentOf(memorySource(files, 'saved'));
    expect(saved).toEqual(await contentOf(memorySource(await made.files(), 'made')));
  }
  const back = await exportResearch(memorySource(files, 'made'));
  expect(back.config).toEqual(JSON.parse(await source.text('config.json')));
  const content = Object.entries(await contentOf(source)).filter(([name]) => !lost(name));
  expect(await contentOf(memorySource(await back.files(), 'back'))).toEqual(
    Object.fromEntries(content),
  );
  return made;
}
