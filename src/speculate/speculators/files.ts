// The files of a folder in the format.
import { type TensorData, writeSafetensors } from '../../tensor/safetensors.ts';
import type { Json } from './config.ts';

/** By name, as `writeFolder` and `memorySource` take them. */
export type HeadFiles = Readonly<Record<'config.json' | 'model.safetensors', string | Uint8Array>>;

/** A config and tensors as files, with the metadata of the file that the tensors come from. */
export const headFiles = (
  config: Json,
  tensors: Iterable<TensorData>,
  metadata: Readonly<Record<string, unknown>> = {},
): HeadFiles => ({
  'config.json': `${JSON.stringify(config, null, 2)}\n`,
  'model.safetensors': writeSafetensors(tensors, withFormat(metadata)),
});

/** Older versions of transformers refuse a file that does not say whose it is. */
const withFormat = (metadata: Readonly<Record<string, unknown>>): Record<string, string> => ({
  format: 'pt',
  ...Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key, String(value)])),
});
