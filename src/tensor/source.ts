// A folder of files that can be read in ranges, wherever it is: on disk, in memory, later behind a URL. Paths are relative,
// with forward slashes, and never leave the folder.
import { FormatError } from '../kernels/errors.ts';

/** Options of `FolderSource.read`. */
export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Read-only access to a folder. Every method throws a FormatError for a path that leaves it. */
export interface FolderSource {
  /** For messages. */
  readonly name: string;
  has(path: string): Promise<boolean>;
  /** Bytes of a file. */
  size(path: string): Promise<number>;
  /** Exactly the bytes [from, to); throws a FormatError for a file that ends before. */
  read(path: string, from: number, to: number, options?: ReadOptions): Promise<Uint8Array>;
  /** The whole file as UTF-8; throws a FormatError for other bytes. */
  text(path: string): Promise<string>;
  close(): Promise<void>;
}

/** A folder on disk. Throws a FormatError unless `path` is one. Files are opened once and closed by `close`. */
export async function openFolder(path: string): Promise<FolderSource> {
  // Imported here, so that the module also loads where there is no file system.
  const fs = await import('node:fs/promises');
  const stats = await fs.stat(path).catch(() => null);
  if (!stats?.isDirectory())
    throw new FormatError(
      `${path}: expected a folder, got ${stats === null ? 'nothing' : 'a file'}`,
    );
  type Handle = Awaited<ReturnType<typeof fs.open>>;
  const handles = new Map<string, Promise<Handle>>();
  const full = (file: string) => `${path}/${checkPath(path, file)}`;
  const open = (file: string): Promise<Handle> => {
    let handle = handles.get(file);
    if (handle === undefined) {
      handle = fs.open(full(file)).catch((error: Error) => {
        handles.delete(file);
        throw new FormatError(`${path}/${file}: expected a readable file, got ${error.message}`);
      });
      handles.set(file, handle);
    }
    return handle;
  };
  const read = async (file: string, from: number, to: number, { signal }: ReadOptions = {}) => {
    const handle = await open(file);
    const bytes = new Uint8Array(to - from);
    let done = 0;
    while (done < bytes.length) {
      signal?.throwIfAborted();
      const { bytesRead } = await handle.read(bytes, done, bytes.length - done, from + done);
      if (bytesRead === 0) throw truncated(`${path}/${file}`, to, from + done);
      done += bytesRead;
    }
    return bytes;
  };
  const size = async (file: string) => (await (await open(file)).stat()).size;
  return {
    name: path,
    async has(file) {
      const found = await fs.stat(full(file)).catch(() => null);
      return found?.isFile() ?? false;
    },
    size,
    read,
    text: async (file) => decode(`${path}/${file}`, await read(file, 0, await size(file))),
    async close() {
      const opened = await Promise.allSettled(handles.values());
      handles.clear();
      for (const result of opened) if (result.status === 'fulfilled') await result.value.close();
    },
  };
}

/** A folder in memory, by path; text is UTF-8. */
export function memorySource(
  files: Readonly<Record<string, Uint8Array | string>>,
  name = 'memory',
): FolderSource {
  const contents = new Map(
    Object.entries(files).map(([path, file]) => [
      path,
      typeof file === 'string' ? new TextEncoder().encode(file) : file,
    ]),
  );
  const find = (path: string): Uint8Array => {
    const file = contents.get(checkPath(name, path));
    if (file === undefined) throw new FormatError(`${name}/${path}: expected a file, got nothing`);
    return file;
  };
  return {
    name,
    has: async (path) => contents.has(checkPath(name, path)),
    size: async (path) => find(path).length,
    async read(path, from, to, { signal } = {}) {
      signal?.throwIfAborted();
      const file = find(path);
      if (to > file.length) throw truncated(`${name}/${path}`, to, file.length);
      return file.slice(from, to);
    },
    text: async (path) => decode(`${name}/${path}`, find(path)),
    async close() {},
  };
}

/** Refuses absolute paths, drive letters, backslashes, NUL, and any step upwards. */
function checkPath(folder: string, path: string): string {
  const parts = path.split('/');
  const bad = parts.some(
    (part) => part === '' || part === '.' || part === '..' || /[\\:\0]/.test(part),
  );
  if (bad)
    throw new FormatError(
      `${folder}: expected a path inside the folder, got ${JSON.stringify(path)}`,
    );
  return path;
}

function truncated(file: string, wanted: number, got: number): FormatError {
  return new FormatError(`${file}: expected ${wanted} bytes, got ${got}; the file is truncated`);
}

function decode(file: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new FormatError(`${file}: expected UTF-8 text, got other bytes`);
  }
}
