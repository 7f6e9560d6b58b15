// A tuned layer for multi-token prediction back into a copy of its target: the bytes of its tensors in the files that have them, and
// every other byte as it was, headers and metadata included.
import { FormatError, UnsupportedError } from '../../kernels/errors.ts';
import { PIECE_BYTES, type TensorEntry } from '../../tensor/checkpoint.ts';
import { piecesOf, type TensorParts } from '../../tensor/parts.ts';
import { openCheckpoint } from '../../tensor/safetensors.ts';
import type { FolderSource } from '../../tensor/source.ts';
import { readConfig } from './config.ts';
import type { ResearchFormat } from './research/format.ts';
import { layoutOf } from './research/layouts.ts';
import { located } from './research/located.ts';
import { some } from './research/some.ts';
import { rename, take } from './research/take.ts';

/** A target with another layer, before it is written. */
export interface Stitch {
  /** Tensors of the target that get other bytes, with the files that they lie in. */
  readonly replaced: readonly (readonly [string, string])[];
  /** Tensors of the head that the target has anyway. */
  readonly dropped: readonly (readonly [string, string])[];
  /** What was cut or joined, a line each. */
  readonly arranged: readonly string[];
  /** Folders in the target's, which are not copied. */
  readonly left: readonly string[];
  /** Every file of the target's folder, in pieces. */
  files(): Readonly<Record<string, AsyncIterable<Uint8Array>>>;
}

interface Patch {
  readonly entry: TensorEntry;
  readonly tensor: TensorParts;
}

/**
 * Puts a speculator of type mtp into the folder that it is the layer of. Throws a FormatError unless the target has exactly its
 * tensors, in the same types and shapes.
 */
export async function stitchMtp(head: FolderSource, target: FolderSource): Promise<Stitch> {
  const config = await readConfig(head);
  if (config['speculators_model_type'] !== 'mtp')
    throw new UnsupportedError(
      `${head.name}: speculators_model_type: expected mtp, got ${JSON.stringify(config['speculators_model_type'])}`,
    );
  if (target.files === undefined)
    throw new UnsupportedError(`${target.name}: expected a folder that lists its files, got none`);
  const own = await readConfig(target);
  const { tensors: entries } = await openCheckpoint(target);
  const { format: general } = layoutOf(target.name, { own, names: new Set(entries.keys()) }, 'mtp');
  const format = located(target.name, () => general.within?.(own)) ?? general;

  const layout: Parameters<typeof take>[2] = {
    fate: (name) => (format.lent?.includes(name) ? { dropped: 'the target has it' } : { name }),
  };
  const { tensors, dropped } = await take(head.name, await openCheckpoint(head), layout);
  // Experts lie in the target one by one, or as in the format.
  const isThere = ({ name }: TensorParts) => entries.has(format.back(name) ?? '');
  const restored = tensors.every(isThere)
    ? undefined
    : located(head.name, () => format.restore?.(tensors, {}));
  const { tensors: parts, changes } = restored ?? { tensors, changes: [] };
  const named = rename(head.name, parts, format.back).tensors;
  const patches = named.map((tensor) => patchOf(target.name, entries.get(tensor.name), tensor));
  checkAll(target.name, [...entries.keys()], { format, named });

  const files = await target.files();
  return {
    replaced: patches.map(({ entry }) => [entry.name, entry.file]),
    dropped,
    arranged: changes,
    left: (await target.folders?.()) ?? [],
    files: () =>
      Object.fromEntries(
        files.map((file) => {
          const own = patches.filter(({ entry }) => entry.file === file);
          return [file, patched(target, file, own)];
        }),
      ),
  };
}

function patchOf(where: string, entry: TensorEntry | undefined, tensor: TensorParts): Patch {
  const { name, dtype, shape } = tensor;
  const got = `${dtype.toUpperCase()} [${shape}]`;
  if (entry === undefined)
    throw new FormatError(`${where}: ${name}: expected a tensor for the head's ${got}, got none`);
  const expected = `${entry.type} [${entry.shape}]`;
  if (expected !== got)
    throw new FormatError(`${where}: ${name}: expected ${expected} from the head, got ${got}`);
  return { entry, tensor };
}

/** A layer of which only a part is replaced would be neither the old nor the new. */
function checkAll(
  where: string,
  names: readonly string[],
  { format, named }: { readonly format: ResearchFormat; readonly named: readonly TensorParts[] },
): void {
  const given = new Set(named.map(({ name }) => name));
  const missing = names.filter((name) => {
    if (given.has(name) || format.includes?.(name) === false) return false;
    const fate = format.fate(name);
    return fate === undefined || 'name' in fate;
  });
  if (missing.length > 0)
    throw new FormatError(`${where}: expected a head with ${some(missing)}, got none`);
}

/** A file in pieces, with the bytes of some tensors replaced. */
async function* patched(
  source: FolderSource,
  file: string,
  patches: readonly Patch[],
): AsyncGenerator<Uint8Array> {
  const size = await source.size(file);
  let at = 0;
  const until = async function* (end: number) {
    for (; at < end; at = Math.min(end, at + PIECE_BYTES))
      yield source.read(file, at, Math.min(end, at + PIECE_BYTES));
  };
  for (const { entry, tensor } of patches.toSorted((a, b) => a.entry.from - b.entry.from)) {
    yield* until(entry.from);
    yield* piecesOf(tensor);
    at = entry.to;
  }
  yield* until(size);
}
