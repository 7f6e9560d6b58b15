// What was converted, looked at as loading would: every tensor that the config asks for is there, in its shape, and the vocabulary
// is right. Of a target that this version does not run its sizes say as much; a head that it does not run is converted with a note.
import * as z from 'zod';
import { FormatError, UnsupportedError } from '../../kernels/errors.ts';
import { parse } from '../../models/schema.ts';
import type { Checkpoint, TensorEntry } from '../../tensor/checkpoint.ts';
import { partsBytes, readParts, type TensorParts } from '../../tensor/parts.ts';
import { brokenNotes } from './broken.ts';
import { type Json, readSpeculatorConfig } from './config.ts';
import { fitHead, targetOf } from './fit.ts';
import { ALGORITHMS } from './load.ts';
import type { ResearchFormat } from './research/format.ts';
import { some } from './research/some.ts';
import { initialSizeOf, readUntrained, untrainedNote } from './untrained.ts';
import { readVocabulary } from './vocabulary.ts';

/** Looks at a conversion; returns notes. Throws a FormatError for one that would not load. */
export async function checkConverted(
  name: string,
  parts: {
    readonly config: Json;
    /** The target's decoder. */
    readonly target: Json;
    readonly tensors: readonly TensorParts[];
    readonly format: Pick<ResearchFormat, 'needs'>;
  },
): Promise<readonly string[]> {
  const { config, target, tensors, format } = parts;
  const checkpoint = checkpointOf(tensors);
  const untrained = await readUntrained(checkpoint, initialSizeOf(config, name));
  if (untrained.length > 0)
    throw new FormatError(`${name}: expected trained weights, got ${untrainedNote(untrained)}`);
  const { decoder, note } = targetOf(target, `${name}: target`);
  const read = readSpeculatorConfig(config, name);
  try {
    await fitHead(ALGORITHMS[read.algorithm], { name, config: read, checkpoint, target: decoder });
    return [...(await brokenNotes(checkpoint)), ...(note === null ? [] : [note])];
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    const names = new Set(checkpoint.tensors.keys());
    const missing = (format.needs?.(config, names) ?? []).filter((each) => !names.has(each));
    if (missing.length > 0)
      throw new FormatError(`${name}: expected ${some(missing)} after conversion, got none`);
    const { vocab } = decoder;
    const { draft_vocab_size: drafted = vocab } = parse(vocabularySchema, config, name);
    await readVocabulary(checkpoint, { file: name, draftVocab: drafted, vocab });
    const unchecked = format.needs ? 'shapes' : 'names and shapes';
    return [
      ...(await brokenNotes(checkpoint)),
      `this version does not run it: ${error.message}; the ${unchecked} of its tensors were not checked`,
    ];
  }
}

const vocabularySchema = z.looseObject({ draft_vocab_size: z.int().positive().optional() });

/** Tensors as a checkpoint whose headers and bytes can be asked for. */
function checkpointOf(tensors: readonly TensorParts[]): Pick<Checkpoint, 'tensors' | 'readInto'> {
  const named = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const types: Readonly<Record<string, TensorEntry['dtype']>> = {
    F32: 'f32',
    F16: 'f16',
    BF16: 'bf16',
  };
  return {
    tensors: new Map(
      tensors.map((tensor): [string, TensorEntry] => {
        const { name, shape } = tensor;
        const type = tensor.dtype.toUpperCase();
        const entry = { name, file: 'the conversion', type, shape };
        return [name, { ...entry, from: 0, to: partsBytes(tensor), dtype: types[type] ?? null }];
      }),
    ),
    readInto: (name, from, target) => readParts(named.get(name)!, from, target),
  };
}
