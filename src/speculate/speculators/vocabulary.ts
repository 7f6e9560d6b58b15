// The vocabulary of a head: which token of the target each of its own is. Files have offsets (`d2t`, target = draft + offset) and a
// mask of the target's tokens (`t2d`); the two must agree.
import { FormatError } from '../../kernels/errors.ts';
import type { Checkpoint } from '../../tensor/checkpoint.ts';
import type { TensorData } from '../../tensor/safetensors.ts';

/** Which vocabularies, and how a file says what they have in common. */
export interface VocabularyParts {
  readonly file: string;
  readonly draftVocab: number;
  readonly vocab: number;
  /** Tensor with the ids themselves, of algorithms that have one; else d2t and t2d. */
  readonly map?: string | undefined;
}

/** Tensors that say which tokens they are. */
export const vocabularyNames = (map: string | undefined): readonly string[] =>
  map === undefined ? ['d2t', 't2d'] : [map];

/** The target's token of every drafted one, or null where they are the same. Throws a FormatError where the tensors disagree. */
export async function readVocabulary(
  checkpoint: Pick<Checkpoint, 'tensors' | 'readInto'>,
  parts: VocabularyParts,
): Promise<Int32Array | null> {
  const { file, draftVocab, vocab, map } = parts;
  const { tensors, readInto } = checkpoint;
  if (map !== undefined) return readMap(checkpoint, { ...parts, map });
  const [d2t, t2d] = [tensors.get('d2t'), tensors.get('t2d')];
  if (d2t === undefined && t2d === undefined) {
    if (draftVocab !== vocab)
      throw new FormatError(
        `${file}: expected d2t and t2d for a vocabulary of ${draftVocab} of ${vocab} tokens, got neither`,
      );
    return null;
  }
  if (d2t === undefined || t2d === undefined)
    throw new FormatError(`${file}: expected d2t and t2d, got ${d2t ? 'd2t' : 't2d'} only`);
  if (d2t.type !== 'I64' || d2t.shape.join() !== String(draftVocab))
    throw new FormatError(
      `${file}: d2t: expected I64 [${draftVocab}], got ${d2t.type} [${d2t.shape}]`,
    );
  if (t2d.type !== 'BOOL' || t2d.shape.join() !== String(vocab))
    throw new FormatError(`${file}: t2d: expected BOOL [${vocab}], got ${t2d.type} [${t2d.shape}]`);
  const { offsets, mask } = await readTensors(readInto, draftVocab, vocab);
  const ids = Int32Array.from(offsets, (offset, token) => token + Number(offset));
  checkIds(ids, mask, { file, offsets });
  if (draftVocab < vocab) return ids;
  // Others ignore them there, so they must say what is so without them.
  if (ids.some((id, token) => id !== token))
    throw new FormatError(
      `${file}: expected offsets of 0 in d2t where all ${vocab} tokens are drafted, got others`,
    );
  return null;
}

/** What d2t and t2d hold; their types and shapes have been looked at. */
export async function readTensors(
  readInto: Checkpoint['readInto'],
  draftVocab: number,
  vocab: number,
): Promise<{ readonly offsets: BigInt64Array; readonly mask: Uint8Array }> {
  const offsets = new BigInt64Array(draftVocab);
  const mask = new Uint8Array(vocab);
  await readInto('d2t', 0, new Uint8Array(offsets.buffer));
  await readInto('t2d', 0, mask);
  return { offsets, mask };
}

/** Ids I64 [draftVocab]; null where there are none and none are needed. */
async function readMap(
  { tensors, readInto }: Pick<Checkpoint, 'tensors' | 'readInto'>,
  { file, draftVocab, vocab, map }: VocabularyParts & { readonly map: string },
): Promise<Int32Array | null> {
  const entry = tensors.get(map);
  if (entry === undefined) {
    if (draftVocab !== vocab)
      throw new FormatError(
        `${file}: expected ${map} for a vocabulary of ${draftVocab} of ${vocab} tokens, got none`,
      );
    return null;
  }
  if (entry.type !== 'I64' || entry.shape.join() !== String(draftVocab))
    throw new FormatError(
      `${file}: ${map}: expected I64 [${draftVocab}], got ${entry.type} [${entry.shape}]`,
    );
  const ids = new BigInt64Array(draftVocab);
  await readInto(map, 0, new Uint8Array(ids.buffer));
  const seen = new Set<bigint>();
  for (const id of ids) {
    if (id < 0n || id >= BigInt(vocab) || seen.has(id))
      throw new FormatError(
        `${file}: ${map}: expected different tokens from 0 to ${vocab - 1}, got ${id}${seen.has(id) ? ' twice' : ''}`,
      );
    seen.add(id);
  }
  return Int32Array.from(ids, Number);
}

/** The tensors of a vocabulary, as they are read. */
export function writeVocabulary(
  ids: Int32Array,
  { vocab, map }: Pick<VocabularyParts, 'vocab' | 'map'>,
): TensorData[] {
  if (map !== undefined) {
    const data = new Uint8Array(BigInt64Array.from(ids, BigInt).buffer);
    return [{ name: map, dtype: 'I64', shape: [ids.length], data }];
  }
  const offsets = BigInt64Array.from(ids, (id, token) => BigInt(id - token));
  const mask = new Uint8Array(vocab);
  for (const id of ids) mask[id] = 1;
  return [
    { name: 'd2t', dtype: 'I64', shape: [ids.length], data: new Uint8Array(offsets.buffer) },
    { name: 't2d', dtype: 'bool', shape: [vocab], data: mask },
  ];
}

function checkIds(
  ids: Int32Array,
  mask: Uint8Array,
  { file, offsets }: { readonly file: string; readonly offsets: BigInt64Array },
): void {
  if (isNamedBy(mask, ids)) return;
  const absolute = isNamedBy(mask, Int32Array.from(offsets, Number));
  throw new FormatError(
    `${file}: expected d2t to name the ${countOf(mask)} tokens of t2d by offsets, got ${absolute ? 'their ids themselves' : 'others'}`,
  );
}

/** Whether these are the tokens that a mask marks, each once. */
export function isNamedBy(mask: Uint8Array, ids: Int32Array): boolean {
  const marked = countOf(mask);
  return ids.length === marked && new Set(ids).size === marked && ids.every((id) => mask[id] === 1);
}

const countOf = (mask: Uint8Array) => mask.reduce((sum, value) => sum + (value === 0 ? 0 : 1), 0);
