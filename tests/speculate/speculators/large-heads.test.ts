// Heads that are larger than what is held of them: converted, migrated, stitched and taken back in reads of a piece at most. Their
// files are made as they are read, from a pattern that no shift but by its period repeats.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { convertSpeculator, exportResearch } from '../../../src/speculate/speculators/convert.ts';
import { headFiles } from '../../../src/speculate/speculators/files.ts';
import { migrateSpeculator } from '../../../src/speculate/speculators/migrate.ts';
import { readMoments } from '../../../src/speculate/speculators/moments.ts';
import { mtp } from '../../../src/speculate/speculators/research/mtp.ts';
import { take } from '../../../src/speculate/speculators/research/take.ts';
import { stitchMtp } from '../../../src/speculate/speculators/stitch.ts';
import { PIECE_BYTES } from '../../../src/tensor/checkpoint.ts';
import { partsBytes, readParts } from '../../../src/tensor/parts.ts';
import { openCheckpoint, safetensorsHeader } from '../../../src/tensor/safetensors.ts';
import {
  type FolderSource,
  inFolder,
  memorySource,
  writeFolder,
} from '../../../src/tensor/source.ts';
import { contentOf, golden, verifier } from './research.ts';

type Shapes = Readonly<Record<string, readonly number[]>>;
const WEIGHTS = 'model.safetensors';

/** Bytes of the pattern; half of it is prime. */
const PERIOD = 2 * 65_521;
/** Numbers in bf16 between 1 / 128 and 2 in size. */
const PATTERN = Uint8Array.from({ length: PERIOD }, (_, at) => {
  const mixed = Math.imul(at + 1, 0x9e3779b1) >>> 16;
  return at % 2 === 0 ? mixed % 256 : (mixed % 2) * 0x80 + 0x3c + (mixed % 4);
});

/** The bytes of the pattern from one of them on. */
function fill(from: number, target: Uint8Array): void {
  for (let at = 0; at < target.length; ) {
    const start = (from + at) % PERIOD;
    const part = PATTERN.subarray(start, Math.min(PERIOD, start + target.length - at));
    target.set(part, at);
    at += part.length;
  }
}

/** Tensors in bf16 whose file has the pattern behind its header. */
function patterned(config: object, shapes: Shapes, name: string): FolderSource {
  const sizes = Object.entries(shapes).map(([each, shape]) => {
    const sizeBytes = 2 * shape.reduce((a, b) => a * b, 1);
    return { name: each, dtype: 'bf16' as const, shape, sizeBytes };
  });
  const header = safetensorsHeader(sizes);
  const size = sizes.reduce((sum, { sizeBytes }) => sum + sizeBytes, header.length);
  const files = memorySource({ 'config.json': JSON.stringify(config), [WEIGHTS]: header }, name);
  const read: FolderSource['read'] = async (path, from, to) => {
    if (path !== WEIGHTS || to <= header.length) return files.read(path, from, to);
    const bytes = new Uint8Array(to - from);
    const inHeader = Math.max(0, header.length - from);
    bytes.set(header.subarray(from, from + inHeader));
    fill(from + inHeader, bytes.subarray(inHeader));
    return bytes;
  };
  return {
    ...files,
    size: async (path) => (path === WEIGHTS ? size : files.size(path)),
    read,
    async readInto(path, from, target) {
      target.set(await read(path, from, from + target.length));
    },
  };
}

/** A folder that notes how much is read from it at once. */
function watched(source: FolderSource, reads: number[]): FolderSource {
  return {
    ...source,
    read(path, from, to, options) {
      reads.push(to - from);
      return source.read(path, from, to, options);
    },
    readInto(path, from, target, options) {
      reads.push(target.length);
      return source.readInto!(path, from, target, options);
    },
  };
}

