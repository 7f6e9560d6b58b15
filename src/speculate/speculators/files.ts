// The files of a folder in the format.
import { type TensorData, writeSafetensors } from '../../tensor/safetensors.ts';
import type { Json } from './config.ts';

/** By name, as `writeFolder` and `memorySource` take them. */
export type HeadFiles = Readonly<Record<'config.json' | 'model.safetensors', string | Uint8Array>>;

/** A config and tensors as files. */
export const headFiles = (config: Json, tensors: Iterable<TensorData>): HeadFiles => ({
  'config.json': `${JSON.stringify(config, null, 2)}\n`,
  'model.safetensors': writeSafetensors(tensors),
});
