// A folder of files that a page was given: dropped on it, or chosen in a dialog.
import { FormatError } from '../kernels/errors.ts';
import { checkPath, decode, type FolderSource, truncated } from './source.ts';

/** The part of a `File` that is used; a file of a chosen folder has its path in `webkitRelativePath`. */
export interface PageFile extends Blob {
  readonly name: string;
  readonly webkitRelativePath?: string;
}

/** The files as one folder: paths are relative to the folder that was chosen, or names. */
export function fileSource(files: Iterable<PageFile>, name = 'files'): FolderSource {
  const contents = new Map<string, PageFile>();
  for (const file of files) {
    const [, ...path] = file.webkitRelativePath?.split('/') ?? [];
    contents.set(path.length > 0 ? path.join('/') : file.name, file);
  }
  const find = (path: string): PageFile => {
    const file = contents.get(checkPath(name, path));
    if (file === undefined) throw new FormatError(`${name}/${path}: expected a file, got nothing`);
    return file;
  };
  const read: FolderSource['read'] = async (path, from, to, { signal } = {}) => {
    signal?.throwIfAborted();
    const file = find(path);
    if (to > file.size) throw truncated(`${name}/${path}`, to, file.size);
    const bytes = await file
      .slice(from, to)
      .arrayBuffer()
      .catch((cause: Error) => {
        throw new FormatError(`${name}/${path}: expected a readable file, got ${cause.message}`, {
          cause,
        });
      });
    return new Uint8Array(bytes);
  };
  return {
    name,
    has: async (path) => contents.has(checkPath(name, path)),
    size: async (path) => find(path).size,
    read,
    text: async (path) => decode(`${name}/${path}`, await read(path, 0, find(path).size)),
    files: async () => [...contents.keys()].filter((path) => !path.includes('/')),
    async close() {},
  };
}
