// The tensors of a head under other names; their bytes stay where they are. Every one has a fate, and no two have the same name
// afterwards; all faults are in one error.
import { FormatError } from '../../../kernels/errors.ts';
import { type Checkpoint, PIECE_BYTES } from '../../../tensor/checkpoint.ts';
import { type TensorParts, tensorInCheckpoint } from '../../../tensor/parts.ts';
import type { ResearchFormat } from './format.ts';
import { some } from './some.ts';

/** Names before and after, or names and reasons. */
type Pairs = readonly (readonly [string, string])[];

/** What was taken. */
export interface Taken {
  readonly tensors: readonly TensorParts[];
  readonly renamed: Pairs;
  readonly dropped: Pairs;
  /** Under their names before. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** Names before, by names after. */
  readonly names: ReadonlyMap<string, string>;
}

interface TakeOptions {
  /** The weights of the target, where they are known. */
  readonly target?: Checkpoint | null;
}

/**
 * Takes the tensors that a layout includes; those that repeat one of the target are compared with it where its checkpoint is known.
 * Throws a FormatError that names those without a place, and names given twice, before any is read.
 */
export async function take(
  where: string,
  checkpoint: Checkpoint,
  layout: Pick<ResearchFormat, 'fate' | 'includes' | 'originals' | 'reason'>,
  { target = null }: TakeOptions = {},
): Promise<Taken> {
  const dropped: [string, string][] = [];
  const shapes = new Map<string, readonly number[]>();
  const fates = new Map<string, string>();
  const unknown: string[] = [];
  for (const [name, { shape }] of checkpoint.tensors) {
    if (layout.includes?.(name) === false) continue;
    shapes.set(name, shape);
    const fate = layout.fate(name);
    if (fate === undefined) unknown.push(faultOf(name, layout.reason?.(name)));
    else if ('dropped' in fate) dropped.push([name, fate.dropped]);
    else fates.set(name, fate.name);
  }
  refuse(where, unknown);
  const names = inverse(where, fates);
  for (const drop of dropped) {
    const originals = layout.originals?.(drop[0]) ?? [];
    if (originals.length === 0) continue;
    const isSame = await isCopy(where, { checkpoint, name: drop[0], target, originals });
    if (!isSame) drop[1] = NOT_COMPARED;
  }
  const tensors = [...fates].map(([from, name]) => ({
    ...tensorInCheckpoint(checkpoint, from),
    name,
  }));
  return { tensors, renamed: changed(fates), dropped, shapes, names };
}

/** The same tensors under other names; throws as `take`. */
export function rename(
  where: string,
  tensors: readonly TensorParts[],
  nameOf: (name: string) => string | undefined,
): Pick<Taken, 'tensors' | 'renamed' | 'names'> {
  const names = new Map(tensors.map(({ name }) => [name, nameOf(name)]));
  refuse(
    where,
    [...names].filter(([, to]) => to === undefined).map(([name]) => name),
  );
  const found = names as ReadonlyMap<string, string>;
  return {
    tensors: tensors.map((tensor) => ({ ...tensor, name: found.get(tensor.name)! })),
    renamed: changed(found),
    names: inverse(where, found),
  };
}

/** Why a tensor is left out that the target has as well, where its own could not be looked at. */
export const NOT_COMPARED = 'the format takes it from the target; the two were not compared';

interface Copy {
  readonly checkpoint: Checkpoint;
  readonly name: string;
  readonly target: Checkpoint | null;
  /** Names in the target, of which the first that is there counts. */
  readonly originals: readonly string[];
}

/**
 * Whether a tensor that is left out because the target has it is the target's; false where that cannot be said, because there are no
 * weights or they are of another type. Throws a FormatError for another tensor.
 */
async function isCopy(where: string, { checkpoint, name, target, originals }: Copy) {
  const original = originals.find((each) => target?.tensors.has(each));
  if (target === null || original === undefined) return false;
  const [copy, other] = [checkpoint.tensors.get(name)!, target.tensors.get(original)!];
  const isShaped = copy.shape.join() === other.shape.join();
  if (isShaped && copy.type !== other.type) return false;
  const size = copy.to - copy.from;
  let isSame = isShaped;
  for (let at = 0; isSame && at < size; at += PIECE_BYTES) {
    const pieces = [0, 1].map(() => new Uint8Array(Math.min(PIECE_BYTES, size - at)));
    await checkpoint.readInto(name, at, pieces[0]);
    await target.readInto(original, at, pieces[1]);
    isSame = pieces[0].every((byte, index) => byte === pieces[1][index]);
  }
  if (!isSame)
    throw new FormatError(
      `${where}: ${name}: expected a copy of ${original}, which the format takes from the target, got another`,
    );
  return true;
}

const changed = (names: ReadonlyMap<string, string>): Pairs =>
  [...names].filter(([name, to]) => name !== to);

const faultOf = (name: string, reason: string | undefined) =>
  reason === undefined ? name : `${name} (${reason})`;

function refuse(where: string, unknown: readonly string[]): void {
  if (unknown.length > 0)
    throw new FormatError(
      `${where}: expected tensors that the format has a place for, got ${some(unknown)}`,
    );
}

/** Names before by names after; throws a FormatError for two of the same. */
function inverse(where: string, names: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const before = new Map<string, string>();
  for (const [name, to] of names) {
    const other = before.get(to);
    if (other !== undefined)
      throw new FormatError(`${where}: expected one tensor for ${to}, got ${other} and ${name}`);
    before.set(to, name);
  }
  return before;
}
