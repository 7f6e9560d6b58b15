// Tensors by where their bytes are, cut, joined and written in pieces; also where offsets are beyond 4 GiB.
import { describe, expect, it } from 'vitest';
import { PIECE_BYTES } from '../../src/tensor/checkpoint.ts';
import {
  cutParts,
  type Part,
  partsBytes,
  piecesOf,
  readParts,
  safetensorsInPieces,
  type TensorParts,
  tensorInCheckpoint,
  tensorInMemory,
} from '../../src/tensor/parts.ts';
import { openCheckpoint, writeSafetensors } from '../../src/tensor/safetensors.ts';
import { memorySource } from '../../src/tensor/source.ts';
import { numbers } from '../kernels/toy.ts';

/** Seeded numbers from 0 to `below` - 1. */
const integers = (seed: number, count: number, below: number) =>
  [...numbers(seed, count)].map((u) => Math.min(below - 1, Math.floor(((u + 1) / 2) * below)));

const bytesTensor = (name: string, bytes: readonly number[]) => ({
  name,
  dtype: 'u8' as const,
  shape: [bytes.length],
  data: Uint8Array.from(bytes),
});

async function whole(tensor: TensorParts): Promise<number[]> {
  const pieces: number[] = [];
  for await (const piece of piecesOf(tensor)) pieces.push(...piece);
  return pieces;
}

async function written(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) parts.push(piece);
  return new Uint8Array(Buffer.concat(parts));
}

describe('parts of tensors', () => {
  it.each(Array.from({ length: 30 }, (_, seed) => seed))(
    'cut and joined are the slices of arrays, seed %i',
    async (seed) => {
      // Three tensors, one of them in a file; then a few times a piece of one behind a piece of another.
      const start = [0, 1, 2].map((index) => integers(10 * seed + index, 5 + 4 * index, 256));
      const given = start.map((bytes, index) => bytesTensor(`t${index}`, bytes));
      const file = memorySource({ 'model.safetensors': writeSafetensors(given) });
      const tensors: TensorParts[] = [
        tensorInMemory(given[0]),
        tensorInCheckpoint(await openCheckpoint(file), 't1'),
        tensorInMemory(given[2]),
      ];
      const arrays: number[][] = [...start];
      for (let round = 0; round < 6; round++) {
        const [a, b] = integers(1000 + 50 * seed + round, 2, tensors.length);
        const range = (index: number, salt: number) =>
          integers(5000 * salt + 50 * seed + round, 2, arrays[index].length + 1).toSorted(
            (x, y) => x - y,
          );
        const [[fromA, toA], [fromB, toB]] = [range(a, 1), range(b, 2)];
        const parts = [...cutParts(tensors[a], fromA, toA), ...cutParts(tensors[b], fromB, toB)];
        const bytes = [...arrays[a].slice(fromA, toA), ...arrays[b].slice(fromB, toB)];
        tensors.push({ name: `t${tensors.length}`, dtype: 'u8', shape: [bytes.length], parts });
        arrays.push(bytes);
      }
      for (const [index, tensor] of tensors.entries()) {
        expect(partsBytes(tensor)).toBe(arrays[index].length);
        expect(await whole(tensor)).toEqual(arrays[index]);
        const [from, to] = integers(9000 + seed, 2, arrays[index].length + 1).toSorted(
          (x, y) => x - y,
        );
        const target = new Uint8Array(to - from);
        await readParts(tensor, from, target);
        expect([...target]).toEqual(arrays[index].slice(from, to));
      }
      const all = tensors.map((tensor, index) => bytesTensor(tensor.name, arrays[index]));
      const { sizeBytes, pieces } = safetensorsInPieces(tensors, { format: 'pt' });
      const expected = writeSafetensors(all, { format: 'pt' });
      expect(Buffer.compare(await written(pieces()), expected)).toBe(0);
      expect(sizeBytes).toBe(expected.length);
    },
  );

  it('are not cut within a byte', () => {
    const tensor = { name: 'w', dtype: 'F4', shape: [3, 1], parts: [] } as const;
    expect(() => cutParts(tensor, 0, 0.5)).toThrow(
      'w: expected whole bytes where it is cut, got F4 [3,1]',
    );
  });

  it('are not written as a tensor of another size, nor twice under one name', () => {
    const tensor = tensorInMemory(bytesTensor('x', [1, 2, 3]));
    expect(() => safetensorsInPieces([{ ...tensor, shape: [4] }])).toThrow(
      'x: expected 4 bytes for u8 [4] and a name once, got 3',
    );
    expect(() => safetensorsInPieces([tensor, tensor])).toThrow('a name once');
  });

  it('are not read beyond their end', async () => {
    const tensor = tensorInMemory(bytesTensor('x', [1, 2, 3]));
    await expect(readParts(tensor, 1, new Uint8Array(3))).rejects.toThrow('beyond its 3 bytes');
  });
});

