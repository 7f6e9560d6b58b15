// Writes GGUF files, version 3, little endian: the header at once, then every tensor as its chunks come, so that memory
// holds no more than a chunk.
import { entriesOf } from '../kernels/dtype.ts';
import { OptionError, ShapeError } from '../kernels/errors.ts';
import type { TypedArray } from '../kernels/plan.ts';
import { bytesOf } from './checkpoint.ts';
import {
  type GgufDType,
  type GgufElements,
  type GgufField,
  type GgufScalar,
  type GgufScalarType,
  TYPE_NUMBERS,
  VALUE_BYTES,
  VALUE_TYPES,
} from './gguf-types.ts';
import { byteLength } from './header.ts';
import { show } from './shape.ts';
import { type ByteSink, createFile } from './source.ts';

/** A tensor to be written. */
export interface GgufTensor {
  readonly name: string;
  readonly dtype: GgufDType;
  /** Row-major, outermost first. */
  readonly shape: readonly number[];
  /** Its data in order, in the arrays of its dtype or as bytes. */
  chunks(): Iterable<TypedArray> | AsyncIterable<TypedArray>;
}

/** What goes into a file. */
export interface GgufContents {
  readonly metadata: Iterable<readonly [string, GgufField]>;
  readonly tensors: Iterable<GgufTensor>;
  /** Data begin at multiples of it. Default 32; another is written to the metadata. */
  readonly alignment?: number;
  /** Stops between chunks. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes a GGUF file to a path or a sink; what a failure leaves at a path is unfinished. Returns the bytes written. Throws
 * a ShapeError when chunks and shape differ, and an OptionError for names that occur twice.
 */
export async function writeGguf(
  target: string | ByteSink,
  contents: GgufContents,
): Promise<number> {
  if (typeof target !== 'string') return writeTo(target, contents);
  const file = await createFile(target);
  try {
    return await writeTo(file, contents);
  } finally {
    await file.close();
  }
}

async function writeTo(
  sink: ByteSink,
  { metadata, tensors: given, alignment = 32, signal }: GgufContents,
): Promise<number> {
  if (!Number.isInteger(alignment) || alignment < 8 || (alignment & (alignment - 1)) !== 0)
    throw new OptionError(`writeGguf: alignment: expected a power of two from 8, got ${alignment}`);
  const tensors = [...given];
  const fields = new Map<string, GgufField>();
  for (const [key, field] of metadata) {
    if (fields.has(key))
      throw new OptionError(`writeGguf: ${key}: expected a key once, got it twice`);
    fields.set(key, field);
  }
  if (alignment !== 32) fields.set('general.alignment', { type: 'u32', value: alignment });
  const header = headerOf(fields, tensors, alignment);
  await sink.write(header);
  let written = header.length;
  for (const { name, dtype, shape, chunks } of tensors) {
    const size = sizeInBytes(dtype, shape);
    let done = 0;
    for await (const chunk of chunks()) {
      signal?.throwIfAborted();
      done += chunk.byteLength;
      if (done > size) break;
      await sink.write(bytesOf(chunk));
    }
    if (done !== size)
      throw new ShapeError(
        `writeGguf: ${name}: expected ${size} bytes for ${dtype} ${show(shape)}, got ${done > size ? 'more' : done}`,
      );
    const padding = aligned(size, alignment) - size;
    await sink.write(new Uint8Array(padding));
    written += size + padding;
  }
  return written;
}

function headerOf(
  fields: ReadonlyMap<string, GgufField>,
  tensors: readonly GgufTensor[],
  alignment: number,
): Uint8Array {
  const out = new Output();
  for (const letter of 'GGUF') out.number('u8', letter.charCodeAt(0));
  out.number('u32', 3);
  out.number('u64', tensors.length);
  out.number('u64', fields.size);
  for (const [key, field] of fields) {
    out.string(key);
    out.number('u32', VALUE_TYPES.indexOf(field.type));
    if (field.type === 'array') out.array(field.of, field.value);
    else out.scalar(field.type, field.value);
  }
  const names = new Set<string>();
  let offset = 0;
  for (const { name, dtype, shape } of tensors) {
    if (names.has(name))
      throw new OptionError(`writeGguf: ${name}: expected a name once, got it twice`);
    names.add(name);
    out.string(name);
    out.number('u32', shape.length);
    for (const extent of shape.toReversed()) out.number('u64', extent);
    out.number('u32', TYPE_NUMBERS[dtype]);
    out.number('u64', offset);
    offset = aligned(offset + sizeInBytes(dtype, shape), alignment);
  }
  return out.bytes(alignment);
}

/** Bytes of a tensor; throws a ShapeError unless its rows are whole blocks. */
function sizeInBytes(dtype: GgufDType, shape: readonly number[]): number {
  entriesOf(dtype, shape.at(-1) ?? 1);
  return byteLength(dtype, shape);
}

const aligned = (size: number, alignment: number) => Math.ceil(size / alignment) * alignment;

type Put = (view: DataView, at: number, value: number | bigint) => void;

const PUT: Readonly<Record<Exclude<GgufScalarType, 'string'>, Put>> = {
  bool: (view, at, value) => view.setUint8(at, Number(value)),
  u8: (view, at, value) => view.setUint8(at, Number(value)),
  i8: (view, at, value) => view.setInt8(at, Number(value)),
  u16: (view, at, value) => view.setUint16(at, Number(value), true),
  i16: (view, at, value) => view.setInt16(at, Number(value), true),
  u32: (view, at, value) => view.setUint32(at, Number(value), true),
  i32: (view, at, value) => view.setInt32(at, Number(value), true),
  f32: (view, at, value) => view.setFloat32(at, Number(value), true),
  f64: (view, at, value) => view.setFloat64(at, Number(value), true),
  u64: (view, at, value) => view.setBigUint64(at, BigInt(value), true),
  i64: (view, at, value) => view.setBigInt64(at, BigInt(value), true),
};

/** Bytes that grow. */
class Output {
  #bytes = new Uint8Array(65_536);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  readonly #utf8 = new TextEncoder();

  /** What was written, filled up with zeros. */
  bytes(alignment: number): Uint8Array {
    const padding = aligned(this.#length, alignment) - this.#length;
    const at = this.#grow(padding);
    this.#bytes.fill(0, at);
    return this.#bytes.subarray(0, this.#length);
  }

  string(text: string): void {
    const bytes = this.#utf8.encode(text);
    this.number('u64', bytes.length);
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
  }

  scalar(type: GgufScalarType, value: GgufScalar): void {
    if (type === 'string') this.string(value as string);
    else this.number(type, typeof value === 'bigint' ? value : Number(value));
  }

  array(of: GgufScalarType, values: GgufElements): void {
    this.number('u32', VALUE_TYPES.indexOf(of));
    this.number('u64', values.length);
    for (const value of values) this.scalar(of, value);
  }

  number(type: Exclude<GgufScalarType, 'string'>, value: number | bigint): void {
    const at = this.#grow(VALUE_BYTES[type]);
    PUT[type](this.#view, at, value);
  }

  /** Makes room for so many bytes and returns where they begin. */
  #grow(count: number): number {
    const at = this.#length;
    if (at + count > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#bytes.length * 2, at + count));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#length = at + count;
    return at;
  }
}
