// GGUF files: block types against another implementation, what is written is read back, and whatever is broken gives one
// error that says where, without a hang or a large allocation.
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arrayFor, convert, toFloat32 } from '../../src/kernels/dtype.ts';
import { bytesOf, readRows } from '../../src/tensor/checkpoint.ts';
import { openGguf } from '../../src/tensor/gguf.ts';
import type { GgufDType, GgufField } from '../../src/tensor/gguf-types.ts';
import { type GgufContents, type GgufTensor, writeGguf } from '../../src/tensor/gguf-writer.ts';
import { sizeOf } from '../../src/tensor/shape.ts';
import { type FolderSource, memorySource } from '../../src/tensor/source.ts';
import { damaged } from './damage.ts';

const FILE = 'a.gguf';
const golden = (name: string) => readFileSync(new URL(`../golden/gguf/${name}`, import.meta.url));

const open = (bytes: Uint8Array) => openGguf(memorySource({ [FILE]: bytes }, 'folder'), FILE);

async function written(contents: GgufContents): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const total = await writeGguf(
    { write: async (bytes) => void parts.push(bytes.slice()) },
    contents,
  );
  const file = new Uint8Array(Buffer.concat(parts));
  expect(total).toBe(file.length);
  return file;
}

const tensorOf = (
  name: string,
  dtype: GgufDType,
  shape: readonly number[],
  fill = 0,
): GgufTensor => {
  const data = arrayFor(dtype, sizeOf(shape));
  const bytes = bytesOf(data);
  for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 7 + fill) & 255;
  return { name, dtype, shape, chunks: () => [data] };
};

describe('a file of the Python package gguf', () => {
  it('gives the weights of every block type, bit for bit', async () => {
    const file = await open(golden('blocks.gguf'));
    const expected: Record<string, string> = JSON.parse(golden('blocks.json').toString()).f32;
    const seen: string[] = [];
    for (const [name, { dtype, type, shape }] of file.tensors) {
      const bytes = Buffer.from(expected[name], 'base64');
      const weights = new Float32Array(new Uint8Array(bytes).buffer);
      const got = toFloat32(await file.read(name), dtype ?? 'f32');
      expect([name, got.length, shape[0]]).toEqual([type, weights.length, 2]);
      for (const [i, weight] of weights.entries())
        if (!Object.is(got[i], weight) && !(got[i] === 0 && weight === 0))
          throw new Error(`${name} ${i}: expected ${weight}, got ${got[i]}`);
      seen.push(name);
    }
    expect(seen.sort()).toEqual(Object.keys(expected).sort());
    expect(seen).toHaveLength(11);
  });

  it('has the blocks that quantising gives here, bit for bit', () => {
    const { plain, quantised } = JSON.parse(golden('blocks.json').toString());
    const values = new Float32Array(new Uint8Array(Buffer.from(plain, 'base64')).buffer);
    for (const dtype of ['f16', 'bf16', 'q8_0', 'q4_0'] as const) {
      const want = Buffer.from(quantised[dtype.toUpperCase()], 'base64');
      expect([dtype, Buffer.from(bytesOf(convert(values, 'f32', dtype))).equals(want)]).toEqual([
        dtype,
        true,
      ]);
    }
  });

  it('gives metadata of every type', async () => {
    const { metadata, fields, version } = await open(golden('blocks.gguf'));
    expect(version).toBe(3);
    expect(metadata).toMatchObject({
      'general.architecture': 'none',
      'k.u8': 200,
      'k.i8': -100,
      'k.u16': 65000,
      'k.i16': -32000,
      'k.u32': 4_000_000_000,
      'k.i32': -2_000_000_000,
      'k.f32': Math.fround(1e-5),
      'k.u64': 2n ** 53n,
      'k.i64': -(2 ** 40),
      'k.big': 2n ** 63n + 1n,
      'k.f64': 0.1,
      'k.bool': true,
      'k.string': 'häß\ufeff\n',
      'k.strings': ['a', '', 'ü'],
      'k.ints': Int32Array.of(1, -2, 3),
      'k.floats': Float32Array.of(0.5, -0.25),
      'k.bools': Uint8Array.of(1, 0),
    });
    expect(fields.get('k.bools')).toMatchObject({ type: 'array', of: 'bool' });
  });

  it('is written again byte for byte from what was read', async () => {
    const file = await open(golden('blocks.gguf'));
    const tensors = [...file.tensors.values()].filter(({ dtype }) => dtype !== null);
    const again = await open(
      await written({
        metadata: file.fields,
        tensors: await Promise.all(
          tensors.map(async ({ name, dtype, shape }) => {
            const data = await file.read(name);
            return { name, dtype: dtype as GgufDType, shape, chunks: () => [data] };
          }),
        ),
      }),
    );
    expect(again.fields).toEqual(file.fields);
    for (const { name } of tensors) expect(await again.read(name)).toEqual(await file.read(name));
  });
});

