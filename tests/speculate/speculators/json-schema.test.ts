// The JSON Schemas, read back by zod, take the configs that are read and refuse those that are refused.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { jsonSchemaOf } from '../../../src/speculate/speculators/json-schema.ts';
import { ALGORITHMS } from '../../../src/speculate/speculators/load.ts';

const configOf = (name: string): Record<string, unknown> =>
  JSON.parse(
    readFileSync(new URL(`../../golden/heads/${name}/config.json`, import.meta.url), 'utf8'),
  );
const validatorOf = (algorithm: string) =>
  z.fromJSONSchema(JSON.parse(JSON.stringify(jsonSchemaOf(ALGORITHMS[algorithm]))));

describe('jsonSchemaOf', () => {
  it.each(Object.keys(ALGORITHMS))('describes %s, what all share included', (algorithm) => {
    const text = JSON.stringify(jsonSchemaOf(ALGORITHMS[algorithm]));
    for (const key of ['speculators_config', 'proposal_methods'])
      expect(text).toContain(`"${key}"`);
    const hasLayers = ALGORITHMS[algorithm].forward !== undefined;
    expect(text.includes('"transformer_layer_config"')).toBe(hasLayers);
    expect(text).toContain(`"const":"${algorithm}"`);
  });

  it.each([
    ['eagle1', 'eagle'],
    ['hass', 'eagle'],
    ['eagle3', 'eagle3'],
    ['eagle31-fcnorm', 'eagle3'],
  ])('takes %s', (name, algorithm) => {
    const config = configOf(name);
    expect(validatorOf(algorithm).parse(config)).toMatchObject({
      speculators_model_type: algorithm,
      transformer_layer_config: config['transformer_layer_config'],
    });
  });

  it.each([
    ['mlp', { num_layers: 3, tie_weights: false, scale_input: true }, { num_layers: 0 }],
    ['mlp', { top_k_tokens_per_head: [5, 4, 3, 2, 1] }, { top_k_tokens_per_head: [0] }],
    ['medusa', { num_heads: 4, truncated_vocab_size: null }, { medusa_fc_bias: 'no' }],
  ])('takes %s without decoder layers with %j, and refuses %j', (algorithm, fields, wrong) => {
    const { transformer_layer_config: _, ...rest } = configOf('eagle1');
    const config = { ...rest, speculators_model_type: algorithm, ...fields };
    const validator = validatorOf(algorithm);
    expect(validator.safeParse(config).success).toBe(true);
    expect(validator.safeParse({ ...config, ...wrong }).success).toBe(false);
  });

  it('takes an independent draft model, whose keys are those of a model, and refuses what is none', () => {
    const { speculators_config } = configOf('eagle1');
    const model = JSON.parse(
      readFileSync(new URL('../../golden/tiny-random-llama/config.json', import.meta.url), 'utf8'),
    );
    const config = { ...model, speculators_model_type: 'independent', speculators_config };
    const schema = jsonSchemaOf('independent');
    const validator = z.fromJSONSchema(JSON.parse(JSON.stringify(schema)));
    expect(JSON.stringify(schema)).toContain('"const":"independent"');
    expect(validator.parse(config)).toEqual(config);
    for (const wrong of [{ hidden_size: 0 }, { model_type: 'gpt2' }, { speculators_config: {} }])
      expect(validator.safeParse({ ...config, ...wrong }).success).toBe(false);
  });

  it.each([
    ['eagle1', 'eagle', 'layernorms', 'yes'],
    ['eagle1', 'eagle3', 'fusion_bias', false],
    ['eagle3', 'eagle3', 'draft_vocab_size', 0],
    ['eagle3', 'eagle3', 'transformer_layer_config', undefined],
    ['eagle3', 'eagle3', 'speculators_config', {}],
    ['eagle3', 'dflash', 'speculators_model_type', 'dflash'],
  ])('refuses %s as %s with %s %j', (name, algorithm, key, value) => {
    const config = JSON.parse(JSON.stringify({ ...configOf(name), [key]: value }));
    expect(validatorOf(algorithm).safeParse(config).success).toBe(false);
  });
});