describe('offsets beyond 4 GiB', () => {
  const GiB = 2 ** 30;
  /** Byte `at` of a tensor that nobody holds. */
  const byteAt = (at: number) => Math.floor(at / (4 * 2 ** 20)) % 251;
  const readInto: Part['readInto'] = async (at, target) => {
    for (let i = 0; i < target.length; i++) target[i] = byteAt(at + i);
  };
  const large = (name: string, gib: number): TensorParts => ({
    name,
    dtype: 'bf16',
    shape: [gib * 2 ** 15, 2 ** 14],
    parts: [{ readInto, from: 0, to: gib * GiB }],
  });

  it('are written into the header, and read from it', async () => {
    const tensors = [large('a', 6), large('b', 1), large('c', 5)];
    const { sizeBytes, pieces } = safetensorsInPieces(tensors, { format: 'pt' });
    const file = pieces();
    const { value: header } = await file.next();
    const json = JSON.parse(new TextDecoder().decode(header.subarray(8)));
    expect(json.b.data_offsets).toEqual([6 * GiB, 7 * GiB]);
    expect(json.c.data_offsets).toEqual([7 * GiB, 12 * GiB]);
    expect(sizeBytes).toBe(header.length + 12 * GiB);
    const { value: piece } = await file.next();
    expect(piece.length).toBe(PIECE_BYTES);
    await file.return(undefined);

    // The same file, of which there is the header only.
    const source = memorySource({ 'model.safetensors': header }, 'large');
    const reads: number[] = [];
    const checkpoint = await openCheckpoint({
      ...source,
      size: async () => sizeBytes,
      async readInto(_, from, target) {
        reads.push(from, target.length);
      },
    });
    const { from, to } = checkpoint.tensors.get('c')!;
    expect([from, to]).toEqual([header.length + 7 * GiB, header.length + 12 * GiB]);
    await readParts(tensorInCheckpoint(checkpoint, 'c'), 4.5 * GiB, new Uint8Array(3));
    expect(reads).toEqual([header.length + 11.5 * GiB, 3]);
  });

  it('are those of parts that are cut and joined', async () => {
    const [a, b] = [large('a', 6), large('b', 5)];
    const parts = [...cutParts(b, 4.5 * GiB, 5 * GiB), ...cutParts(a, GiB, 6 * GiB)];
    const joined = { ...a, parts };
    expect(partsBytes(joined)).toBe(5.5 * GiB);
    const target = new Uint8Array(4);
    // Across the seam, and at the end.
    await readParts(joined, GiB / 2 - 2, target);
    const seam = [5 * GiB - 2, 5 * GiB - 1, GiB, GiB + 1].map(byteAt);
    expect([...target]).toEqual(seam);
    await readParts(joined, 5.5 * GiB - 4, target);
    expect([...target]).toEqual([4, 3, 2, 1].map((back) => byteAt(6 * GiB - back)));
    expect(byteAt(5 * GiB - 1)).not.toBe(byteAt(GiB));
  });
});
