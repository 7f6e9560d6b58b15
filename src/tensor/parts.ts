// Tensors by where their bytes are: in memory, or in a tensor of a checkpoint, where they are read when they are wanted. To rename, cut
// or join such tensors is to describe them anew, so that their size costs no memory; written they are in pieces.
import { UnsupportedError } from '../kernels/errors.ts';
import { bytesOf, type Checkpoint, PIECE_BYTES } from './checkpoint.ts';
import { safetensorsHeader, type TensorData } from './safetensors.ts';

/** Some bytes of something that can be read from any byte on. */
export interface Part {
  /** Fills `target` from byte `at` on of what the part is of. */
  readonly readInto: (at: number, target: Uint8Array) => Promise<void>;
  /** Bytes [from, to) of it. */
  readonly from: number;
  readonly to: number;
}

/** A tensor to be written, as parts one after the other. */
export interface TensorParts extends Omit<TensorData, 'data'> {
  readonly parts: readonly Part[];
}

/** A tensor that is in memory. */
export function tensorInMemory({ data, ...tensor }: TensorData): TensorParts {
  const bytes = bytesOf(data);
  const readInto: Part['readInto'] = async (at, target) =>
    target.set(bytes.subarray(at, at + target.length));
  return { ...tensor, parts: [{ readInto, from: 0, to: bytes.length }] };
}

/** A tensor of a checkpoint, whose source has to stay open as long as it is read. */
export function tensorInCheckpoint(
  { tensors, readInto }: Pick<Checkpoint, 'tensors' | 'readInto'>,
  name: string,
): TensorParts {
  const { type, shape, from, to } = tensors.get(name)!;
  const part: Part = {
    readInto: (at, target) => readInto(name, at, target),
    from: 0,
    to: to - from,
  };
  return { name, dtype: type as Uppercase<string>, shape, parts: [part] };
}

/** Bytes of all parts. */
export const partsBytes = ({ parts }: Pick<TensorParts, 'parts'>): number =>
  parts.reduce((sum, { from, to }) => sum + to - from, 0);

/** The parts of bytes [from, to) of a tensor. Throws an UnsupportedError for fractions of a byte, which small types have. */
export function cutParts(
  { name, dtype, shape, parts }: TensorParts,
  from: number,
  to: number,
): Part[] {
  if (!Number.isInteger(from) || !Number.isInteger(to))
    throw new UnsupportedError(
      `${name}: expected whole bytes where it is cut, got ${dtype} [${shape}]`,
    );
  return [...overlaps(parts, from, to)];
}

/** Fills `target` from byte `from` of a tensor on. */
export async function readParts(
  { parts }: Pick<TensorParts, 'parts'>,
  from: number,
  target: Uint8Array,
): Promise<void> {
  let at = 0;
  for (const part of overlaps(parts, from, from + target.length)) {
    const length = part.to - part.from;
    await part.readInto(part.from, target.subarray(at, at + length));
    at += length;
  }
  if (at < target.length)
    throw new Error(`internal: a tensor is read beyond its ${partsBytes({ parts })} bytes`);
}

/** The bytes of a tensor in order, at most PIECE_BYTES at once. */
export async function* piecesOf(
  tensor: Pick<TensorParts, 'parts'>,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const size = partsBytes(tensor);
  for (let at = 0; at < size; at += PIECE_BYTES) {
    const piece = new Uint8Array(Math.min(PIECE_BYTES, size - at));
    await readParts(tensor, at, piece);
    yield piece;
  }
}

/** A file that is read as it is written. */
export interface FileInPieces {
  readonly sizeBytes: number;
  pieces(): AsyncGenerator<Uint8Array>;
}

/** What `writeSafetensors` makes, in pieces. Throws a ShapeError for sizes that do not fit. */
export function safetensorsInPieces(
  tensors: readonly TensorParts[],
  metadata?: Readonly<Record<string, string>>,
): FileInPieces {
  const sized = tensors.map((tensor) => ({ ...tensor, sizeBytes: partsBytes(tensor) }));
  const header = safetensorsHeader(sized, metadata);
  return {
    sizeBytes: sized.reduce((sum, { sizeBytes }) => sum + sizeBytes, header.length),
    async *pieces() {
      yield header;
      for (const tensor of tensors) yield* piecesOf(tensor);
    },
  };
}

/** Of parts one after the other, what lies in bytes [from, to). */
function* overlaps(parts: readonly Part[], from: number, to: number): Generator<Part> {
  let start = 0;
  for (const part of parts) {
    const end = start + part.to - part.from;
    if (end > from && start < to)
      yield {
        ...part,
        from: part.from + Math.max(0, from - start),
        to: part.to - Math.max(0, end - to),
      };
    if (end >= to) return;
    start = end;
  }
}
