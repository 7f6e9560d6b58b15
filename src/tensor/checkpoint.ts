// Tensors in files, whatever the format: where each lies, and how its bytes come to memory. Opening a format makes the
// entries; reading is the same for all. Data are little endian, as are all machines this runs on.
import { ARRAYS, arrayFor, convert, entriesOf } from '../kernels/dtype.ts';
import { FormatError, UnsupportedError } from '../kernels/errors.ts';
import type { DType, TypedArray } from '../kernels/plan.ts';
import { sizeOf } from './shape.ts';
import type { FolderSource, ReadOptions } from './source.ts';

/** Where a tensor of a checkpoint lies. */
export interface TensorEntry {
  readonly name: string;
  readonly file: string;
  /** Null for a type that has no dtype here. */
  readonly dtype: DType | null;
  /** As the file spells its type. */
  readonly type: string;
  readonly shape: readonly number[];
  /** Bytes [from, to) of the file. */
  readonly from: number;
  readonly to: number;
  /** Of a type without a dtype that can be read all the same: its bytes as f32. */
  readonly unpack?: ((bytes: Uint8Array, out: Float32Array) => void) | undefined;
}

/** The tensors of a file or a set of files. */
export interface Checkpoint {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** What the files say besides; of several files, the later win. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /**
   * A tensor in the host array of its dtype, or as f32 when its type has none and can be unpacked. Throws an
   * UnsupportedError for other types.
   */
  read(name: string, options?: ReadOptions): Promise<TypedArray>;
  /** Fills `target` with the bytes of a tensor from its byte `from` on, as the file has them. */
  readInto(name: string, from: number, target: Uint8Array, options?: ReadOptions): Promise<void>;
}

/** Bytes of one read: large enough for full speed, small enough to abort in between. */
export const PIECE_BYTES = 1024 * 1024;

/** A checkpoint of entries that have been checked. */
export function checkpointOf(
  source: FolderSource,
  tensors: ReadonlyMap<string, TensorEntry>,
  metadata: Readonly<Record<string, unknown>>,
): Checkpoint {
  const entryOf = (name: string): TensorEntry => {
    const entry = tensors.get(name);
    if (entry === undefined)
      throw new FormatError(`${source.name}: ${name}: expected a tensor, got none`);
    return entry;
  };
  const checkpoint: Checkpoint = {
    tensors,
    metadata,
    async read(name, options) {
      const entry = entryOf(name);
      const { dtype, unpack, file, shape, from, to } = entry;
      if (dtype === null && unpack === undefined)
        throw new UnsupportedError(
          `${source.name}/${file}: ${name}: expected F32, F16, BF16, I8, I32, U8 or BOOL, got ${entry.type}`,
        );
      const data = arrayFor(dtype ?? 'f32', sizeOf(shape));
      const bytes = dtype === null ? new Uint8Array(to - from) : bytesOf(data);
      for (let at = 0; at < bytes.length; at += PIECE_BYTES)
        await checkpoint.readInto(name, at, bytes.subarray(at, at + PIECE_BYTES), options);
      if (dtype === null) unpack!(bytes, data as Float32Array);
      return data;
    },
    async readInto(name, from, target, options = {}) {
      options.signal?.throwIfAborted();
      const { file, from: start, to } = entryOf(name);
      const at = start + from;
      if (at + target.length > to)
        throw new Error(`internal: ${name} is read beyond its ${to - start} bytes`);
      if (source.readInto) await source.readInto(file, at, target, options);
      else target.set(await source.read(file, at, at + target.length, options));
    },
  };
  return checkpoint;
}

/** How `readRows` gives the rows of a tensor. */
export interface RowOptions extends ReadOptions {
  /** What they are converted to. */
  readonly dtype: DType;
  /**
   * The order of the rows within each group of so many: row i of a group is row `rowOrder[i]` of the file's group. Of a
   * vector, the order of the elements. By default the file's.
   */
  readonly rowOrder?: readonly number[] | undefined;
  /** About how many bytes of the file are in flight at once. Default PIECE_BYTES; for tests. */
  readonly pieceBytes?: number | undefined;
  /** Where pieces are read to, by turns. Whoever reads many tensors gives the same rooms, and allocates once. */
  readonly rooms?: Rooms | undefined;
}

