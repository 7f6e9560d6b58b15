// Checkpoints: what is written is read back, once and in ranges; whatever is broken gives one error that says where.
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arrayFor } from '../../src/kernels/dtype.ts';
import type { DType } from '../../src/kernels/plan.ts';
import { openCheckpoint, type TensorData, writeSafetensors } from '../../src/tensor/safetensors.ts';
import { sizeOf } from '../../src/tensor/shape.ts';
import { type FolderSource, memorySource, openFolder } from '../../src/tensor/source.ts';
import { damaged } from './damage.ts';

const FILE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const DTYPES: readonly DType[] = ['f32', 'f16', 'bf16', 'i8', 'i32', 'u8', 'bool'];

/** A file whose header is `json` as it stands, with `dataBytes` bytes of data. */
function file(json: unknown, dataBytes = 0, announced?: bigint): Uint8Array {
  const header =
    json instanceof Uint8Array
      ? json
      : new TextEncoder().encode(typeof json === 'string' ? json : JSON.stringify(json));
  const bytes = new Uint8Array(8 + header.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, announced ?? BigInt(header.length), true);
  bytes.set(header, 8);
  return bytes;
}

const f32 = (from: number, to: number, shape: readonly unknown[] = [(to - from) / 4]) => ({
  dtype: 'F32',
  shape,
  data_offsets: [from, to],
});

const open = (files: Record<string, Uint8Array | string>) =>
  openCheckpoint(memorySource(files, 'folder'));

