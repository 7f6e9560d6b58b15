// The header of a safetensors file: 8 bytes of length (little endian), JSON, then the data of all tensors without gaps
// (https://github.com/huggingface/safetensors, "Format"). Everything in it is checked before anything is read by it.
import * as z from 'zod';
import { bytesPerElement } from '../kernels/dtype.ts';
import { FormatError } from '../kernels/errors.ts';
import type { DType } from '../kernels/plan.ts';
import type { TensorEntry } from './checkpoint.ts';
import { sizeOf } from './shape.ts';
import type { FolderSource } from './source.ts';

/** What a header says. */
export interface Header {
  readonly entries: readonly TensorEntry[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** As in the safetensors library. */
const MAX_HEADER = 100_000_000;

/** The types of the format, with their bits. */
const TYPES: Readonly<Record<string, { readonly bits: number; readonly dtype: DType | null }>> = {
  F32: { bits: 32, dtype: 'f32' },
  F16: { bits: 16, dtype: 'f16' },
  BF16: { bits: 16, dtype: 'bf16' },
  I8: { bits: 8, dtype: 'i8' },
  I32: { bits: 32, dtype: 'i32' },
  U8: { bits: 8, dtype: 'u8' },
  BOOL: { bits: 8, dtype: 'bool' },
  F64: { bits: 64, dtype: null },
  I64: { bits: 64, dtype: null },
  U64: { bits: 64, dtype: null },
  C64: { bits: 64, dtype: null },
  U32: { bits: 32, dtype: null },
  I16: { bits: 16, dtype: null },
  U16: { bits: 16, dtype: null },
  F8_E4M3: { bits: 8, dtype: null },
  F8_E5M2: { bits: 8, dtype: null },
  F8_E8M0: { bits: 8, dtype: null },
  F4: { bits: 4, dtype: null },
};

/** Bytes of a tensor of a type of the format; throws a RangeError for another type. */
export function typeBytes(type: string, shape: readonly number[]): number {
  if (!Object.hasOwn(TYPES, type))
    throw new RangeError(`expected one of ${Object.keys(TYPES).join(', ')}, got ${type}`);
  return Math.ceil((sizeOf(shape) * TYPES[type].bits) / 8);
}

const count = z.int().min(0);
const entrySchema = z.strictObject({
  dtype: z.string(),
  shape: z.array(count),
  data_offsets: z.tuple([count, count]),
});
const metadataSchema = z.record(z.string(), z.string());

/** Reads and checks the header of `file`; throws a FormatError that names the file and, where there is one, the tensor. */
export async function readHeader(source: FolderSource, file: string): Promise<Header> {
  const where = `${source.name}/${file}`;
  const size = await source.size(file);
  if (size < 8)
    throw new FormatError(
      `${where}: expected at least 8 bytes, got ${size}; the file is truncated`,
    );
  const start = await source.read(file, 0, 8);
  const length = Number(new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true));
  if (length > MAX_HEADER || 8 + length > size)
    throw new FormatError(
      `${where}: expected a header of at most ${Math.min(MAX_HEADER, size - 8)} bytes, got ${length}`,
    );
  const text = decode(where, await source.read(file, 8, 8 + length));
  const members = parseObject(where, text);
  const entries: TensorEntry[] = [];
  let metadata: Readonly<Record<string, string>> = {};
  for (const [name, value] of members) {
    if (name === '__metadata__') metadata = check(metadataSchema, value, `${where}: __metadata__`);
    else entries.push(readEntry(name, value, { where, file, dataFrom: 8 + length }));
  }
  checkCoverage(where, entries, { from: 8 + length, to: size });
  return { entries, metadata };
}

function readEntry(
  name: string,
  value: unknown,
  {
    where,
    file,
    dataFrom,
  }: { readonly where: string; readonly file: string; readonly dataFrom: number },
): TensorEntry {
  const {
    dtype: type,
    shape,
    data_offsets: offsets,
  } = check(entrySchema, value, `${where}: ${name}`);
  if (!Object.hasOwn(TYPES, type))
    throw new FormatError(
      `${where}: ${name}: dtype: expected one of ${Object.keys(TYPES).join(', ')}, got ${JSON.stringify(type)}`,
    );
  const { bits, dtype } = TYPES[type];
  const bytes = Math.ceil((sizeOf(shape) * bits) / 8);
  const [from, to] = offsets;
  if (to - from !== bytes || !Number.isSafeInteger(bytes))
    throw new FormatError(
      `${where}: ${name}: expected ${bytes} bytes for ${type} [${shape.join(', ')}], got ${to - from}`,
    );
  return { name, file, dtype, type, shape, from: dataFrom + from, to: dataFrom + to };
}

/** Tensors lie one after the other and fill the file: no overlaps, no gaps, nothing beyond the end. */
function checkCoverage(
  where: string,
  entries: readonly TensorEntry[],
  { from, to }: { readonly from: number; readonly to: number },
): void {
  let end = from;
  for (const entry of entries.toSorted((a, b) => a.from - b.from || a.to - b.to)) {
    const range = `data_offsets [${entry.from - from}, ${entry.to - from}]`;
    if (entry.to > to)
      throw new FormatError(
        `${where}: ${entry.name}: expected data inside the ${to - from} bytes of the file, got ${range}; the file is truncated`,
      );
    if (entry.from !== end)
      throw new FormatError(
        `${where}: ${entry.name}: expected data from ${end - from} on, without overlap or gap, got ${range}`,
      );
    end = entry.to;
  }
  if (end !== to)
    throw new FormatError(
      `${where}: expected the tensors to fill ${to - from} bytes, got ${end - from}`,
    );
}

function decode(where: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new FormatError(`${where}: expected a header in UTF-8, got other bytes`);
  }
}

/**
 * The members of a JSON object, refusing names that occur twice: JSON.parse would keep the last of them in silence. A
 * reviver sees values, not text, so the names are counted in the text itself.
 */
function parseObject(where: string, text: string): Map<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new FormatError(`${where}: expected a header in JSON, got ${(error as Error).message}`);
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new FormatError(`${where}: expected a JSON object as header, got ${text.slice(0, 40)}`);
  const seen = new Set<string>();
  for (const name of topLevelNames(text)) {
    if (seen.has(name))
      throw new FormatError(`${where}: ${name}: expected a name once, got it twice`);
    seen.add(name);
  }
  return new Map(Object.entries(parsed));
}

/** Names of the members of the outermost object of valid JSON, in order. */
function* topLevelNames(text: string): Generator<string> {
  let depth = 0;
  let name = '';
  for (let i = 0; i < text.length; i++) {
    const letter = text[i];
    if (letter === '"') {
      const start = i;
      for (i++; text[i] !== '"'; i++) if (text[i] === '\\') i++;
      name = text.slice(start, i + 1);
    } else if (letter === '{' || letter === '[') depth++;
    else if (letter === '}' || letter === ']') depth--;
    // A string before a colon at depth one is a name of the outermost object.
    else if (letter === ':' && depth === 1) yield JSON.parse(name);
  }
}

function check<Value>(schema: z.ZodType<Value>, value: unknown, where: string): Value {
  const result = schema.safeParse(value);
  if (!result.success) throw new FormatError(`${where}: ${z.prettifyError(result.error)}`);
  return result.data;
}

/** Bytes of the elements of a shape. */
export function byteLength(dtype: DType, shape: readonly number[]): number {
  return sizeOf(shape) * bytesPerElement[dtype];
}