// The embedding has whole periods, so that a copy behind it is equal.
const [C, V, E, I] = [16, PERIOD / 2, 3, 80_000];
const AT = 'model.layers.8';
const SHAPES: Shapes = {
  'model.embed_tokens.weight': [V, C],
  [`${AT}.embed_tokens.weight`]: [V, C],
  [`${AT}.eh_proj.weight`]: [C, 2 * C],
  ...Object.fromEntries(
    ['enorm', 'hnorm', 'shared_head.norm', 'input_layernorm', 'post_attention_layernorm'].map(
      (each) => [`${AT}.${each}.weight`, [C]],
    ),
  ),
  [`${AT}.self_attn.q_proj.weight`]: [C, C],
  [`${AT}.self_attn.k_proj.weight`]: [C, C],
  [`${AT}.self_attn.v_proj.weight`]: [C, C],
  [`${AT}.self_attn.o_proj.weight`]: [C, C],
  [`${AT}.mlp.gate.weight`]: [E, C],
  // Not in the order of their numbers, which the format has.
  ...Object.fromEntries(
    [2, 0, 1].flatMap((e) => [
      [`${AT}.mlp.experts.${e}.up_proj.weight`, [I, C]],
      [`${AT}.mlp.experts.${e}.gate_proj.weight`, [I, C]],
      [`${AT}.mlp.experts.${e}.down_proj.weight`, [C, I]],
    ]),
  ),
};
const layer = { ...verifier.config, hidden_size: C, vocab_size: V, model_type: 'not run here' };
const CONFIG = { architectures: ['NotRunHere'], ...layer };

/** The tensors of a folder that a file has one after the other. */
async function joined(source: FolderSource, names: readonly string[]): Promise<Uint8Array> {
  const { tensors } = await openCheckpoint(source);
  const all = names.map((name) => {
    const { file, from, to } = tensors.get(name)!;
    return source.read(file, from, to);
  });
  return Buffer.concat(await Promise.all(all));
}