describe('a checkpoint', () => {
  it('gives back what was written, in any dtype and shape', async () => {
    const tensor = fc
      .record({
        name: fc.string({ minLength: 1 }).filter((name) => name !== '__metadata__'),
        dtype: fc.constantFrom(...DTYPES),
        shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }),
      })
      .chain(({ name, dtype, shape }) =>
        fc
          .array(fc.integer({ min: 0, max: 127 }), {
            minLength: sizeOf(shape),
            maxLength: sizeOf(shape),
          })
          .map((values): TensorData => {
            const data = arrayFor(dtype, sizeOf(shape));
            data.set(values);
            return { name, dtype, shape, data };
          }),
      );
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(tensor, { maxLength: 5, selector: ({ name }) => name }),
        async (tensors) => {
          const {
            tensors: found,
            read,
            metadata,
          } = await open({ [FILE]: writeSafetensors(tensors, { format: 'pt' }) });
          expect([...found.keys()].sort()).toEqual(tensors.map(({ name }) => name).sort());
          expect(metadata).toEqual({ format: 'pt' });
          for (const { name, dtype, shape, data } of tensors) {
            expect(found.get(name)).toMatchObject({ dtype, shape, file: FILE });
            expect(await read(name)).toEqual(data);
          }
        },
      ),
      { numRuns: 60, seed: 41 },
    );
  });

  it('reads every byte of a sharded checkpoint once', async () => {
    const path = fileURLToPath(new URL('../golden/tiny-random-llama-sharded', import.meta.url));
    const source = await openFolder(path);
    const seen = new Map<string, number>();
    const counting: FolderSource = {
      ...source,
      read(name, from, to, options) {
        seen.set(name, (seen.get(name) ?? 0) + to - from);
        return source.read(name, from, to, options);
      },
      readInto(name, from, target, options) {
        seen.set(name, (seen.get(name) ?? 0) + target.length);
        return source.readInto!(name, from, target, options);
      },
    };
    const checkpoint = await openCheckpoint(counting);
    for (const name of checkpoint.tensors.keys()) await checkpoint.read(name);
    expect(seen.size).toBe(6);
    for (const [name, bytes] of seen)
      expect([name, bytes]).toEqual([name, await source.size(name)]);
    await source.close();
  });

  it('stops reading at an abort', async () => {
    const { read } = await open({
      [FILE]: writeSafetensors([
        { name: 'x', dtype: 'f32', shape: [2], data: new Float32Array(2) },
      ]),
    });
    const reason = new Error('enough');
    await expect(read('x', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it('lists tensors of other types and refuses to read them by name', async () => {
    const entry = { dtype: 'F64', shape: [1], data_offsets: [0, 8] };
    const { tensors, read } = await open({ [FILE]: file({ 'a.b': entry }, 8) });
    expect(tensors.get('a.b')).toMatchObject({ dtype: null, type: 'F64' });
    await expect(read('a.b')).rejects.toThrow(
      'folder/model.safetensors: a.b: expected F32, F16, BF16, I8, I32, U8 or BOOL, got F64',
    );
    await expect(read('a.b')).rejects.toMatchObject({ name: 'UnsupportedError' });
  });

  it('treats names of object properties as names', async () => {
    const { tensors, read } = await open({
      [FILE]: file('{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4),
    });
    expect([...tensors.keys()]).toEqual(['__proto__']);
    expect(await read('__proto__')).toEqual(Float32Array.of(0));
    await expect(read('constructor')).rejects.toThrow('constructor: expected a tensor, got none');
  });
});

const good = file({ x: f32(0, 8) }, 8);
const at = `folder/${FILE}: `;

describe('openCheckpoint refuses, with one error that says where,', () => {
  it.each<[string, Record<string, Uint8Array | string>, string]>([
    [
      'an empty folder',
      {},
      'folder: expected model.safetensors or model.safetensors.index.json, got neither',
    ],
    [
      'a folder for torch alone',
      { 'pytorch_model.bin': 'x' },
      'only pytorch_model.bin, which is not read',
    ],
    [
      'a file of seven bytes',
      { [FILE]: good.slice(0, 7) },
      `${at}expected at least 8 bytes, got 7`,
    ],
    [
      'a file cut in its header',
      { [FILE]: good.slice(0, 20) },
      `${at}expected a header of at most 12 bytes`,
    ],
    [
      'a file cut in its data',
      { [FILE]: good.slice(0, -1) },
      `${at}x: expected data inside the 7 bytes of the file`,
    ],
    [
      'a file with bytes left over',
      { [FILE]: file({ x: f32(0, 8) }, 9) },
      `${at}expected the tensors to fill 9 bytes, got 8`,
    ],
    [
      'a header longer than the file',
      { [FILE]: file({}, 0, 2n ** 40n) },
      `${at}expected a header of at most 2 bytes, got 1099511627776`,
    ],
    [
      'a header longer than any number',
      { [FILE]: file({}, 0, 2n ** 64n - 1n) },
      `${at}expected a header of at most`,
    ],
    ['a header that is no JSON', { [FILE]: file('{"x":') }, `${at}expected a header in JSON, got`],
    [
      'a header that is no object',
      { [FILE]: file('[1]') },
      `${at}expected a JSON object as header, got [1]`,
    ],
    [
      'a header that is no text',
      { [FILE]: file(Uint8Array.of(0x7b, 0xff, 0x7d)) },
      `${at}expected a header in UTF-8`,
    ],
    [
      'a name that occurs twice',
      {
        [FILE]: file(
          '{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
          1,
        ),
      },
      `${at}x: expected a name once, got it twice`,
    ],
    [
      'a name that occurs twice in other letters',
      {
        [FILE]: file(
          '{"x{":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\\u0078{":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
          1,
        ),
      },
      `${at}x{: expected a name once, got it twice`,
    ],
    [
      'an unknown type',
      { [FILE]: file({ x: { ...f32(0, 4), dtype: 'F31' } }, 4) },
      `${at}x: dtype: expected one of F32`,
    ],
    [
      'a type named like a property',
      { [FILE]: file({ x: { ...f32(0, 4), dtype: 'constructor' } }, 4) },
      `${at}x: dtype: expected one of F32`,
    ],
    [
      'a tensor without a shape',
      { [FILE]: file({ x: { dtype: 'F32', data_offsets: [0, 4] } }, 4) },
      `${at}x: `,
    ],
    ['a negative extent', { [FILE]: file({ x: f32(0, 4, [-1]) }, 4) }, `${at}x: `],
    ['a fractional extent', { [FILE]: file({ x: f32(0, 4, [0.5, 2]) }, 4) }, `${at}x: `],
    [
      'a shape that is too large for the data',
      { [FILE]: file({ x: f32(0, 4, [2]) }, 4) },
      `${at}x: expected 8 bytes for F32 [2], got 4`,
    ],
    [
      'a shape beyond all numbers',
      { [FILE]: file({ x: f32(0, 4, [2 ** 30, 2 ** 30, 2 ** 30]) }, 4) },
      `${at}x: expected `,
    ],
    [
      'offsets that run backwards',
      { [FILE]: file({ x: f32(4, 0, [0]) }, 4) },
      `${at}x: expected 0 bytes`,
    ],
    ['negative offsets', { [FILE]: file({ x: f32(-4, 0) }, 4) }, `${at}x: `],
    [
      'offsets beyond the file',
      { [FILE]: file({ x: f32(0, 8) }, 4) },
      `${at}x: expected data inside the 4 bytes`,
    ],
    [
      'tensors that overlap',
      { [FILE]: file({ x: f32(0, 8), y: f32(4, 12) }, 12) },
      `${at}y: expected data from 8 on, without overlap or gap, got data_offsets [4, 12]`,
    ],
    [
      'a gap between tensors',
      { [FILE]: file({ x: f32(0, 4), y: f32(8, 12) }, 12) },
      `${at}y: expected data from 4 on`,
    ],
    ['an index that is no JSON', { [INDEX]: 'x' }, `folder/${INDEX}: expected JSON`],
    ['an index without a map', { [INDEX]: '{}' }, `folder/${INDEX}: `],
    [
      'an index without tensors',
      { [INDEX]: '{"weight_map":{}}' },
      'weight_map: expected tensors, got none',
    ],
    [
      'an index with a number for a file',
      { [INDEX]: '{"weight_map":{"x":1}}' },
      `folder/${INDEX}: `,
    ],
    [
      'a shard that does not exist',
      { [INDEX]: '{"weight_map":{"x":"a.safetensors"}}' },
      `folder/a.safetensors: expected the file ${INDEX} names, got nothing`,
    ],
    [
      'a shard above the folder',
      { [INDEX]: '{"weight_map":{"x":"../a.safetensors"}}' },
      'folder: expected a path inside the folder, got "../a.safetensors"',
    ],
    [
      'a shard at the root',
      { [INDEX]: '{"weight_map":{"x":"/a.safetensors"}}' },
      'expected a path inside the folder, got "/a.safetensors"',
    ],
    [
      'an index that names a tensor its shard lacks',
      { [INDEX]: '{"weight_map":{"x":"a","y":"a"}}', a: good },
      'folder/a: y: expected the tensor the index names, got none',
    ],
    [
      'a shard with a tensor the index lacks',
      { [INDEX]: '{"weight_map":{"x":"a"}}', a: file({ x: f32(0, 4), z: f32(4, 8) }, 8) },
      'folder/a: z: expected only tensors the index puts here, got one of no file',
    ],
    [
      'a tensor in two shards',
      {
        [INDEX]: '{"weight_map":{"x":"a","y":"b"}}',
        a: good,
        b: file({ x: f32(0, 4), y: f32(4, 8) }, 8),
      },
      'folder/b: x: expected only tensors the index puts here, got one of a',
    ],
  ])('%s', async (_, files, message) => {
    const error = await open(files).catch((caught: Error) => caught);
    expect(error).toMatchObject({ name: 'FormatError' });
    expect((error as Error).message).toContain(message);
  });

  it('any file with a few bytes changed, or reads it as it stands', async () => {
    const data = Float32Array.of(1, 2);
    const bytes = writeSafetensors([
      { name: 'x', dtype: 'f32', shape: [2], data },
      { name: 'y', dtype: 'u8', shape: [3], data: Uint8Array.of(1, 2, 3) },
    ]);
    await fc.assert(
      fc.asyncProperty(damaged(bytes), async (broken) => {
        try {
          const { tensors, read } = await open({ [FILE]: broken });
          for (const [name, { dtype }] of tensors) if (dtype !== null) await read(name);
        } catch (error) {
          expect(error).toMatchObject({ name: 'FormatError' });
        }
      }),
      { numRuns: 500, seed: 7 },
    );
  });
});

describe('writeSafetensors refuses', () => {
  it('data of another size, and a name that occurs twice', () => {
    const tensor = { name: 'x', dtype: 'f32', shape: [2], data: new Float32Array(2) } as const;
    expect(() => writeSafetensors([{ ...tensor, shape: [3] }])).toThrow(
      'x: expected 12 bytes for f32 [3]',
    );
    expect(() => writeSafetensors([tensor, tensor])).toThrow('a name once');
  });
});
