// Folders of older versions as those of the current one: which files they have, and what is refused because no target could take it.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Json } from '../../../src/speculate/speculators/config.ts';
import { migrateSpeculator } from '../../../src/speculate/speculators/migrate.ts';
import { readHeader } from '../../../src/tensor/header.ts';
import {
  openCheckpoint,
  type TensorData,
  writeSafetensors,
} from '../../../src/tensor/safetensors.ts';
import { memorySource, openFolder } from '../../../src/tensor/source.ts';
import { tiny } from '../../models/fixtures.ts';
import { byteLevelFiles } from '../../models/tokenizers.ts';
import { golden, headSource, tensorsOf } from './research.ts';

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
    expect(await files()).toMatchObject(texts);
  });

  it('is refused without a tensor', async () => {
    const source = independentWith({ 'model.safetensors': writeSafetensors([]) });
    await expect(migrateSpeculator(source)).rejects.toThrow(
      /missing model\.embed_tokens\.weight(.*\n){20} {2}… \(\d+ in all\)$/,
    );
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
      return (await readHeader(memorySource(await files()), 'model.safetensors')).metadata;
    };
    expect(await metadataOf(own)).toEqual(own);
    expect(await metadataOf({ of_mine: 'kept' })).toEqual({ format: 'pt', of_mine: 'kept' });
    expect(await metadataOf(undefined)).toEqual({ format: 'pt' });
  });
});

describe('a head', () => {
  /** The golden head with other tensors, and with another config. */
  async function changed(
    name: string,
    change: (tensors: TensorData[]) => TensorData[],
    fields: object = {},
  ) {
    const source = await openFolder(golden(`heads/${name}`));
    const { tensors, readInto } = await openCheckpoint(source);
    const all: TensorData[] = [];
    for (const { name: tensor, type, shape, from, to } of tensors.values()) {
      const data = new Uint8Array(to - from);
      await readInto(tensor, 0, data);
      all.push({ name: tensor, dtype: type as 'F32', shape, data });
    }
    const config = JSON.parse(await source.text('config.json'));
    await source.close();
    return headSource({ ...config, ...fields }, change(all));
  }

  it.each<[string, (tensors: TensorData[]) => TensorData[], string]>([
    [
      'a missing norm',
      (all) => all.filter(({ name }) => name !== 'norm.weight'),
      'missing norm.weight [32]',
    ],
    [
      'the names of its research project',
      (all) => all.map((each) => ({ ...each, name: each.name.replace('layers.0', 'midlayer') })),
      'unused midlayer.',
    ],
    [
      'a tensor of another shape',
      (all) => all.map((each) => (each.name === 'fc.weight' ? { ...each, shape: [96, 32] } : each)),
      'fc.weight: expected shape [32, 96], got [96, 32]',
    ],
  ])('is refused with %s, although there is no target', async (_, change, message) => {
    const source = await changed('eagle3', change);
    await expect(migrateSpeculator(source)).rejects.toThrow(message);
  });

  it('is refused with a type that the format never had', async () => {
    const source = await changed('eagle3', (all) => all, { speculators_model_type: 'eagel3' });
    await expect(migrateSpeculator(source)).rejects.toThrow(
      'head/config.json: speculators_model_type: expected eagle, eagle3, peagle, mtp, dflash, dspark, mlp, medusa, independent, got eagel3',
    );
  });

  it('that does not run here is migrated, and what was not looked at is said', async () => {
    const config = JSON.parse(readFileSync(golden('heads/eagle3/config.json'), 'utf8'));
    const layer = { ...config.transformer_layer_config, hidden_act: 'gelu' };
    const source = await changed('eagle3', (all) => all, { transformer_layer_config: layer });
    const { notes } = await migrateSpeculator(source);
    expect(notes).toEqual([expect.stringMatching(/^its tensors were not checked: .*gelu/)]);
  });

  it('with numbers that are none has a note of it', async () => {
    const source = await changed('eagle3', (all) =>
      all.map((each) =>
        each.name === 'norm.weight' ? { ...each, data: new Uint8Array(4 * 32).fill(255) } : each,
      ),
    );
    const { notes } = await migrateSpeculator(source);
    expect(notes).toEqual(['norm.weight: 32 of 32 numbers are NaN or infinite']);
  });
});