const folder = mkdtempSync(join(tmpdir(), 'foretoken-large-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a head of many pieces', () => {
  const source = patterned(CONFIG, SHAPES, 'target');
  const [made, back, current] = ['made', 'back', 'current'].map((each) => join(folder, each));

  it('is converted, migrated, stitched and taken back in reads of a piece', async () => {
    const reads: number[] = [];
    const conversion = await convertSpeculator(watched(source, reads));
    expect(conversion.notes).toEqual([expect.stringContaining('this version does not run it')]);
    expect(conversion.dropped).toEqual([[`${AT}.embed_tokens.weight`, 'the target has it']]);
    await conversion.savePretrained(made);
    await inFolder(made, async (head) => {
      const halves = [0, 1, 2].flatMap((e) =>
        ['gate_proj', 'up_proj'].map((each) => `${AT}.mlp.experts.${e}.${each}.weight`),
      );
      const expected = await joined(source, halves);
      const got = await joined(head, ['mtp_layers.0.mlp.experts.gate_up_proj']);
      expect(Buffer.compare(got, expected)).toBe(0);

      const own = watched(head, reads);
      const stitch = await stitchMtp(own, watched(source, reads));
      expect(stitch.replaced).toHaveLength(Object.keys(SHAPES).length - 2);
      const size = await source.size(WEIGHTS);
      let at = 0;
      for await (const piece of stitch.files()[WEIGHTS]) {
        const same = await source.read(WEIGHTS, at, at + piece.length);
        if (Buffer.compare(piece, same) !== 0) throw new Error(`other bytes from ${at} on`);
        at += piece.length;
        reads.push(piece.length);
      }
      expect(at).toBe(size);

      await (await exportResearch(own)).savePretrained(back);
      const migration = await migrateSpeculator(own);
      expect(migration.changes).toEqual([]);
      await migration.savePretrained(current);
    });
    for (const file of ['config.json', WEIGHTS])
      expect(
        Buffer.compare(readFileSync(join(current, file)), readFileSync(join(made, file))),
      ).toBe(0);
    await inFolder(back, async (head) => {
      const names = Object.keys(SHAPES).filter((name) => !name.includes('embed_tokens'));
      expect([...(await openCheckpoint(head)).tensors.keys()].toSorted()).toEqual(names.toSorted());
      const same = Buffer.compare(await joined(head, names), await joined(source, names));
      expect(same).toBe(0);
    });
    expect(Math.max(...reads)).toBe(PIECE_BYTES);
  });
});

describe('a migration', () => {
  it('may be written over what it is read from', async () => {
    const own = join(folder, 'own');
    await inFolder(golden('heads/eagle31-fcnorm'), async (source) => {
      const names = await source.files!();
      const contents = names.map((name) => [
        name,
        readFileSync(golden(`heads/eagle31-fcnorm/${name}`)),
      ]);
      await writeFolder(own, Object.fromEntries(contents));
      await inFolder(own, async (copy) => (await migrateSpeculator(copy)).savePretrained(own));
      expect(await inFolder(own, contentOf)).toEqual(await contentOf(source));
    });
    expect(await inFolder(own, async (copy) => (await migrateSpeculator(copy)).changes)).toEqual(
      [],
    );
  });
});

describe('a vector of many pieces', () => {
  it('is looked at in pieces', async () => {
    const reads: number[] = [];
    const source = patterned(CONFIG, { norm: [2 * PIECE_BYTES] }, 'vector');
    const { count, broken } = await readMoments(
      await openCheckpoint(watched(source, reads)),
      'norm',
    );
    expect([count, broken]).toEqual([2 * PIECE_BYTES, 0]);
    expect(Math.max(...reads)).toBe(PIECE_BYTES);
  });
});

describe('a layer of 22 GB', () => {
  const [count, inner, width] = [256, 2048, 7168];
  const shapes: Shapes = Object.fromEntries(
    Array.from({ length: count }, (_, e) => [
      [`mtp.layers.0.mlp.experts.${e}.down_proj.weight`, [width, inner]],
      [`mtp.layers.0.mlp.experts.${e}.up_proj.weight`, [inner, width]],
      [`mtp.layers.0.mlp.experts.${e}.gate_proj.weight`, [inner, width]],
    ]).flat(),
  );

  it('has every expert where the format has it', async () => {
    const source = patterned(CONFIG, shapes, 'large');
    const checkpoint = await openCheckpoint(source);
    const { tensors } = await take('large', checkpoint, mtp);
    const parts = { own: CONFIG, verifier: CONFIG };
    const [gateUp, down] = mtp.arrange!(tensors, parts).tensors;
    const matrix = 2 * inner * width;
    expect([partsBytes(gateUp), partsBytes(down)]).toEqual([2 * count * matrix, count * matrix]);
    // Where the layout above puts the matrices: down, up and gate of every expert.
    const dataFrom = checkpoint.tensors.get(Object.keys(shapes)[0])!.from;
    for (let e = 0; e < count; e += 15)
      for (const [whole, at, place] of [
        [gateUp, 2 * e, 3 * e + 2],
        [gateUp, 2 * e + 1, 3 * e + 1],
        [down, e, 3 * e],
      ] as const) {
        const [got, expected] = [new Uint8Array(64), new Uint8Array(64)];
        const inside = matrix - 64 - 2 * e;
        await readParts(whole, at * matrix + inside, got);
        fill(dataFrom + place * matrix + inside, expected);
        expect(got).toEqual(expected);
      }
  });

  it('is not made into one array, and said to be written in pieces', async () => {
    const source = patterned(CONFIG, shapes, 'large');
    const { tensors } = await take('large', await openCheckpoint(source), mtp);
    await expect(headFiles({ config: {}, tensors })).rejects.toThrow(
      /^files: model\.safetensors: expected at most 4278190080 bytes in memory, got 225\d{8}; savePretrained writes any number$/,
    );
  });
});

describe('a head whose file ends while it is read', () => {
  it('leaves no file under its name', async () => {
    const whole = patterned(CONFIG, SHAPES, 'cut');
    let isCut = false;
    const source: FolderSource = {
      ...whole,
      async readInto(path, from, target, options) {
        // After the header and the checks, in the middle of a tensor.
        if (isCut && from > 12 * PIECE_BYTES) await memorySource({}, 'cut').read(path, 0, 1);
        await whole.readInto!(path, from, target, options);
      },
    };
    const conversion = await convertSpeculator(source);
    isCut = true;
    const out = join(folder, 'cut');
    await expect(conversion.savePretrained(out)).rejects.toThrow(
      /^cut\/model\.safetensors: expected a file, got nothing$/,
    );
    await inFolder(out, async (left) => expect(await left.files!()).toEqual([]));
  });
});
