// The weights of a model from its files to a backend, in pieces of rows: converted on the way, straight into the
// backend's memory where nothing has to change. Everything is allocated first, so that a backend refuses before a read.
import type { Backend } from '../kernels/backend.ts';
import { BLOCK, isBlocked } from '../kernels/blocks.ts';
import { FormatError } from '../kernels/errors.ts';
import type { Buffer, DType } from '../kernels/plan.ts';
import {
  type Checkpoint,
  createRooms,
  PIECE_BYTES,
  type RowOptions,
  readRows,
  type TensorEntry,
} from '../tensor/checkpoint.ts';
import { sameShape, show, sizeOf } from '../tensor/shape.ts';
import { Tensor } from '../tensor/tensor.ts';
import type { LayerTree, WeightMap, WeightSpec, Weights, WeightTree } from './architecture.ts';
import type { ModelFiles, Place } from './files.ts';
import { columnsOf } from './layers.ts';

/** How far a load has come, in bytes of the files. */
export interface LoadProgress {
  readonly loadedBytes: number;
  readonly totalBytes: number;
  /** The tensor of which a piece was just loaded. */
  readonly tensor: string;
}

/** The dtypes that matrices can have. */
export const WEIGHT_DTYPES = ['f32', 'bf16', 'f16', 'q8_0', 'q4_0'] as const;

/** How weights are kept: a dtype for the matrices, or `auto` for the one of the file. */
export type WeightDType = 'auto' | (typeof WEIGHT_DTYPES)[number];

