// Checkpoints in safetensors files: one, or several with an index. Opening reads headers only.
import * as z from 'zod';
import { FormatError, ShapeError } from '../kernels/errors.ts';
import type { DType, TypedArray } from '../kernels/plan.ts';
import { bytesOf, type Checkpoint, checkpointOf, type TensorEntry } from './checkpoint.ts';
import { readHeader, typeBytes } from './header.ts';
import { type FolderSource, parseJson } from './source.ts';

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';

const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

/** Whether a folder has the files of `openCheckpoint`. */
export async function hasSafetensors(source: FolderSource): Promise<boolean> {
  return (await source.has(SINGLE)) || (await source.has(INDEX));
}

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
  return checkpointOf(source, tensors, metadata);
}

async function readIndex(source: FolderSource): Promise<Map<string, string>> {
  const where = `${source.name}/${INDEX}`;
  const json = parseJson(await source.text(INDEX), where);
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

/** A tensor to be written. */
export interface TensorData {
  readonly name: string;
  /** A dtype, or a type of the format that has none here, as `I64`. */
  readonly dtype: DType | Uppercase<string>;
  readonly shape: readonly number[];
  readonly data: TypedArray;
}

/** The bytes of a safetensors file, tensors in the order given. Throws ShapeError for sizes that do not fit. */
export function writeSafetensors(
  tensors: Iterable<TensorData>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const list = [...tensors];
  const header = safetensorsHeader(
    list.map((tensor) => ({ ...tensor, sizeBytes: tensor.data.byteLength })),
    metadata,
  );
  const size = list.reduce((sum, { data }) => sum + data.byteLength, header.length);
  const file = new Uint8Array(size);
  file.set(header);
  let at = header.length;
  for (const { data } of list) {
    file.set(bytesOf(data), at);
    at += data.byteLength;
  }
  return file;
}

/** What such a file begins with, up to the data of its tensors, of which `sizeBytes` is known. Throws as `writeSafetensors`. */
export function safetensorsHeader(
  tensors: Iterable<Omit<TensorData, 'data'> & { readonly sizeBytes: number }>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  let size = 0;
  const members = new Map<string, unknown>(metadata ? [['__metadata__', metadata]] : []);
  for (const { name, dtype, shape, sizeBytes } of tensors) {
    const type = dtype.toUpperCase();
    const bytes = typeBytes(type, shape);
    if (sizeBytes !== bytes || members.has(name))
      throw new ShapeError(
        `writeSafetensors: ${name}: expected ${bytes} bytes for ${dtype} [${shape.join(', ')}] and a name once, got ${sizeBytes}`,
      );
    members.set(name, { dtype: type, shape, data_offsets: [size, size + bytes] });
    size += bytes;
  }
  // Padded with spaces, so that the data are aligned to 8 bytes.
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(members)));
  const length = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return header;
}
