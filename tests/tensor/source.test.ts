import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type FolderSource,
  folderOnDemand,
  memorySource,
  openFolder,
  writeFolder,
} from '../../src/tensor/source.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'foretoken-source-'));
  writeFileSync(join(folder, 'a.txt'), 'täg');
  writeFileSync(join(folder, 'bytes'), Uint8Array.of(1, 2, 3, 0xff));
  symlinkSync(join(folder, 'bytes'), join(folder, 'link'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SOURCES: readonly [string, () => Promise<FolderSource>][] = [
  ['a folder on disk', () => openFolder(folder)],
  ['a folder on disk whose files are opened to be read', () => folderOnDemand(folder)],
  [
    'a folder in memory',
    async () => {
      const bytes = Uint8Array.of(1, 2, 3, 0xff);
      return memorySource({ 'a.txt': 'täg', bytes, link: bytes });
    },
  ],
];

describe.each(SOURCES)('%s', (_, make) => {
  it('reads exact ranges, sizes and text', async () => {
    const source = await make();
    expect(await source.has('a.txt')).toBe(true);
    expect(await source.has('b.txt')).toBe(false);
    expect(await source.size('bytes')).toBe(4);
    expect(await source.read('bytes', 1, 3)).toEqual(Uint8Array.of(2, 3));
    expect(await source.read('link', 0, 4)).toEqual(Uint8Array.of(1, 2, 3, 0xff));
    expect(await source.read('bytes', 2, 2)).toEqual(new Uint8Array(0));
    expect(await source.text('a.txt')).toBe('täg');
    await source.close();
  });

  it('reads into memory of the caller, shared memory too, and touches nothing else', async () => {
    const source = await make();
    for (const buffer of [new ArrayBuffer(6), new SharedArrayBuffer(6)]) {
      const bytes = new Uint8Array(buffer).fill(9);
      await source.readInto!('bytes', 1, bytes.subarray(2, 5));
      expect([...bytes]).toEqual([9, 9, 2, 3, 255, 9]);
      await expect(source.readInto!('bytes', 2, bytes)).rejects.toThrow(
        'bytes: expected 8 bytes, got 4; the file is truncated',
      );
    }
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    await expect(source.readInto!('bytes', 0, new Uint8Array(1), { signal })).rejects.toBe(reason);
    await source.close();
  });

  it('lists its files', async () => {
    const source = await make();
    expect([...(await source.files!())].sort()).toEqual(['a.txt', 'bytes', 'link']);
    await source.close();
  });

  it('refuses what is not there, what is too short, what is no text, and an abort', async () => {
    const source = await make();
    await expect(source.read('nothing', 0, 1)).rejects.toThrow('nothing: expected a ');
    await expect(source.read('bytes', 2, 6)).rejects.toThrow(
      'bytes: expected 6 bytes, got 4; the file is truncated',
    );
    await expect(source.text('bytes')).rejects.toThrow('bytes: expected UTF-8 text');
    const reason = new Error('enough');
    await expect(source.read('bytes', 0, 1, { signal: AbortSignal.abort(reason) })).rejects.toBe(
      reason,
    );
    await source.close();
  });

  it.each(['../a.txt', '/etc/passwd', 'a/../../b', 'a\\b', 'C:a', './a.txt', '', 'a//b', 'a\0b'])(
    'refuses the path %j',
    async (path) => {
      const source = await make();
      const attempts: (() => Promise<unknown>)[] = [
        () => source.has(path),
        () => source.read(path, 0, 1),
        () => source.text(path),
      ];
      for (const attempt of attempts) {
        const error = await Promise.resolve()
          .then(attempt)
          .catch((caught: Error) => caught);
        expect(error).toMatchObject({ name: 'FormatError' });
        expect((error as Error).message).toContain('expected a path inside the folder');
      }
      await source.close();
    },
  );
});

describe('writeFolder', () => {
  it('leaves what was there when a file cannot be written', async () => {
    const parent = join(folder, 'written');
    await writeFolder(parent, { 'a.txt': 'old' });
    mkdirSync(join(parent, 'b.txt.part'));
    await expect(writeFolder(parent, { 'a.txt': 'new', 'b.txt': 'new' })).rejects.toThrow(
      `${parent}: expected a folder that can be written, got`,
    );
    const source = await openFolder(parent);
    expect(await source.text('a.txt')).toBe('old');
    expect(await source.files?.()).toEqual(['a.txt']);
    await source.close();
  });

  it('refuses weights beside those of another model before it writes any', async () => {
    const parent = join(folder, 'weights');
    const [index, shard] = ['model.safetensors.index.json', 'model-00001-of-00002.safetensors'];
    await writeFolder(parent, { 'config.json': 'old', [index]: '{}', [shard]: '', 'a.bin': '' });
    const single = { 'config.json': 'new', 'model.safetensors': '' };
    await expect(writeFolder(parent, single)).rejects.toThrow(
      `${parent}: expected no weights beside the new ones, got ${shard}, ${index}`,
    );
    const source = await openFolder(parent);
    expect(await source.text('config.json')).toBe('old');
    expect((await source.files?.())?.toSorted()).toEqual(['a.bin', 'config.json', shard, index]);
    await source.close();
    await writeFolder(parent, { 'config.json': 'new' });
    await writeFolder(parent, { [index]: '[]', [shard]: '' });
    const other = join(folder, 'single');
    await writeFolder(other, single);
    await writeFolder(other, single);
    await expect(writeFolder(other, { [shard]: '' })).rejects.toThrow('got model.safetensors');
  });

  it('does not blame the folder for what cannot be read', async () => {
    const parent = join(folder, 'unread');
    const source = memorySource({ a: 'abc' }, 'short');
    const pieces = async function* () {
      yield await source.read('a', 0, 3);
      yield await source.read('a', 3, 6);
    };
    await expect(writeFolder(parent, { a: pieces() })).rejects.toThrow(
      /^short\/a: expected 6 bytes, got 3; the file is truncated$/,
    );
    expect(readdirSync(parent)).toEqual([]);
  });

  it('refuses a path out of the folder before it writes any', async () => {
    const parent = join(folder, 'unwritten');
    await expect(writeFolder(parent, { 'a.txt': 'new', '../b.txt': 'new' })).rejects.toThrow(
      'expected a path inside the folder',
    );
    await expect(openFolder(parent)).rejects.toThrow('got nothing');
  });
});

describe('the folders of a folder', () => {
  it('are listed apart from its files', async () => {
    mkdirSync(join(folder, 'outer', 'inner', 'deep'), { recursive: true });
    writeFileSync(join(folder, 'outer', 'a'), '');
    const disk = await openFolder(join(folder, 'outer'));
    const memory = memorySource({ a: '', 'inner/b': '', 'inner/deep/c': '' });
    for (const source of [disk, memory]) {
      expect(await source.folders?.()).toEqual(['inner']);
      expect(await source.files?.()).toEqual(['a']);
      await source.close();
    }
  });
});

describe('folderOnDemand', () => {
  const FILES = '/proc/self/fd';
  it.runIf(existsSync(FILES))('leaves nothing open, without a call of close', async () => {
    const open = () =>
      readdirSync(FILES).filter((each) => {
        // One of them is the list itself.
        const path = existsSync(`${FILES}/${each}`) ? readlinkSync(`${FILES}/${each}`) : '';
        return path.startsWith(folder);
      });
    const source = await openFolder(folder);
    await source.text('a.txt');
    expect(open()).toHaveLength(1);
    await source.close();
    const onDemand = await folderOnDemand(folder);
    await onDemand.text('a.txt');
    expect(open()).toEqual([]);
  });

  it('refuses what is no folder before anything is read', async () => {
    await expect(folderOnDemand(join(folder, 'bytes'))).rejects.toThrow(
      'expected a folder, got a file',
    );
  });
});

describe('openFolder', () => {
  it('names what opens and cannot be read', async () => {
    mkdirSync(join(folder, 'opens', 'inner'), { recursive: true });
    const source = await openFolder(join(folder, 'opens'));
    await expect(source.read('inner', 0, 1)).rejects.toThrow(
      /opens\/inner: expected a readable file, got EISDIR/,
    );
    await source.close();
  });

  it('refuses what is no folder', async () => {
    await expect(openFolder(join(folder, 'missing'))).rejects.toThrow(
      'missing: expected a folder, got nothing',
    );
    await expect(openFolder(join(folder, 'bytes'))).rejects.toThrow(
      'bytes: expected a folder, got a file',
    );
  });
});
