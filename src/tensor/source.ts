// A folder of files that can be read in ranges, wherever it is: on disk or in memory, here; behind a URL (url-source.ts) or given
// to a page (file-source.ts). Paths are relative,
// with forward slashes, and never leave the folder.
import { FormatError, UnsupportedError } from '../kernels/errors.ts';

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
  /** The same straight into `target`, as many bytes as it has; it may lie in shared memory. */
  readInto?(path: string, from: number, target: Uint8Array, options?: ReadOptions): Promise<void>;
  /** The whole file as UTF-8; throws a FormatError for other bytes. */
  text(path: string): Promise<string>;
  /** The files of the folder itself, not of folders in it. Without it, a file has to be named. */
  files?(): Promise<readonly string[]>;
  /** The folders in it. */
  folders?(): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** A folder on disk. Throws a FormatError unless `path` is one. Files are opened once and closed by `close`. */
export async function openFolder(path: string): Promise<FolderSource> {
  const fs = fileSystem();
  const stats = await fs.stat(path).catch(() => null);
  if (!stats?.isDirectory())
    throw new FormatError(
      `${path}: expected a folder, got ${stats === null ? 'nothing' : 'a file'}`,
    );
  type Handle = Awaited<ReturnType<typeof fs.open>>;
  const handles = new Map<string, Promise<Handle>>();
  const full = (file: string) => `${path}/${checkPath(path, file)}`;
  const unreadable = (file: string, cause: Error) =>
    new FormatError(`${path}/${file}: expected a readable file, got ${cause.message}`, { cause });
  const open = (file: string): Promise<Handle> => {
    let handle = handles.get(file);
    if (handle === undefined) {
      handle = fs.open(full(file)).catch((error: Error) => {
        handles.delete(file);
        throw unreadable(file, error);
      });
      handles.set(file, handle);
    }
    return handle;
  };
  const readInto: FolderSource['readInto'] = async (file, from, target, { signal } = {}) => {
    const handle = await open(file);
    let done = 0;
    while (done < target.length) {
      signal?.throwIfAborted();
      const { bytesRead } = await handle
        .read(target, done, target.length - done, from + done)
        .catch((error: Error) => {
          throw unreadable(file, error);
        });
      if (bytesRead === 0) throw truncated(`${path}/${file}`, from + target.length, from + done);
      done += bytesRead;
    }
  };
  const read = async (file: string, from: number, to: number, options?: ReadOptions) => {
    const bytes = new Uint8Array(to - from);
    await readInto(file, from, bytes, options);
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
    readInto,
    async files() {
      const found = await fs.readdir(path, { withFileTypes: true });
      return found.filter((each) => !each.isDirectory()).map((each) => each.name);
    },
    async folders() {
      const found = await fs.readdir(path, { withFileTypes: true });
      return found.filter((each) => each.isDirectory()).map((each) => each.name);
    },
    text: async (file) => decode(`${path}/${file}`, await read(file, 0, await size(file))),
    async close() {
      const opened = await Promise.allSettled(handles.values());
      handles.clear();
      for (const result of opened) if (result.status === 'fulfilled') await result.value.close();
    },
  };
}

/** What `body` makes of a folder; one that was opened for a path is closed after it. */
export async function inFolder<Result>(
  from: string | FolderSource,
  body: (source: FolderSource) => Promise<Result>,
): Promise<Result> {
  if (typeof from !== 'string') return body(from);
  const source = await openFolder(from);
  try {
    return await body(source);
  } finally {
    await source.close();
  }
}

/**
 * A folder on disk whose files are open only while one of them is read, so that nobody has to close it: for what is read whenever
 * its owner wants. Throws a FormatError unless `path` is a folder.
 */
export async function folderOnDemand(path: string): Promise<FolderSource> {
  const once = <Result>(body: (source: FolderSource) => Promise<Result>) => inFolder(path, body);
  await once(async () => {});
  return {
    name: path,
    has: (file) => once((source) => source.has(file)),
    size: (file) => once((source) => source.size(file)),
    read: (...args) => once((source) => source.read(...args)),
    readInto: (...args) => once((source) => source.readInto!(...args)),
    text: (file) => once((source) => source.text(file)),
    files: () => once((source) => source.files!()),
    folders: () => once((source) => source.folders!()),
    async close() {},
  };
}

