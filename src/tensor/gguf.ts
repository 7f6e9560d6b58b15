// GGUF files (docs/gguf.md in ggml-org/ggml) as checkpoints. Opening reads the header only.
import { type Checkpoint, checkpointOf } from './checkpoint.ts';
import { readGgufHeader } from './gguf-header.ts';
import type { GgufField } from './gguf-types.ts';
import type { FolderSource } from './source.ts';

/** A GGUF file: its tensors, and its metadata with the types it has there. `metadata` has the values alone. */
export interface Gguf extends Checkpoint {
  readonly version: number;
  readonly fields: ReadonlyMap<string, GgufField>;
}

/** Reads the header of a GGUF file of a folder. Throws FormatErrors and UnsupportedErrors by file and key or tensor. */
export async function openGguf(source: FolderSource, file: string): Promise<Gguf> {
  const { version, fields, entries } = await readGgufHeader(source, file);
  const metadata = Object.fromEntries([...fields].map(([key, { value }]) => [key, value]));
  const tensors = new Map(entries.map((entry) => [entry.name, entry]));
  return { ...checkpointOf(source, tensors, metadata), version, fields };
}