describe('writeGguf', () => {
  it('writes what openGguf reads, in any dtype, shape and alignment', async () => {
    const dtypes: readonly GgufDType[] = ['f32', 'f16', 'bf16', 'q8_0', 'q4_0'];
    const tensor = fc.record({
      name: fc.string({ maxLength: 70 }),
      dtype: fc.constantFrom(...dtypes),
      shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }),
      fill: fc.nat({ max: 255 }),
    });
    const field = fc.oneof(
      fc.string({ unit: 'grapheme' }).map((value): GgufField => ({ type: 'string', value })),
      fc.nat().map((value): GgufField => ({ type: 'u32', value })),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(
        (value): GgufField => ({
          type: 'i64',
          value: BigInt.asIntN(54, value) === value && value > -(2n ** 53n) ? Number(value) : value,
        }),
      ),
      fc.array(fc.string()).map((value): GgufField => ({ type: 'array', of: 'string', value })),
      fc
        .float32Array()
        .map((value): GgufField => ({ type: 'array', of: 'f32', value: new Float32Array(value) })),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(tensor, { maxLength: 5, selector: ({ name }) => name }),
        fc.uniqueArray(fc.tuple(fc.string(), field), { maxLength: 5, selector: ([key]) => key }),
        fc.constantFrom(8, 32, 64),
        async (specs, metadata, alignment) => {
          const tensors = specs.map(({ name, dtype, shape, fill }) => {
            const blocked = dtype.startsWith('q');
            return tensorOf(name, dtype, blocked ? [...shape, 32] : shape, fill);
          });
          const file = await open(await written({ metadata, tensors, alignment }));
          for (const [key, value] of metadata) expect(file.fields.get(key)).toEqual(value);
          expect([...file.tensors.keys()]).toEqual(tensors.map(({ name }) => name));
          for (const { name, dtype, shape, chunks } of tensors) {
            expect(file.tensors.get(name)).toMatchObject({ dtype, shape });
            expect(file.tensors.get(name)!.from % alignment).toBe(0);
            expect(bytesOf(await file.read(name))).toEqual(
              bytesOf([...(chunks() as Iterable<Uint8Array>)][0]),
            );
          }
        },
      ),
      { numRuns: 100, seed: 11 },
    );
  });

  it('refuses names twice, parts of blocks, and chunks of another size', async () => {
    const one = tensorOf('x', 'f32', [2]);
    await expect(written({ metadata: [], tensors: [one, one] })).rejects.toThrow(
      'x: expected a name once',
    );
    await expect(
      written({ metadata: [], tensors: [{ ...one, dtype: 'q8_0', shape: [4, 24] }] }),
    ).rejects.toThrow('expected whole blocks of 32');
    await expect(written({ metadata: [], tensors: [{ ...one, shape: [3] }] })).rejects.toThrow(
      'x: expected 12 bytes for f32 [3], got 8',
    );
    await expect(written({ metadata: [], tensors: [{ ...one, shape: [1] }] })).rejects.toThrow(
      'x: expected 4 bytes for f32 [1], got more',
    );
    const key = ['k', { type: 'u8', value: 1 }] as const;
    await expect(written({ metadata: [key, key], tensors: [] })).rejects.toThrow(
      'k: expected a key once',
    );
    await expect(written({ metadata: [], tensors: [], alignment: 24 })).rejects.toThrow(
      'power of two',
    );
  });
});

