// What was converted, looked at as loading would: every tensor that the config asks for is there, in its shape, and the vocabulary
// is right. What this version does not run is converted all the same, with a note.
import { FormatError, UnsupportedError } from '../../kernels/errors.ts';
import { architectureOf } from '../../models/architectures.ts';
import type { Checkpoint, TensorEntry } from '../../tensor/checkpoint.ts';
import type { TensorData } from '../../tensor/safetensors.ts';
import { type Json, readSpeculatorConfig } from './config.ts';
import { fitHead } from './fit.ts';
import { ALGORITHMS } from './load.ts';
import type { ResearchFormat } from './research/format.ts';
import { readUntrained, untrainedNote } from './untrained.ts';

/** Looks at a conversion; returns notes. Throws a FormatError for one that would not load. */
export async function checkConverted(
  name: string,
  parts: {
    readonly config: Json;
    /** The target's decoder. */
    readonly target: Json;
    readonly tensors: readonly TensorData[];
    readonly format: Pick<ResearchFormat, 'needs'>;
  },
): Promise<readonly string[]> {
  const { config, target, tensors, format } = parts;
  const checkpoint = checkpointIn(tensors);
  const untrained = await readUntrained(checkpoint);
  if (untrained.length > 0)
    throw new FormatError(`${name}: expected trained weights, got ${untrainedNote(untrained)}`);
  try {
    const file = `${name}: target`;
    const read = readSpeculatorConfig(config, name);
    await fitHead(ALGORITHMS[read.algorithm], {
      name,
      config: read,
      checkpoint,
      target: architectureOf(target, file).readConfig(target, file),
    });
    return [];
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    // Shapes are not known then, names are.
    const missing = (format.needs?.(config) ?? []).filter((each) => !checkpoint.tensors.has(each));
    if (missing.length > 0)
      throw new FormatError(`${name}: expected ${missing.join(', ')} after conversion, got none`);
    return [`this version does not run it: ${error.message}`];
  }
}

/** Tensors in memory as a checkpoint whose headers and bytes can be asked for. */
function checkpointIn(tensors: readonly TensorData[]): Pick<Checkpoint, 'tensors' | 'readInto'> {
  const bytes = new Map(
    tensors.map(({ name, data }) => [
      name,
      new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    ]),
  );
  const types: Readonly<Record<string, TensorEntry['dtype']>> = {
    F32: 'f32',
    F16: 'f16',
    BF16: 'bf16',
  };
  return {
    tensors: new Map(
      tensors.map(({ name, dtype, shape, data }): [string, TensorEntry] => {
        const type = dtype.toUpperCase();
        const entry = { name, file: 'the conversion', type, shape, from: 0, to: data.byteLength };
        return [name, { ...entry, dtype: types[type] ?? null }];
      }),
    ),
    async readInto(name, from, target) {
      target.set(bytes.get(name)!.subarray(from, from + target.length));
    },
  };
}
