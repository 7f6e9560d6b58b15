// Models and speculators in the browser's own storage (the origin private file system, WHATWG "File System"): copied once, read
// from there like files. A copy that was not finished is not there.
import { FormatError, OptionError, UnsupportedError } from '../kernels/errors.ts';
import { isSpeculator } from '../speculate/speculators/is-speculator.ts';
import { fileSource, type PageFile } from '../tensor/file-source.ts';
import { type FolderSource, parseJson } from '../tensor/source.ts';

/** The part of the file system's handles that is used. */
interface Directory {
  readonly kind: 'directory';
  readonly name: string;
  getDirectoryHandle(name: string, options?: { readonly create: boolean }): Promise<Directory>;
  getFileHandle(name: string, options?: { readonly create: boolean }): Promise<FileHandle>;
  removeEntry(name: string, options?: { readonly recursive: boolean }): Promise<void>;
  values(): AsyncIterable<Directory | FileHandle>;
}

interface FileHandle {
  readonly kind: 'file';
  readonly name: string;
  getFile(): Promise<PageFile>;
  createWritable(): Promise<{
    write(bytes: Uint8Array): Promise<void>;
    close(): Promise<void>;
    abort(): Promise<void>;
  }>;
}

/** A model or a speculator that is stored. */
export interface StoredModel {
  readonly name: string;
  /** By its config.json. */
  readonly kind: 'model' | 'speculator';
  readonly bytes: number;
}

/** How far a copy has come. */
export interface StoreProgress {
  readonly storedBytes: number;
  readonly totalBytes: number;
  readonly file: string;
}

const FOLDER = 'foretoken';
/** Written last, so that half a copy is not taken for a model. */
const COMPLETE = '.complete';
const PIECE = 1 << 22;

/** Files of a Hugging Face folder that a model or a speculator may have beside its weights. */
const SMALL = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'chat_template.jinja',
];
const WEIGHTS = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';

/**
 * Copies the files of a model or a speculator; an older copy of the name is replaced. What was copied is removed when it is aborted
 * or fails. `totalBytes` is the sum of all files.
 */
export async function storeModel(
  name: string,
  source: FolderSource,
  options: {
    readonly onProgress?: ((progress: StoreProgress) => void) | undefined;
    readonly signal?: AbortSignal | undefined;
  } = {},
): Promise<StoredModel> {
  checkName(name);
  const { onProgress, signal } = options;
  const files = await modelFiles(source);
  const sizes = await Promise.all(files.map((file) => source.size(file)));
  const totalBytes = sizes.reduce((sum, size) => sum + size, 0);
  const kind = await kindOf(source);
  const root = await rootFolder();
  await remove(root, name);
  const folder = await root.getDirectoryHandle(name, { create: true });
  try {
    let storedBytes = 0;
    for (const [index, file] of files.entries()) {
      const handle = await folder.getFileHandle(file, { create: true });
      const writable = await handle.createWritable();
      try {
        for (let at = 0; at < sizes[index]; at += PIECE) {
          signal?.throwIfAborted();
          const to = Math.min(sizes[index], at + PIECE);
          await writable.write(await source.read(file, at, to, { signal }));
          storedBytes += to - at;
          onProgress?.({ storedBytes, totalBytes, file });
        }
        await writable.close();
      } catch (error) {
        await writable.abort().catch(() => {});
        throw error;
      }
    }
    await (await (await folder.getFileHandle(COMPLETE, { create: true })).createWritable()).close();
  } catch (error) {
    await remove(root, name);
    throw error;
  }
  return { name, kind, bytes: totalBytes };
}

/** A stored model as a folder; throws a FormatError where there is none. */
export async function storedSource(name: string): Promise<FolderSource> {
  checkName(name);
  const files = await filesOf(await rootFolder(), name);
  if (files === null)
    throw new FormatError(`storage: expected a stored model ${JSON.stringify(name)}, got none`);
  return fileSource(files, `storage/${name}`);
}

/** What is stored, in the order of names. */
export async function storedModels(): Promise<readonly StoredModel[]> {
  const root = await rootFolder();
  const models: StoredModel[] = [];
  for await (const { kind, name } of root.values()) {
    const files = kind === 'directory' ? await filesOf(root, name) : null;
    if (files === null) continue;
    const bytes = files.reduce((sum, { size }) => sum + size, 0);
    models.push({ name, kind: await kindOf(fileSource(files, `storage/${name}`)), bytes });
  }
  return models.sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function kindOf(source: FolderSource): Promise<StoredModel['kind']> {
  const found = await isSpeculator(source).catch((error) => {
    // Whoever loads it says what is wrong with its config.json.
    if (error instanceof FormatError) return false;
    throw error;
  });
  return found ? 'speculator' : 'model';
}

/** Removes a model; nothing happens where there is none. */
export async function removeStored(name: string): Promise<void> {
  checkName(name);
  await remove(await rootFolder(), name);
}

/** The files of a complete copy, or null. */
async function filesOf(root: Directory, name: string): Promise<readonly PageFile[] | null> {
  const folder = await root.getDirectoryHandle(name).catch(() => null);
  if (folder === null) return null;
  const files: PageFile[] = [];
  let complete = false;
  for await (const entry of folder.values()) {
    if (entry.kind !== 'file') continue;
    if (entry.name === COMPLETE) complete = true;
    else files.push(await entry.getFile());
  }
  return complete ? files : null;
}

/** The files to copy: what a folder lists, or what a model of a Hugging Face folder consists of. */
async function modelFiles(source: FolderSource): Promise<readonly string[]> {
  const listed = await source.files?.();
  if (listed !== undefined) return listed;
  const present: string[] = [];
  for (const file of [...SMALL, WEIGHTS, INDEX]) if (await source.has(file)) present.push(file);
  if (!present.includes('config.json'))
    throw new FormatError(`${source.name}: expected a file config.json, got none`);
  if (present.includes(WEIGHTS) || !present.includes(INDEX)) return present;
  const index = parseJson(await source.text(INDEX), `${source.name}/${INDEX}`);
  const shards = Object.values((index as { readonly weight_map?: object }).weight_map ?? {});
  return [...present, ...new Set(shards as readonly string[])];
}

async function rootFolder(): Promise<Directory> {
  const { navigator } = globalThis as unknown as {
    readonly navigator?: { readonly storage?: { getDirectory?(): Promise<Directory> } };
  };
  if (navigator?.storage?.getDirectory === undefined)
    throw new UnsupportedError(
      'storage: expected the file system of a browser (in a secure context), got none',
    );
  return (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
}

async function remove(root: Directory, name: string): Promise<void> {
  await root.removeEntry(name, { recursive: true }).catch((error: Error) => {
    if (error.name !== 'NotFoundError') throw error;
  });
}

/** A name of one folder. */
function checkName(name: string): void {
  if (!/^[^/\\:\0]+$/.test(name) || name === '.' || name === '..')
    throw new OptionError(
      `storage: expected a name without slashes and colons, got ${JSON.stringify(name)}`,
    );
}
