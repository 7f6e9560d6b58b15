// The header of a GGUF file: magic, version, counts, metadata, and where each tensor lies (docs/gguf.md in ggml-org/ggml),
// versions 2 and 3, little endian. Everything in it is checked before anything is read or allocated by it, and no more of
// the file is read than the header takes.
import { FormatError, UnsupportedError } from '../kernels/errors.ts';
import type { TensorEntry } from './checkpoint.ts';
import { Cursor, MoreNeeded } from './gguf-cursor.ts';
import { type GgufField, OTHER_TYPES, TENSOR_TYPES, VALUE_TYPES } from './gguf-types.ts';
import { show, sizeOf } from './shape.ts';
import type { FolderSource } from './source.ts';

/** What a header says. */
export interface GgufHeader {
  readonly version: number;
  readonly fields: ReadonlyMap<string, GgufField>;
  readonly entries: readonly TensorEntry[];
}

/** Far above the largest vocabularies, far below what hurts. */
const MAX_HEADER = 2 ** 27;
/** The first read; most headers without a tokenizer are shorter. */
const FIRST_BYTES = 2 ** 20;
const MAX_DIMENSIONS = 4;
const DEFAULT_ALIGNMENT = 32;

/** Reads and checks the header of `file`; throws a FormatError that names the file and the key or tensor. */
export async function readGgufHeader(source: FolderSource, file: string): Promise<GgufHeader> {
  const where = `${source.name}/${file}`;
  const size = await source.size(file);
  let bytes = new Uint8Array(0);
  // Twice as much each time and parsed from the start: no more than twice the work, and a parser without waits.
  for (let length = Math.min(size, FIRST_BYTES); ; length = Math.min(size, length * 2)) {
    const grown = new Uint8Array(length);
    grown.set(bytes);
    grown.set(await source.read(file, bytes.length, length), bytes.length);
    bytes = grown;
    try {
      return parseHeader(new Cursor(where, bytes, size), file);
    } catch (error) {
      if (!(error instanceof MoreNeeded)) throw error;
      if (length >= MAX_HEADER)
        throw new FormatError(`${where}: expected a header of at most ${MAX_HEADER} bytes`);
    }
  }
}

function parseHeader(cursor: Cursor, file: string): GgufHeader {
  const { where } = cursor;
  const magic = cursor.u32('magic');
  if (magic !== 0x46554747)
    throw new FormatError(
      `${where}: expected a file that begins with GGUF, got the bytes ${magic.toString(16).padStart(8, '0')}`,
    );
  const version = cursor.u32('version');
  if ((version & 0xffff) === 0 && version !== 0)
    throw new UnsupportedError(`${where}: expected a little-endian file, got a big-endian one`);
  if (version !== 2 && version !== 3)
    throw new UnsupportedError(`${where}: version: expected 2 or 3, got ${version}`);
  // A tensor takes at least its length of name, dimensions, type and offset; a field at least key, type and one byte.
  const tensors = cursor.count(24, 'tensor count');
  const count = cursor.count(13, 'metadata count');
  const fields = new Map<string, GgufField>();
  for (let index = 0; index < count; index++) {
    const key = cursor.string(`metadata ${index}`);
    if (fields.has(key))
      throw new FormatError(`${where}: ${key}: expected a key once, got it twice`);
    fields.set(key, readField(cursor, key));
  }
  const entries: TensorEntry[] = [];
  const names = new Set<string>();
  const alignment = readAlignment(where, fields);
  for (let index = 0; index < tensors; index++) {
    const entry = readEntry(cursor, { file, index, alignment });
    if (names.has(entry.name))
      throw new FormatError(`${where}: ${entry.name}: expected a name once, got it twice`);
    names.add(entry.name);
    entries.push(entry);
  }
  const dataFrom = Math.ceil(cursor.at / alignment) * alignment;
  const placed = entries.map((entry) => ({
    ...entry,
    from: dataFrom + entry.from,
    to: dataFrom + entry.to,
  }));
  checkPlaces(cursor, placed, dataFrom);
  return { version, fields, entries: placed };
}