describe('openGguf', () => {
  it('reads no more of the file than twice its header', async () => {
    const words = Array.from({ length: 300_000 }, (_, index) => `word ${index}`);
    const bytes = await written({
      metadata: [['words', { type: 'array', of: 'string', value: words }]],
      tensors: [tensorOf('x', 'f32', [1024, 4096])],
    });
    const source = memorySource({ [FILE]: bytes }, 'folder');
    let read = 0;
    const counting: FolderSource = {
      ...source,
      read(name, from, to, options) {
        read += to - from;
        return source.read(name, from, to, options);
      },
    };
    const file = await openGguf(counting, FILE);
    expect(file.metadata['words']).toEqual(words);
    const header = file.tensors.get('x')!.from;
    expect(header).toBeGreaterThan(2 ** 22);
    expect(read).toBeLessThan(2 * header);
  });

  it('reads version 2', async () => {
    const bytes = await written({ metadata: [], tensors: [tensorOf('x', 'f32', [3])] });
    bytes[4] = 2;
    expect((await open(bytes)).version).toBe(2);
  });
});

describe('readRows', () => {
  it.each<[GgufDType, GgufDType]>([
    ['f32', 'f32'],
    ['bf16', 'f32'],
    ['f32', 'q8_0'],
    ['q8_0', 'q8_0'],
    ['q8_0', 'q4_0'],
  ])('gives %s as %s in pieces and in another order', async (from, to) => {
    const rows = Float32Array.from({ length: 12 * 64 }, (_, i) => Math.sin(i * i));
    const data = convert(rows, 'f32', from);
    const file = await open(
      await written({
        metadata: [],
        tensors: [{ name: 'x', dtype: from, shape: [12, 64], chunks: () => [data] }],
      }),
    );
    const order = [2, 0, 3, 1];
    const rowBytes = data.byteLength / 12;
    // One group of four rows a piece, then all at once.
    for (const pieceBytes of [4 * rowBytes, 1 << 20]) {
      const out = arrayFor(to, rows.length);
      let bytes = 0;
      for await (const piece of readRows(file, 'x', { dtype: to, rowOrder: order, pieceBytes })) {
        out.set(piece.data, (piece.at / rows.length) * out.length);
        bytes += piece.fileBytes;
      }
      expect(bytes).toBe(data.byteLength);
      const asked = toFloat32(convert(toFloat32(data, from), 'f32', to), to);
      const got = toFloat32(out, to);
      for (let row = 0; row < 12; row++) {
        const source = row - (row % 4) + order[row % 4];
        expect(got.subarray(row * 64, (row + 1) * 64)).toEqual(
          asked.subarray(source * 64, (source + 1) * 64),
        );
      }
    }
  });

  it('reads a piece while the one before is worked on, and no further', async () => {
    const bytes = await written({ metadata: [], tensors: [tensorOf('x', 'f32', [8, 32])] });
    const source = memorySource({ [FILE]: bytes }, 'folder');
    let reads = 0;
    const counting: FolderSource = {
      ...source,
      readInto(name, from, target, options) {
        reads += 1;
        return source.readInto!(name, from, target, options);
      },
    };
    const file = await openGguf(counting, FILE);
    let pieces = 0;
    for await (const { at } of readRows(file, 'x', { dtype: 'f32', pieceBytes: 128 })) {
      expect(at).toBe(32 * pieces);
      pieces += 1;
      expect(reads).toBe(Math.min(8, pieces + 1));
    }
    expect(pieces).toBe(8);
  });

  it('stops at an abort between pieces', async () => {
    const file = await open(
      await written({ metadata: [], tensors: [tensorOf('x', 'f32', [8, 32])] }),
    );
    const controller = new AbortController();
    const reason = new Error('enough');
    let pieces = 0;
    const read = async () => {
      const options = { dtype: 'f32', pieceBytes: 128, signal: controller.signal } as const;
      for await (const _ of readRows(file, 'x', options))
        if (++pieces === 2) controller.abort(reason);
    };
    await expect(read()).rejects.toBe(reason);
    // The one that was under way when the abort came.
    expect(pieces).toBeLessThanOrEqual(3);
  });
});

/** Bytes of a header by hand: numbers of so many bytes, strings with their length. */
function bytesFrom(
  ...parts: readonly (readonly ['u32' | 'u64', number | bigint] | string)[]
): Uint8Array {
  const out: number[] = [];
  const push = (value: bigint, bytes: number) => {
    for (let i = 0; i < bytes; i++) out.push(Number((value >> BigInt(8 * i)) & 255n));
  };
  for (const part of parts)
    if (typeof part === 'string') {
      const text = new TextEncoder().encode(part);
      push(BigInt(text.length), 8);
      out.push(...text);
    } else push(BigInt(part[1]), part[0] === 'u32' ? 4 : 8);
  return Uint8Array.from(out);
}

