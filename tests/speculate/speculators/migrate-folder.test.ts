// Folders of older versions as those of the current one: which files they have, and what is refused because no target could take it.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Json } from '../../../src/speculate/speculators/config.ts';
import { migrateSpeculator } from '../../../src/speculate/speculators/migrate.ts';
import { readHeader } from '../../../src/tensor/header.ts';
import { writeSafetensors } from '../../../src/tensor/safetensors.ts';
import { memorySource } from '../../../src/tensor/source.ts';
import { tiny } from '../../models/fixtures.ts';
import { byteLevelFiles } from '../../models/tokenizers.ts';
import { tensorsOf } from './research.ts';

const { folder } = tiny('llama-mha');
const independent: Json = {
  ...JSON.parse(readFileSync(`${folder}/config.json`, 'utf8')),
  speculators_model_type: 'independent',
  speculators_version: '0.1.0',
  speculators_config: {
    algorithm: 'independent',
    default_proposal_method: 'greedy',
    proposal_methods: [{ proposal_type: 'greedy', speculative_tokens: 3 }],
    verifier: { name_or_path: 'target', architectures: [] },
  },
};
const weights = new Uint8Array(readFileSync(`${folder}/model.safetensors`));
const independentWith = (files: Readonly<Record<string, string | Uint8Array>>) =>
  memorySource(
    { 'config.json': JSON.stringify(independent), 'model.safetensors': weights, ...files },
    'old',
  );

describe('an independent draft model', () => {
  it('keeps its tokenizer, without which its ids would be taken for the target’s', async () => {
    const texts = {
      'tokenizer.json': JSON.stringify(byteLevelFiles(['Ġthe', 'Ġof']).tokenizerJson),
      'tokenizer_config.json': '{"eos_token":"<|end|>"}',
      'generation_config.json': '{"eos_token_id":2}',
      'chat_template.jinja': '{{ messages }}',
    };
    const { files } = await migrateSpeculator(independentWith(texts));
    expect(files()).toMatchObject(texts);
  });
});

describe('the metadata of the weights', () => {
  it('stay, and say the format where they do not', async () => {
    const own = { format: 'np', of_mine: 'kept' };
    const named = tensorsOf({ 'a.weight': [2] }, 1);
    const metadataOf = async (metadata: Record<string, string> | undefined) => {
      const config = { ...independent, model_type: 'not run here' };
      const source = independentWith({
        'config.json': JSON.stringify(config),
        'model.safetensors': writeSafetensors(named, metadata),
      });
      const { files } = await migrateSpeculator(source);
      return (await readHeader(memorySource(files()), 'model.safetensors')).metadata;
    };
    expect(await metadataOf(own)).toEqual(own);
    expect(await metadataOf({ of_mine: 'kept' })).toEqual({ format: 'pt', of_mine: 'kept' });
    expect(await metadataOf(undefined)).toEqual({ format: 'pt' });
  });
});
