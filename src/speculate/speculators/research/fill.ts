// What a head of a research project repeats of its target, and what the format therefore leaves out: taken from the target again.
import { FormatError } from '../../../kernels/errors.ts';
import type { Checkpoint } from '../../../tensor/checkpoint.ts';
import { type TensorParts, tensorInCheckpoint } from '../../../tensor/parts.ts';
import type { Json } from '../config.ts';
import type { ResearchFormat } from './format.ts';
import type { Origin } from './origin.ts';
import { NOT_COMPARED } from './take.ts';

/** A target by its weights. */
export interface FillTarget {
  /** The folder, for messages. */
  readonly name: string;
  readonly checkpoint: Checkpoint;
}

interface FillParts {
  readonly format: Pick<ResearchFormat, 'originals' | 'repeats'>;
  readonly origin: Origin;
  /** The sizes of the decoder layers, which what is repeated has to have. */
  readonly layer: Json;
  readonly target: FillTarget | null;
}

/** Tensors that were filled in, a line for each, and what a user should know. */
interface Filled {
  readonly tensors: readonly TensorParts[];
  readonly changes: readonly string[];
  readonly notes: readonly string[];
}

/**
 * The tensors under their research names with those that the target has. Throws a FormatError for one of the target that has
 * another shape.
 */
export function fillIn(given: readonly TensorParts[], parts: FillParts): Filled {
  const { format, target } = parts;
  const lost = lostOf(parts).filter(([name]) => given.every((tensor) => tensor.name !== name));
  let tensors = given;
  const changes: string[] = [];
  const notes: string[] = [];
  for (const [name, why] of lost) {
    const originals = format.originals?.(name) ?? [];
    const found = originals.find((each) => target?.checkpoint.tensors.has(each));
    if (target === null || found === undefined) {
      const missing = target !== null && originals.length > 0 ? `; ${target.name} has none` : '';
      notes.push(`${name} does not come back; it was left out: ${why}${missing}`);
      continue;
    }
    const tensor = { ...tensorInCheckpoint(target.checkpoint, found), name };
    checkShape(`${target.name}: ${found}`, tensor, parts.layer);
    tensors = inOrder(tensors, tensor);
    changes.push(`filled in ${name}: ${found} of ${target.name}`);
    if (why === NOT_COMPARED) notes.push(`${name} may have been another; it was left out: ${why}`);
  }
  if (target !== null && lost.every(([name]) => (format.originals?.(name) ?? []).length === 0))
    notes.push(`nothing was filled in from ${target.name}: no tensor that it repeats is missing`);
  return { tensors, changes, notes };
}

/** What was left out, as it was recorded; without a record what heads of the layout usually repeat. */
function lostOf({ format, origin }: FillParts): readonly (readonly [string, string])[] {
  if (origin.layout !== undefined) return Object.entries(origin.dropped);
  return (format.repeats ?? []).map((name) => [name, 'the target has it']);
}

/** With one tensor more: where safetensors sorts it in, by name among those of its type. */
export function inOrder(
  tensors: readonly TensorParts[],
  tensor: TensorParts,
): readonly TensorParts[] {
  const typeOf = ({ dtype }: TensorParts) => dtype.toUpperCase();
  const at = tensors.findIndex(
    (other) => typeOf(other) === typeOf(tensor) && other.name > tensor.name,
  );
  return at < 0 ? [...tensors, tensor] : tensors.toSpliced(at, 0, tensor);
}

/** What is repeated are embedding and head. */
function checkShape(where: string, { shape }: TensorParts, layer: Json): void {
  const expected = [layer['vocab_size'], layer['hidden_size']];
  if (shape.join() !== expected.join())
    throw new FormatError(`${where}: expected the head's [${expected}], got [${shape}]`);
}