/** Places for two pieces of a file and for the rows that are put in order. */
export interface Rooms {
  /** One of them, at least so large. */
  take(which: 'even' | 'odd' | 'group', bytes: number): ArrayBuffer;
}

/** Rooms that grow as they are needed. */
export function createRooms(): Rooms {
  const rooms = new Map<string, ArrayBuffer>();
  return {
    take(which, bytes) {
      let room = rooms.get(which);
      if (room === undefined || room.byteLength < bytes) {
        room = new ArrayBuffer(bytes);
        rooms.set(which, room);
      }
      return room;
    },
  };
}

/** Some rows of a tensor. */
export interface RowPiece {
  /** Whole rows, in the array of the dtype asked for; overwritten once the next piece is asked for. */
  readonly data: TypedArray;
  /** The element of the tensor that `data` starts with. */
  readonly at: number;
  /** What was read for it. */
  readonly fileBytes: number;
}

/**
 * The rows of a tensor, in ascending pieces, each converted and put in order. The next piece is read while the caller
 * works on one, and no more than two are held. A vector comes in one piece.
 */
export async function* readRows(
  checkpoint: Pick<Checkpoint, 'tensors' | 'readInto'>,
  name: string,
  { dtype, rowOrder, pieceBytes = PIECE_BYTES, signal, rooms = createRooms() }: RowOptions,
): AsyncGenerator<RowPiece> {
  const entry = checkpoint.tensors.get(name)!;
  const { shape, from, to } = entry;
  const isVector = shape.length < 2;
  const rows = isVector ? 1 : sizeOf(shape.slice(0, -1));
  const width = isVector ? sizeOf(shape) : shape[shape.length - 1];
  const rowBytes = rows === 0 ? 0 : (to - from) / rows;
  const group = isVector ? 1 : (rowOrder?.length ?? 1);
  const step = group * Math.max(1, Math.floor(pieceBytes / Math.max(1, rowBytes * group)));
  const load = async (row: number): Promise<TypedArray> => {
    const size = Math.min(step, rows - row) * rowBytes;
    const room = rooms.take((row / step) % 2 === 0 ? 'even' : 'odd', size);
    await checkpoint.readInto(name, row * rowBytes, new Uint8Array(room, 0, size), { signal });
    const Elements = ARRAYS[entry.dtype ?? 'u8'];
    return new Elements(room, 0, size / Elements.BYTES_PER_ELEMENT);
  };
  let next = rows > 0 ? load(0) : null;
  for (let row = 0; next !== null; row += step) {
    const raw = await next;
    next = row + step < rows ? load(row + step) : null;
    // Waited for in the next round; a caller who leaves before must not meet it as an unhandled rejection.
    next?.catch(() => {});
    const count = Math.min(step, rows - row);
    const data = convert(widened(entry, raw, count * width), entry.dtype ?? 'f32', dtype);
    if (rowOrder) reorder(data, rowOrder, entriesOf(dtype, isVector ? 1 : width), rooms);
    yield { data, at: row * width, fileBytes: count * rowBytes };
  }
}

function widened(entry: TensorEntry, raw: TypedArray, size: number): TypedArray {
  if (entry.dtype !== null) return raw;
  if (entry.unpack === undefined)
    throw new Error(`internal: ${entry.name} of type ${entry.type} has no way to f32`);
  const out = new Float32Array(size);
  entry.unpack(raw as Uint8Array, out);
  return out;
}

/** Puts rows of `entries` array entries each in another order within every group. */
function reorder(data: TypedArray, order: readonly number[], entries: number, rooms: Rooms): void {
  const bytes = bytesOf(data);
  const rowBytes = entries * data.BYTES_PER_ELEMENT;
  const size = order.length * rowBytes;
  const group = new Uint8Array(rooms.take('group', size), 0, size);
  // Views for all groups: made for every row of a large model they are 10 MB of garbage.
  const rows = order.map((from) => group.subarray(from * rowBytes, (from + 1) * rowBytes));
  for (let start = 0; start < bytes.length; start += size) {
    group.set(bytes.subarray(start, start + size));
    for (let row = 0; row < rows.length; row++) bytes.set(rows[row], start + row * rowBytes);
  }
}

/** The bytes of a host array, without a copy. */
export function bytesOf(data: TypedArray): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
