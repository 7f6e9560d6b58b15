// The files of a folder in the format.
import type { Checkpoint } from '../../tensor/checkpoint.ts';
import { type TensorData, writeSafetensors } from '../../tensor/safetensors.ts';
import type { Json } from './config.ts';

/** By name, as `writeFolder` and `memorySource` take them. */
export type HeadFiles = Readonly<Record<'config.json' | 'model.safetensors', string | Uint8Array>>;

/**
 * A config and tensors as files. `metadata` is that of the files they were read from; the format that old versions of transformers
 * ask for is said where it is not.
 */
export const headFiles = (
  config: Json,
  tensors: Iterable<TensorData>,
  metadata: Checkpoint['metadata'] = {},
): HeadFiles => ({
  'config.json': `${JSON.stringify(config, null, 2)}\n`,
  'model.safetensors': writeSafetensors(tensors, {
    format: 'pt',
    ...(metadata as Readonly<Record<string, string>>),
  }),
});
