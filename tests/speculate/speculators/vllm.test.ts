// What vLLM's bridge to the format requires, and what it reads differently.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FormatError, OptionError, UnsupportedError } from '../../../src/kernels/errors.ts';
import { readSpeculatorConfig } from '../../../src/speculate/speculators/config.ts';
import { exportVllm, type VllmOptions } from '../../../src/speculate/speculators/vllm.ts';

interface Json {
  [key: string]: unknown;
  speculators_config: { [key: string]: unknown; verifier: object };
}
const eagle3 = (): Json =>
  JSON.parse(
    readFileSync(new URL('../../golden/heads/eagle3/config.json', import.meta.url), 'utf8'),
  );
const exported = (json: Json, options: Partial<VllmOptions> = {}) =>
  exportVllm(readSpeculatorConfig(json, 'config.json'), { speculator: 'org/head', ...options });

describe('exportVllm', () => {
  it('gives the command and its speculative_config', () => {
    expect(exported(eagle3())).toEqual({
      command: `vllm serve ../tiny-random-llama-8l --speculative-config '{"method":"eagle3","model":"org/head","num_speculative_tokens":5}'`,
      speculativeConfig: { method: 'eagle3', model: 'org/head', num_speculative_tokens: 5 },
      notes: [],
    });
  });

  it('takes the target and the length that it is given, and quotes what a shell would split', () => {
    const { command } = exported(eagle3(), {
      speculator: "/my models/it's",
      verifier: '/a target',
      draftLength: 3,
    });
    expect(command).toBe(
      `vllm serve '/a target' --speculative-config '{"method":"eagle3","model":"/my models/it'\\''s","num_speculative_tokens":3}'`,
    );
  });

  it.each([
    ['peagle', { method: 'eagle3', parallel_drafting: true }],
    ['dflash', { method: 'dflash' }],
    ['dspark', { method: 'dspark' }],
  ])('says how %s is called there', (algorithm, expected) => {
    const json = { ...eagle3(), speculators_model_type: algorithm };
    expect(exported(json).speculativeConfig).toEqual({
      ...expected,
      model: 'org/head',
      num_speculative_tokens: 5,
    });
  });

  it('notes what is read differently: a missing norm_before_residual, a first method that is no chain', () => {
    const { norm_before_residual: _, ...json } = eagle3();
    const dynamic = { proposal_type: 'dynamic_tree', speculative_tokens: 8 };
    json.speculators_config['proposal_methods'] = [dynamic];
    json.speculators_config['default_proposal_method'] = 'dynamic_tree';
    expect(exported(json as Json).notes).toEqual([
      'vLLM drafts chains; the first proposal method is dynamic_tree',
      'norm_before_residual is missing: vLLM takes true then, the format says false',
    ]);
  });

  it.each(['eagle', 'mtp', 'mlp', 'medusa'])(
    'refuses %s, which vLLM does not serve in this format',
    (algorithm) => {
      const json = { ...eagle3(), speculators_model_type: algorithm };
      expect(() => exported(json)).toThrow(UnsupportedError);
      expect(() => exported(json)).toThrow(
        new RegExp(`expected .*eagle3, peagle, dflash, dspark.*, got ${algorithm}`),
      );
    },
  );

  it('names every key that vLLM requires and a config lacks', () => {
    const { transformer_layer_config: _, ...json } = eagle3();
    const { speculators_config: own } = json;
    own['proposal_methods'] = [{ proposal_type: 'greedy' }];
    own.verifier = { ...own.verifier, name_or_path: null };
    expect(() => exported(json as Json)).toThrow(FormatError);
    expect(() => exported(json as Json)).toThrow(
      'org/head/config.json: expected speculators_config.proposal_methods[0].speculative_tokens and speculators_config.verifier.name_or_path and transformer_layer_config, which vLLM requires, got none',
    );
  });

  it.each([0, 33, 2.5])('refuses a draft of %d tokens', (draftLength) => {
    expect(() => exported(eagle3(), { draftLength })).toThrow(OptionError);
    expect(() => exported(eagle3(), { draftLength })).toThrow(`1 to 32 tokens`);
  });
});
