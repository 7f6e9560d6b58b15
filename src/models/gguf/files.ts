// A model in a GGUF file: configuration and tokenizer from the metadata, names and rows mapped to ours.
import { openGguf } from '../../tensor/gguf.ts';
import type { FolderSource } from '../../tensor/source.ts';
import type { ModelFiles } from '../files.ts';
import { readGgufConfig } from './config.ts';
import { ggufPlace, ROPE_FACTORS } from './tensors.ts';
import { tokenizerFilesOf } from './tokenizer.ts';

/** Opens the model of a GGUF file in a folder. */
export async function openGgufModel(source: FolderSource, file: string): Promise<ModelFiles> {
  const gguf = await openGguf(source, file);
  const name = `${source.name}/${file}`;
  const { name: family, architecture, config } = await readGgufConfig(gguf, name);
  return {
    name,
    architecture,
    config,
    checkpoint: gguf,
    fields: gguf.fields,
    place: (weight) => ggufPlace(weight, family, config),
    surplus: (tensor) =>
      tensor === ROPE_FACTORS || tensor.endsWith('.attn_rot_embd') ? 'in the rotary tables' : null,
    tokenizerFiles: async () => tokenizerFilesOf(gguf.metadata, name),
  };
}