/** The file system of Node, asked for by name, so that the module loads and bundles where there is none. */
function fileSystem() {
  const fs = globalThis.process?.getBuiltinModule?.('node:fs/promises');
  if (fs === undefined)
    throw new UnsupportedError(
      'expected a file system for a path, got a browser; to read, give a FolderSource (urlSource, fileSource, …)',
    );
  return fs;
}

/** Where the bytes of a new file go, in order. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>;
}

/** A new file on disk; one that exists is emptied. `write` ends when the bytes are with the system. */
export async function createFile(path: string): Promise<ByteSink & { close(): Promise<void> }> {
  const fs = fileSystem();
  const handle = await fs.open(path, 'w').catch((error: Error) => {
    throw new FormatError(`${path}: expected a file that can be written, got ${error.message}`);
  });
  return {
    async write(bytes) {
      let done = 0;
      while (done < bytes.length)
        done += (await handle.write(bytes, done, bytes.length - done)).bytesWritten;
    },
    close: () => handle.close(),
  };
}

/**
 * Writes files, whole or in pieces, into a folder, which is made if need be; text is UTF-8. None is replaced before all are on
 * disk; other files stay. Throws a FormatError for a path that cannot be written, and for a folder with weights that would lie
 * beside the new ones.
 */
export async function writeFolder(
  path: string,
  files: Readonly<Record<string, Uint8Array | string | AsyncIterable<Uint8Array>>>,
): Promise<void> {
  const fs = fileSystem();
  const names = Object.keys(files).map((name) => `${path}/${checkPath(path, name)}`);
  try {
    await fs.mkdir(path, { recursive: true });
    checkWeights(path, Object.keys(files), await fs.readdir(path));
    for (const [index, content] of Object.values(files).entries())
      await fs.writeFile(`${names[index]}.part`, content);
    for (const name of names) await fs.rename(`${name}.part`, name);
  } catch (error) {
    for (const name of names) await fs.rm(`${name}.part`, { force: true }).catch(() => {});
    // Of what was read to be written.
    if (error instanceof FormatError) throw error;
    throw new FormatError(
      `${path}: expected a folder that can be written, got ${(error as Error).message}`,
    );
  }
}

/** Weights as transformers names them: of one file, or of several and their index. */
const WEIGHTS = /^model(-\d+-of-\d+)?\.safetensors(\.index\.json)?$/;

/** Weights of another model beside those that are written would be taken for theirs. */
function checkWeights(path: string, written: readonly string[], there: readonly string[]): void {
  if (!written.some((name) => WEIGHTS.test(name))) return;
  const others = there.filter((name) => WEIGHTS.test(name) && !written.includes(name));
  if (others.length > 0)
    throw new FormatError(
      `${path}: expected no weights beside the new ones, got ${others.toSorted().slice(0, 5).join(', ')}${others.length > 5 ? `, … (${others.length})` : ''}`,
    );
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
    async readInto(path, from, target, { signal } = {}) {
      signal?.throwIfAborted();
      const file = find(path);
      const to = from + target.length;
      if (to > file.length) throw truncated(`${name}/${path}`, to, file.length);
      target.set(file.subarray(from, to));
    },
    files: async () => [...contents.keys()].filter((path) => !path.includes('/')),
    folders: async () => [
      ...new Set([...contents.keys()].flatMap((path) => path.split('/').slice(0, -1).slice(0, 1))),
    ],
    text: async (path) => decode(`${name}/${path}`, find(path)),
    async close() {},
  };
}

/** Refuses absolute paths, drive letters, backslashes, NUL, and any step upwards. */
export function checkPath(folder: string, path: string): string {
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

/** A file that ends before the bytes that were wanted. */
export function truncated(file: string, wanted: number, got: number): FormatError {
  return new FormatError(`${file}: expected ${wanted} bytes, got ${got}; the file is truncated`);
}

/** The value of a JSON text; throws a FormatError that names the file. */
export function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FormatError(`${file}: expected JSON, got ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** UTF-8 as text; throws a FormatError for other bytes. */
export function decode(file: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new FormatError(`${file}: expected UTF-8 text, got other bytes`);
  }
}
