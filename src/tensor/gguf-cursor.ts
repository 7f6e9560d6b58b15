// Takes the values of a GGUF header off the start of a file, each checked against what is left of the file before it is
// read or allocated.
import { FormatError } from '../kernels/errors.ts';
import {
  type GgufElements,
  type GgufScalar,
  type GgufScalarType,
  VALUE_BYTES,
} from './gguf-types.ts';

/** A cursor came to the end of what has been read, and the file goes on. */
export class MoreNeeded extends Error {}

/** Takes values off the start of a file, each checked against what is left of it. */
export class Cursor {
  readonly where: string;
  readonly size: number;
  at = 0;
  /** Of the element that is being read of an array; kept for messages, since most of a header is tokens that have none. */
  #index: number | null = null;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  constructor(where: string, bytes: Uint8Array, size: number) {
    this.where = where;
    this.size = size;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }

  #named(what: string): string {
    return `${this.where}: ${what}${this.#index === null ? '' : `[${this.#index}]`}`;
  }

  /** Where the next `count` bytes begin; `what` is for the message when the file has no such bytes. */
  take(count: number, what: string): number {
    const left = this.size - this.at;
    if (count > left)
      throw new FormatError(
        `${this.#named(what)}: expected ${count} bytes, got ${left}; the file is truncated or broken`,
      );
    if (this.at + count > this.#bytes.length) throw new MoreNeeded();
    const from = this.at;
    this.at += count;
    return from;
  }

  /** A count of things of at least `each` bytes, so many as the file can hold. */
  count(each: number, what: string): number {
    const count = Number(this.#view.getBigUint64(this.take(8, what), true));
    const most = Math.floor((this.size - this.at) / each);
    if (count > most)
      throw new FormatError(
        `${this.#named(what)}: expected at most ${most}, which is what the file has room for, got ${count}; the file is truncated or broken`,
      );
    return count;
  }

  u32(what: string): number {
    return this.#view.getUint32(this.take(4, what), true);
  }

  u64(what: string): number {
    return Number(this.#view.getBigUint64(this.take(8, what), true));
  }

  string(what: string): string {
    const length = this.count(1, what);
    const from = this.take(length, what);
    try {
      return this.#utf8.decode(this.#bytes.subarray(from, from + length));
    } catch {
      throw new FormatError(`${this.#named(what)}: expected UTF-8, got other bytes`);
    }
  }

  scalar(type: GgufScalarType, what: string): GgufScalar {
    if (type === 'string') return this.string(what);
    const number = this.number(type, this.take(VALUE_BYTES[type], what));
    if (type !== 'bool') return number;
    if (number > 1)
      throw new FormatError(`${this.where}: ${what}: expected a bool of 0 or 1, got ${number}`);
    return number === 1;
  }

  number(type: Exclude<GgufScalarType, 'string'>, at: number): number | bigint {
    const view = this.#view;
    switch (type) {
      case 'bool':
      case 'u8':
        return view.getUint8(at);
      case 'i8':
        return view.getInt8(at);
      case 'u16':
        return view.getUint16(at, true);
      case 'i16':
        return view.getInt16(at, true);
      case 'u32':
        return view.getUint32(at, true);
      case 'i32':
        return view.getInt32(at, true);
      case 'f32':
        return view.getFloat32(at, true);
      case 'f64':
        return view.getFloat64(at, true);
      case 'u64':
        return narrowed(view.getBigUint64(at, true));
      case 'i64':
        return narrowed(view.getBigInt64(at, true));
    }
  }

  elements(of: GgufScalarType, what: string): GgufElements {
    const count = this.count(VALUE_BYTES[of], what);
    if (of === 'string') {
      const texts: string[] = [];
      for (this.#index = 0; this.#index < count; this.#index++) texts.push(this.string(what));
      this.#index = null;
      return texts;
    }
    const from = this.take(count * VALUE_BYTES[of], what);
    const out = arrayOf(of, count);
    for (let i = 0; i < count; i++)
      (out as (number | bigint)[])[i] = this.number(of, from + i * VALUE_BYTES[of]);
    if (of === 'bool' && (out as Uint8Array).some((value) => value > 1))
      throw new FormatError(`${this.where}: ${what}: expected bools of 0 or 1, got another byte`);
    return out;
  }
}

const narrowed = (value: bigint): number | bigint =>
  value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
    ? Number(value)
    : value;

function arrayOf(type: Exclude<GgufScalarType, 'string'>, length: number) {
  switch (type) {
    case 'bool':
    case 'u8':
      return new Uint8Array(length);
    case 'i8':
      return new Int8Array(length);
    case 'u16':
      return new Uint16Array(length);
    case 'i16':
      return new Int16Array(length);
    case 'u32':
      return new Uint32Array(length);
    case 'i32':
      return new Int32Array(length);
    case 'f32':
      return new Float32Array(length);
    case 'f64':
      return new Float64Array(length);
    case 'u64':
    case 'i64':
      return new Array<number | bigint>(length);
  }
}
