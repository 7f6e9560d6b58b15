import { describe, expect, it } from 'vitest';
import { FormatError } from '../../src/kernels/errors.ts';
import { fileSource, type PageFile } from '../../src/tensor/file-source.ts';

/** A file as a dialog for folders gives it. */
function chosen(path: string, text: string): PageFile {
  const file = new File([text], path.split('/').at(-1)!);
  return Object.defineProperty(file, 'webkitRelativePath', { value: path });
}

describe('fileSource', () => {
  it('is a folder of the names of dropped files', async () => {
    const source = fileSource([new File(['{}'], 'config.json'), new File(['abcdef'], 'w.gguf')]);
    expect(await source.files!()).toEqual(['config.json', 'w.gguf']);
    expect(await source.text('config.json')).toBe('{}');
    expect(await source.read('w.gguf', 2, 4)).toEqual(new TextEncoder().encode('cd'));
    expect(await source.size('w.gguf')).toBe(6);
    expect(await source.has('other')).toBe(false);
  });

  it('is the folder that was chosen, without its name', async () => {
    const source = fileSource([chosen('model/config.json', '{}'), chosen('model/a/b.txt', 'x')]);
    expect(await source.files!()).toEqual(['config.json']);
    expect(await source.text('a/b.txt')).toBe('x');
  });

  it('refuses what is not there, what leaves the folder, and bytes past the end', async () => {
    const source = fileSource([new File(['abc'], 'a')], 'dropped');
    await expect(source.read('b', 0, 1)).rejects.toThrow('dropped/b: expected a file, got nothing');
    await expect(source.has('../a')).rejects.toThrow(FormatError);
    await expect(source.read('a', 1, 4)).rejects.toThrow('truncated');
    await expect(source.read('a', 0, 1, { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
  });

  it('names a file that can no longer be read', async () => {
    const gone = Object.assign(new File(['abc'], 'a'), {
      slice: () => ({ arrayBuffer: () => Promise.reject(new Error('it was moved')) }),
    }) as unknown as PageFile;
    await expect(fileSource([gone]).read('a', 0, 1)).rejects.toThrow(
      'files/a: expected a readable file, got it was moved',
    );
  });
});