const u32 = (value: number) => ['u32', value] as const;
const u64 = (value: number | bigint) => ['u64', value] as const;
const MAGIC = u32(0x46554747);
const start = (tensors: number | bigint, fields: number | bigint) =>
  [MAGIC, u32(3), u64(tensors), u64(fields)] as const;
const f32At = (name: string, offset: number | bigint, ...extents: (number | bigint)[]) =>
  [name, u32(extents.length), ...extents.map(u64), u32(0), u64(offset)] as const;
const withData = (bytes: Uint8Array, data: number) => {
  const from = Math.ceil(bytes.length / 32) * 32;
  const out = new Uint8Array(from + data);
  out.set(bytes);
  return out;
};

describe('openGguf refuses, with one error that says where,', () => {
  const at = 'folder/a.gguf: ';
  it.each<[string, Uint8Array, string, string?]>([
    ['an empty file', new Uint8Array(0), `${at}magic: expected 4 bytes, got 0`],
    [
      'another kind of file',
      bytesFrom(u32(0x04034b50), u32(3), u64(0), u64(0)),
      `${at}expected a file that begins with GGUF, got the bytes 04034b50`,
    ],
    [
      'version 1',
      bytesFrom(MAGIC, u32(1), u64(0), u64(0)),
      `${at}version: expected 2 or 3, got 1`,
      'UnsupportedError',
    ],
    [
      'a version to come',
      bytesFrom(MAGIC, u32(4), u64(0), u64(0)),
      `${at}version: expected 2 or 3, got 4`,
      'UnsupportedError',
    ],
    [
      'a big-endian file',
      bytesFrom(MAGIC, u32(0x03000000), u64(0), u64(0)),
      `${at}expected a little-endian file, got a big-endian one`,
      'UnsupportedError',
    ],
    [
      'more tensors than bytes',
      bytesFrom(...start(2n ** 60n, 0)),
      `${at}tensor count: expected at most 0`,
    ],
    [
      'more fields than bytes',
      bytesFrom(...start(0, 2n ** 63n)),
      `${at}metadata count: expected at most 0`,
    ],
    [
      'a key longer than the file',
      bytesFrom(...start(0, 1), u64(2n ** 40n), u64(0)),
      `${at}metadata 0: expected at most`,
    ],
    [
      'a key twice',
      bytesFrom(...start(0, 2), 'k', u32(4), u32(1), 'k', u32(4), u32(1)),
      `${at}k: expected a key once, got it twice`,
    ],
    [
      'a key that is no text',
      (() => {
        const bytes = bytesFrom(...start(0, 1), 'k', u32(4), u32(1));
        bytes[32] = 0xff;
        return bytes;
      })(),
      `${at}metadata 0: expected UTF-8`,
    ],
    [
      'a value of no type',
      bytesFrom(...start(0, 1), 'k', u32(13), u64(1)),
      `${at}k: expected a type from 0 to 12, got 13`,
    ],
    [
      'a bool of two',
      bytesFrom(...start(0, 1), 'k', u32(7), u32(2)),
      `${at}k: expected a bool of 0 or 1, got 2`,
    ],
    [
      'an array longer than the file',
      bytesFrom(...start(0, 1), 'k', u32(9), u32(0), u64(2n ** 62n), u64(0)),
      `${at}k: expected at most 8`,
    ],
    [
      'an array of strings longer than the file',
      bytesFrom(...start(0, 1), 'k', u32(9), u32(8), u64(2n ** 31n), u64(0)),
      `${at}k: expected at most 1`,
    ],
    [
      'arrays in arrays',
      bytesFrom(...start(0, 1), 'k', u32(9), u32(9), u64(1), u32(9), u64(1), u32(9), u64(1)),
      `${at}k: expected an array of plain values, got an array of arrays`,
    ],
    [
      'a name twice',
      withData(bytesFrom(...start(2, 0), ...f32At('x', 0, 1), ...f32At('x', 32, 1)), 64),
      `${at}x: expected a name once, got it twice`,
    ],
    [
      'five dimensions',
      withData(bytesFrom(...start(1, 0), ...f32At('x', 0, 1, 1, 1, 1, 1)), 64),
      `${at}x: expected at most 4 dimensions, got 5`,
    ],
    [
      'a shape beyond all numbers',
      withData(bytesFrom(...start(1, 0), ...f32At('x', 0, 2n ** 40n, 2n ** 40n)), 64),
      `${at}x: expected a tensor that fits in a file`,
    ],
    [
      'an extent beyond all numbers',
      withData(bytesFrom(...start(1, 0), ...f32At('x', 0, 2n ** 64n - 1n)), 64),
      `${at}x: expected a tensor that fits in a file`,
    ],
    [
      'an unknown type',
      withData(bytesFrom(...start(1, 0), 'x', u32(1), u64(32), u32(99), u64(0)), 64),
      `${at}x: expected one of the types F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, BF16, got number 99`,
      'UnsupportedError',
    ],
    [
      'a type that is not read',
      withData(bytesFrom(...start(1, 0), 'x', u32(1), u64(256), u32(10), u64(0)), 64),
      'got Q2_K',
      'UnsupportedError',
    ],
    [
      'part of a block',
      withData(bytesFrom(...start(1, 0), 'x', u32(2), u64(48), u64(2), u32(8), u64(0)), 128),
      `${at}x: expected rows of whole blocks of 32 for Q8_0, got [2, 48]`,
    ],
    [
      'an offset between the steps',
      withData(bytesFrom(...start(1, 0), ...f32At('x', 4, 1)), 64),
      `${at}x: expected an offset in steps of 32, got 4`,
    ],
    [
      'an offset beyond the file',
      withData(bytesFrom(...start(1, 0), ...f32At('x', 2n ** 62n, 1)), 64),
      `${at}x: expected data inside the`,
    ],
    [
      'data beyond the file',
      withData(bytesFrom(...start(1, 0), ...f32At('x', 0, 32)), 64),
      `${at}x: expected data inside the`,
    ],
    [
      'tensors that overlap',
      withData(bytesFrom(...start(2, 0), ...f32At('x', 0, 16), ...f32At('y', 32, 8)), 64),
      `${at}y: expected data of its own, got bytes`,
    ],
    [
      'an alignment of three',
      bytesFrom(...start(0, 1), 'general.alignment', u32(4), u32(3)),
      `${at}general.alignment: expected a power of two as u32, got 3 as u32`,
    ],
    [
      'an alignment of zero',
      bytesFrom(...start(0, 1), 'general.alignment', u32(4), u32(0)),
      'expected a power of two',
    ],
    [
      'an alignment that is a string',
      bytesFrom(...start(0, 1), 'general.alignment', u32(8), 'x'),
      'expected a power of two',
    ],
    [
      'an alignment beyond the file',
      withData(
        bytesFrom(...start(1, 1), 'general.alignment', u32(4), u32(2 ** 30), ...f32At('x', 0, 1)),
        64,
      ),
      `${at}x: expected data inside the`,
    ],
  ])('%s', async (_, bytes, message, name = 'FormatError') => {
    const error = await open(bytes).catch((caught: Error) => caught);
    expect((error as Error).message).toContain(message);
    expect(error).toMatchObject({ name });
  });

  it('a file cut anywhere in its header or data', async () => {
    const bytes = new Uint8Array(golden('blocks.gguf'));
    const last = Math.max(...[...(await open(bytes)).tensors.values()].map(({ to }) => to));
    for (let length = 0; length < last; length++) {
      const error = await open(bytes.slice(0, length)).catch((caught: Error) => caught);
      if (!(error instanceof Error))
        throw new Error(`cut at ${length}: expected an error, got none`);
      expect([length, error.name]).toEqual([length, 'FormatError']);
    }
    await open(bytes.slice(0, last));
  });

  it('any file with a few bytes changed, or reads it as it stands', async () => {
    const original = new Uint8Array(golden('blocks.gguf'));
    await fc.assert(
      fc.asyncProperty(damaged(original, 1100), async (broken) => {
        try {
          const { tensors, read } = await open(broken);
          for (const name of tensors.keys()) await read(name);
        } catch (error) {
          expect((error as Error).name).toMatch(/^(FormatError|UnsupportedError)$/);
        }
      }),
      { numRuns: 1000, seed: 5 },
    );
  });
});