/** How weights come to a backend. */
export interface WeightOptions {
  readonly dtype: WeightDType;
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** One weight between file and backend. */
interface Transfer {
  readonly spec: WeightSpec;
  readonly place: Place;
  readonly entry: TensorEntry;
  readonly kept: DType;
  readonly buffer: Buffer;
}

/** Reads every weight of the map to the backend and says what is worth saying; frees them all when one fails. */
export async function loadWeights(
  files: ModelFiles,
  map: WeightMap,
  backend: Backend,
  options: WeightOptions,
): Promise<{
  readonly weights: Weights;
  readonly tensors: ReadonlyMap<WeightSpec, Tensor>;
  readonly notes: readonly string[];
}> {
  const { tensors, notes } = await loadTensors(files, specsOf(map), backend, options);
  return { weights: mapTree(map, (spec) => tensors.get(spec)!), tensors, notes };
}

/** The same for any list of weights. */
export async function loadTensors(
  files: Pick<ModelFiles, 'checkpoint' | 'place'>,
  specs: readonly WeightSpec[],
  backend: Backend,
  options: WeightOptions,
): Promise<{
  readonly tensors: ReadonlyMap<WeightSpec, Tensor>;
  readonly notes: readonly string[];
}> {
  const transfers: Transfer[] = [];
  try {
    for (const spec of specs) {
      const place = files.place(spec.name);
      const entry = files.checkpoint.tensors.get(place.name)!;
      const kept = keptDType(entry, options.dtype);
      const buffer = backend.alloc(kept, sizeOf(spec.shape), columnsOf(spec));
      transfers.push({ spec, place, entry, kept, buffer });
    }
    const totalBytes = transfers.reduce((sum, { entry }) => sum + entry.to - entry.from, 0);
    let loadedBytes = 0;
    const { signal } = options;
    const rooms = createRooms();
    for (const transfer of transfers)
      for await (const bytes of moved(files.checkpoint, transfer, backend, { signal, rooms })) {
        loadedBytes += bytes;
        options.onProgress?.({ loadedBytes, totalBytes, tensor: transfer.place.name });
      }
  } catch (error) {
    for (const { buffer } of transfers) backend.free(buffer);
    throw error;
  }
  const tensors = new Map(
    transfers.map(({ spec, kept, buffer }) => [
      spec,
      new Tensor({ kind: 'constant', dtype: kept, shape: spec.shape, buffer, offset: 0 }, backend),
    ]),
  );
  return { tensors, notes: notesOn(transfers, options.dtype) };
}

/** Moves one weight and tells the bytes of the file after every piece. */
async function* moved(
  checkpoint: Checkpoint,
  { place: { name, rowOrder }, entry, kept, buffer }: Transfer,
  backend: Backend,
  { signal, rooms }: Pick<RowOptions, 'signal' | 'rooms'>,
): AsyncGenerator<number> {
  if (kept === entry.dtype && rowOrder === undefined && backend.bytes?.(buffer)) {
    const size = entry.to - entry.from;
    for (let at = 0; at < size; at += PIECE_BYTES) {
      // Asked for anew, because the storage may move while others allocate.
      const piece = backend.bytes(buffer)!.subarray(at, Math.min(size, at + PIECE_BYTES));
      await checkpoint.readInto(name, at, piece, { signal });
      yield piece.length;
    }
    return;
  }
  for await (const piece of readRows(checkpoint, name, { dtype: kept, rowOrder, signal, rooms })) {
    backend.write(buffer, piece.data, piece.at);
    yield piece.fileBytes;
  }
}

/**
 * Vectors are f32. Matrices are as asked, or as in the file for `auto` and where rows are no whole blocks; a type of the
 * file that has no dtype here becomes q8_0.
 */
export function keptDType(entry: TensorEntry, asked: WeightDType): DType {
  if (entry.shape.length < 2) return 'f32';
  if (asked === 'auto') return entry.dtype ?? 'q8_0';
  return isBlocked(asked) && hasRaggedRows(entry) ? entry.dtype! : asked;
}

const hasRaggedRows = ({ shape }: TensorEntry) => shape[shape.length - 1] % BLOCK !== 0;

function notesOn(transfers: readonly Transfer[], asked: WeightDType): string[] {
  const counts = new Map<string, number>();
  for (const { entry, kept } of transfers) {
    const note =
      entry.dtype === null
        ? `tensors of ${entry.type} converted to ${kept}`
        : asked !== 'auto' && entry.shape.length > 1 && kept !== asked
          ? `matrices with rows of ${entry.shape.at(-1)} kept in ${kept}: ${asked} takes whole blocks of ${BLOCK}`
          : null;
    if (note !== null) counts.set(note, (counts.get(note) ?? 0) + 1);
  }
  return [...counts].map(([note, count]) => `${count} ${note}`);
}

/** Compares checkpoint and weight map; every fault in one error, harmless surplus as notes. */
export function checkWeights(files: ModelFiles, map: WeightMap): string[] {
  return checkTensors(files, specsOf(map), files.config.modelType);
}

/** The same for any list of weights; `what` names their model. */
export function checkTensors(
  files: Pick<ModelFiles, 'place' | 'surplus' | 'name'> & {
    readonly checkpoint: Pick<Checkpoint, 'tensors'>;
  },
  specs: readonly WeightSpec[],
  what: string,
): string[] {
  const { tensors } = files.checkpoint;
  const faults: string[] = [];
  const notes: string[] = [];
  const wanted = new Map(specs.map(({ name, shape }) => [files.place(name).name, shape]));
  for (const [name, shape] of wanted) {
    const entry = tensors.get(name);
    if (entry === undefined) faults.push(`missing ${name} ${show(shape)}`);
    else if (!sameShape(entry.shape, shape))
      faults.push(
        `${name}: expected shape ${show(shape)}, got ${show(entry.shape)} in ${entry.file}`,
      );
    else if (!isWeight(entry))
      faults.push(`${name}: expected F32, F16 or BF16, got ${entry.type} in ${entry.file}`);
  }
  for (const [name, { file }] of tensors) {
    if (wanted.has(name)) continue;
    const why = files.surplus(name);
    if (why === null) faults.push(`unused ${name} in ${file}`);
    else notes.push(`ignored ${name}: ${why}`);
  }
  if (faults.length > 0) {
    const more = faults.length > MOST_FAULTS ? [`… (${faults.length} in all)`] : [];
    const lines = [...faults.slice(0, MOST_FAULTS), ...more].map((line) => `  ${line}`);
    throw new FormatError(
      `${files.name}: expected the tensors of a ${what} model, got\n${lines.join('\n')}`,
    );
  }
  return notes;
}

/** Faults in one message. */
const MOST_FAULTS = 20;

const isWeight = ({ dtype, unpack }: TensorEntry) =>
  dtype === null ? unpack !== undefined : WEIGHT_DTYPES.some((weight) => weight === dtype);

/** Every weight once, a tied head not again. */
export function specsOf({ embed, layers, norm, head }: WeightMap): WeightSpec[] {
  const inLayers = layers.flatMap((layer) => Object.values(layer) as WeightSpec[]);
  return [...new Set([embed, ...inLayers, norm, head])];
}

function mapTree(map: WeightMap, leaf: (spec: WeightSpec) => Tensor): WeightTree<Tensor> {
  const layer = (specs: LayerTree<WeightSpec>) =>
    Object.fromEntries(
      Object.entries(specs).map(([role, spec]) => [role, leaf(spec)]),
    ) as unknown as LayerTree<Tensor>;
  return {
    embed: leaf(map.embed),
    layers: map.layers.map(layer),
    norm: leaf(map.norm),
    head: leaf(map.head),
  };
}
