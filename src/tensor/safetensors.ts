// Checkpoints in safetensors files: one, or several with an index. Opening reads headers only; a tensor is read in pieces,
// straight into its array, so that memory never holds a file. Data are little endian, as are all machines this runs on.
import * as z from 'zod';
import { arrayFor } from '../kernels/dtype.ts';
import { FormatError, ShapeError, UnsupportedError } from '../kernels/errors.ts';
import type { DType, TypedArray } from '../kernels/plan.ts';
import { byteLength, readHeader, type TensorEntry, typeName } from './header.ts';
import { sizeOf } from './shape.ts';
import type { FolderSource, ReadOptions } from './source.ts';

export type { TensorEntry } from './header.ts';

/** The tensors of a folder. */
export interface Checkpoint {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** The free text of the headers; of several files, the later win. */
  readonly metadata: Readonly<Record<string, string>>;
  /** A tensor in the host array of its dtype. Throws UnsupportedError for types without one. */
  read(name: string, options?: ReadOptions): Promise<TypedArray>;
}

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
/** Bytes of one read: large enough for full speed, small enough to abort in between. */
const PIECE = 16 * 1024 * 1024;

const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

/** Reads the headers of model.safetensors, or of the files its index names. Throws FormatErrors by file and tensor. */
export async function openCheckpoint(source: FolderSource): Promise<Checkpoint> {
  // A single file wins over an index, as in transformers.
  const single = await source.has(SINGLE);
  const map = !single && (await source.has(INDEX)) ? await readIndex(source) : null;
  const files = map === null ? [SINGLE] : [...new Set(map.values())];
  const tensors = new Map<string, TensorEntry>();
  let metadata: Record<string, string> = {};
  for (const file of files) {
    if (!(await source.has(file))) throw await missing(source, file, map !== null);
    const header = await readHeader(source, file);
    metadata = { ...metadata, ...header.metadata };
    for (const entry of header.entries) {
      const named = map?.get(entry.name);
      if (map !== null && named !== file)
        throw new FormatError(
          `${source.name}/${file}: ${entry.name}: expected only tensors the index puts here, got one of ${named ?? 'no file'}`,
        );
      tensors.set(entry.name, entry);
    }
  }
  for (const [name, file] of map ?? [])
    if (!tensors.has(name))
      throw new FormatError(
        `${source.name}/${file}: ${name}: expected the tensor the index names, got none`,
      );
  return {
    tensors,
    metadata,
    read: (name, options) => readTensor(source, tensors.get(name), name, options),
  };
}

async function readIndex(source: FolderSource): Promise<Map<string, string>> {
  const where = `${source.name}/${INDEX}`;
  let json: unknown;
  try {
    json = JSON.parse(await source.text(INDEX));
  } catch (error) {
    if (error instanceof FormatError) throw error;
    throw new FormatError(`${where}: expected JSON, got ${(error as Error).message}`);
  }
  const result = indexSchema.safeParse(json);
  if (!result.success) throw new FormatError(`${where}: ${z.prettifyError(result.error)}`);
  const map = new Map(Object.entries(result.data.weight_map));
  if (map.size === 0) throw new FormatError(`${where}: weight_map: expected tensors, got none`);
  return map;
}

async function missing(source: FolderSource, file: string, indexed: boolean): Promise<FormatError> {
  if (indexed)
    return new FormatError(`${source.name}/${file}: expected the file ${INDEX} names, got nothing`);
  const torch = (await source.has('pytorch_model.bin'))
    ? 'only pytorch_model.bin, which is not read; convert it to safetensors'
    : 'neither';
  return new FormatError(`${source.name}: expected ${SINGLE} or ${INDEX}, got ${torch}`);
}

async function readTensor(
  source: FolderSource,
  entry: TensorEntry | undefined,
  name: string,
  options: ReadOptions = {},
): Promise<TypedArray> {
  if (entry === undefined)
    throw new FormatError(`${source.name}: ${name}: expected a tensor, got none`);
  const { file, dtype, from, to } = entry;
  if (dtype === null)
    throw new UnsupportedError(
      `${source.name}/${file}: ${name}: expected F32, F16, BF16, I8, I32, U8 or BOOL, got ${entry.type}`,
    );
  const data = arrayFor(dtype, sizeOf(entry.shape));
  const bytes = new Uint8Array(data.buffer);
  for (let at = from; at < to; at += PIECE) {
    options.signal?.throwIfAborted();
    bytes.set(await source.read(file, at, Math.min(to, at + PIECE), options), at - from);
  }
  return data;
}

/** A tensor to be written. */
export interface TensorData {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: TypedArray;
}

/** The bytes of a safetensors file, tensors in the order given. Throws ShapeError for sizes that do not fit. */
export function writeSafetensors(
  tensors: Iterable<TensorData>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const list = [...tensors];
  let size = 0;
  const members: [string, unknown][] = metadata ? [['__metadata__', metadata]] : [];
  for (const { name, dtype, shape, data } of list) {
    const bytes = byteLength(dtype, shape);
    if (data.byteLength !== bytes || members.some(([other]) => other === name))
      throw new ShapeError(
        `writeSafetensors: ${name}: expected ${bytes} bytes for ${dtype} [${shape.join(', ')}] and a name once, got ${data.byteLength}`,
      );
    members.push([name, { dtype: typeName(dtype), shape, data_offsets: [size, size + bytes] }]);
    size += bytes;
  }
  // Padded with spaces, so that the data are aligned to 8 bytes.
  const json = JSON.stringify(Object.fromEntries(members));
  const header = new TextEncoder().encode(json);
  const length = Math.ceil(header.length / 8) * 8;
  const file = new Uint8Array(8 + length + size).fill(0x20, 8, 8 + length);
  new DataView(file.buffer).setBigUint64(0, BigInt(length), true);
  file.set(header, 8);
  let at = 8 + length;
  for (const { data } of list) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}
