// A model in a Hugging Face folder: config.json, generation_config.json, safetensors, the files of the tokenizer.
import * as z from 'zod';
import { FormatError } from '../kernels/errors.ts';
import { openCheckpoint } from '../tensor/safetensors.ts';
import { type FolderSource, parseJson } from '../tensor/source.ts';
import { architectureOf } from './architectures.ts';
import type { DecoderConfig } from './config.ts';
import type { ModelFiles } from './files.ts';
import { parse, tokens } from './schema.ts';
import { readTokenizerFiles } from './tokenizer.ts';

/** Opens the model of a folder. */
export async function openModelFolder(source: FolderSource): Promise<ModelFiles> {
  const file = `${source.name}/config.json`;
  const json = await readJson(source, 'config.json');
  const architecture = architectureOf(json, file);
  const config = await withGenerationConfig(source, architecture.readConfig(json, file));
  return {
    name: source.name,
    architecture,
    config,
    checkpoint: await openCheckpoint(source),
    place: (name) => ({ name }),
    surplus(name) {
      if (name.endsWith('.rotary_emb.inv_freq')) return 'computed from the config';
      return name === 'lm_head.weight' && config.tied ? 'tied to the embedding' : null;
    },
    tokenizerFiles: () => readTokenizerFiles(source),
  };
}

/** Chat models often name their end-of-turn token only in generation_config.json. */
async function withGenerationConfig(
  source: FolderSource,
  config: DecoderConfig,
): Promise<DecoderConfig> {
  const path = 'generation_config.json';
  if (!(await source.has(path))) return config;
  const schema = z.looseObject({ eos_token_id: tokens.optional() });
  const json = await readJson(source, path);
  const { eos_token_id: ends } = parse(schema, json, `${source.name}/${path}`);
  if (ends == null) return config;
  return { ...config, eosTokens: [...new Set([...config.eosTokens, ...[ends].flat()])] };
}

async function readJson(source: FolderSource, path: string): Promise<unknown> {
  if (!(await source.has(path)))
    throw new FormatError(`${source.name}: expected a file ${path}, got none`);
  return parseJson(await source.text(path), `${source.name}/${path}`);
}