function readField(cursor: Cursor, key: string): GgufField {
  const type = typeOf(cursor, key);
  if (type !== 'array') return { type, value: cursor.scalar(type, key) };
  const of = typeOf(cursor, key);
  if (of === 'array')
    throw new FormatError(
      `${cursor.where}: ${key}: expected an array of plain values, got an array of arrays`,
    );
  return { type, of, value: cursor.elements(of, key) };
}

function typeOf(cursor: Cursor, key: string): (typeof VALUE_TYPES)[number] {
  const type = cursor.u32(key);
  if (type >= VALUE_TYPES.length)
    throw new FormatError(
      `${cursor.where}: ${key}: expected a type from 0 to ${VALUE_TYPES.length - 1}, got ${type}`,
    );
  return VALUE_TYPES[type];
}

function readAlignment(where: string, fields: ReadonlyMap<string, GgufField>): number {
  const field = fields.get('general.alignment');
  if (field === undefined) return DEFAULT_ALIGNMENT;
  const { type, value } = field;
  if (type !== 'u32' || typeof value !== 'number' || value < 1 || (value & (value - 1)) !== 0)
    throw new FormatError(
      `${where}: general.alignment: expected a power of two as u32, got ${value} as ${type}`,
    );
  return value;
}

/** An entry whose bytes are counted from the start of the data. */
function readEntry(
  cursor: Cursor,
  {
    file,
    index,
    alignment,
  }: { readonly file: string; readonly index: number; readonly alignment: number },
): TensorEntry {
  const name = cursor.string(`tensor ${index}`);
  const at = `${cursor.where}: ${name}`;
  const dimensions = cursor.u32(name);
  if (dimensions > MAX_DIMENSIONS)
    throw new FormatError(
      `${at}: expected at most ${MAX_DIMENSIONS} dimensions, got ${dimensions}`,
    );
  // The file counts dimensions from the innermost.
  const shape = Array.from({ length: dimensions }, () => cursor.u64(name)).reverse();
  const number = cursor.u32(name);
  const offset = cursor.u64(name);
  const type = TENSOR_TYPES.get(number);
  if (type === undefined)
    throw new UnsupportedError(
      `${at}: expected one of the types ${[...TENSOR_TYPES.values()].map((each) => each.name).join(', ')}, got ${OTHER_TYPES.get(number) ?? `number ${number}`}`,
    );
  const elements = sizeOf(shape);
  if (!Number.isSafeInteger(elements * type.bytes))
    throw new FormatError(`${at}: expected a tensor that fits in a file, got ${show(shape)}`);
  if ((shape.at(-1) ?? 1) % type.size !== 0)
    throw new FormatError(
      `${at}: expected rows of whole blocks of ${type.size} for ${type.name}, got ${show(shape)}`,
    );
  if (offset % alignment !== 0)
    throw new FormatError(`${at}: expected an offset in steps of ${alignment}, got ${offset}`);
  const { dtype, unpack } = type;
  const bytes = (elements / type.size) * type.bytes;
  return { name, file, dtype, type: type.name, shape, from: offset, to: offset + bytes, unpack };
}

/** Tensors lie inside the file and do not overlap. */
function checkPlaces(
  { where, size }: Cursor,
  entries: readonly TensorEntry[],
  dataFrom: number,
): void {
  let end = dataFrom;
  let before = '';
  for (const { name, from, to } of entries.toSorted((a, b) => a.from - b.from || a.to - b.to)) {
    if (to > size)
      throw new FormatError(
        `${where}: ${name}: expected data inside the ${size} bytes of the file, got bytes ${from} to ${to}; the file is truncated or broken`,
      );
    if (from < end)
      throw new FormatError(
        `${where}: ${name}: expected data of its own, got bytes ${from} to ${to}, which ${before} has`,
      );
    end = to;
    before = name;
  }
}
