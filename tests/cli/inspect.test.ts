// What `foretoken inspect` says of speculators: whose value every field is, and what is left to say of those that do not run.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { foretoken, golden, independentFolder, temporary } from './command.ts';

type Config = Record<string, unknown> & { transformer_layer_config: Record<string, unknown> };

/** The EAGLE-3 head with another config. */
function headWith(change: (config: Config) => void): string {
  const folder = temporary();
  cpSync(golden('heads/eagle3'), folder, { recursive: true });
  const file = join(folder, 'config.json');
  const config = JSON.parse(readFileSync(file, 'utf8'));
  change(config);
  writeFileSync(file, JSON.stringify(config));
  return folder;
}

function inspected(folder: string) {
  const { status, stdout, stderr } = foretoken(['inspect', folder]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const json = JSON.parse(foretoken(['inspect', folder, '--json']).stdout);
  return { stdout, json };
}

describe('the fields of a speculator', () => {
  it('are those of the file or defaults, one a line, in columns that fit 100', () => {
    const folder = headWith((config) => {
      delete config['norm_before_residual'];
      config['own_key'] = Array.from({ length: 60 }, (_, index) => index);
      config.transformer_layer_config = { hidden_size: 32, model_type: 'qwen3', my_key: 'x' };
    });
    const { stdout } = inspected(folder);
    const lines = stdout.split('\n');
    const from = lines.indexOf('fields of eagle3');
    const to = lines.findIndex((line) => / tensors, /.test(line));
    const section = lines.slice(from, to);
    expect(Math.max(...section.map((line) => line.length))).toBeLessThanOrEqual(100);
    const row = (name: string) =>
      section
        .find((line) => line.startsWith(`  ${name} `))
        ?.trim()
        .split(/ {2,}/);
    expect(row('norm_before_residual')).toEqual(['norm_before_residual', 'default', 'false']);
    expect(row('draft_vocab_size')).toEqual(['draft_vocab_size', 'file', '40']);
    expect(row('target_hidden_size')).toEqual(['target_hidden_size', 'file', 'none']);
    expect(row('hidden_size')).toEqual(['hidden_size', 'file', '32']);
    // Of Qwen3Config, and of the schema of its layers.
    expect(row('intermediate_size')).toEqual(['intermediate_size', 'default', '22016']);
    expect(row('head_dim')).toEqual(['head_dim', 'default', '128']);
    expect(row('layer_types')).toEqual(['layer_types', 'default', 'none']);
    expect(row('my_key')).toEqual(['my_key', 'other', 'x']);
    // Nothing of a long value is lost.
    const start = section.findIndex((line) => line.startsWith('  own_key '));
    const value = section
      .slice(start, start + 6)
      .join('')
      .replaceAll(/\s+/g, '');
    expect(value).toContain(Array.from({ length: 60 }, (_, index) => index).join(','));
    const marks = section.filter((line) => / (file|default|other) /.test(line));
    expect(new Set(marks.map((line) => line.search(/ (file|default|other) /))).size).toBe(1);
  });

  it('have the window of a Llama layer, which only heads read', () => {
    const folder = headWith(({ transformer_layer_config: layer }) => {
      layer['layer_types'] = ['sliding_attention'];
      layer['sliding_window'] = 16;
    });
    const { json } = inspected(folder);
    const [, { fields }, { fields: sums }] = json.parts;
    expect(fields).toContainEqual({ name: 'sliding_window', value: 16, from: 'file' });
    expect(JSON.stringify(sums)).toContain('1 of 1 layers');
  });

  it('of an independent draft model are those of the model', () => {
    const { json } = inspected(independentFolder());
    expect(json.parts.map(({ title }: { title: string }) => title)).toEqual([
      'fields of the model',
      'which come to',
    ]);
    const names = json.parts[0].fields.map(({ name }: { name: string }) => name);
    expect(names).toContain('hidden_size');
    expect(names).not.toContain('speculators_config');
  });

  it.each([
    [
      'an activation of another kind',
      (config: Config) => {
        config.transformer_layer_config['hidden_act'] = 'gelu';
      },
      'transformer_layer_config: hidden_act: expected "silu", got "gelu"',
      ['fields of eagle3', 'fields of its layers'],
    ],
    [
      'layers of a class that is not known',
      (config: Config) => {
        config.transformer_layer_config['model_type'] = 'gemma3_text';
      },
      'transformer_layer_config.model_type: expected llama, mistral, qwen2 or qwen3, got "gemma3_text"',
      ['fields of eagle3', 'fields of its layers'],
    ],
    [
      'no layers at all',
      (config: Partial<Config>) => {
        delete config.transformer_layer_config;
      },
      'transformer_layer_config: expected the configuration of the decoder layers, got none',
      ['fields of eagle3'],
    ],
    [
      'a width of another type',
      (config: Config) => {
        config.transformer_layer_config['hidden_size'] = 'wide';
      },
      'hidden_size',
      ['fields of eagle3', 'fields of its layers'],
    ],
    [
      'an algorithm of another project',
      (config: Config) => {
        config['speculators_model_type'] = 'hydra';
      },
      'speculators_model_type: expected eagle, eagle3, peagle, mtp, dflash, dspark, mlp, medusa, independent, got hydra',
      ['fields of hydra', 'fields of its layers', 'which come to'],
    ],
    [
      'two norms in one place',
      (config: Config) => {
        Object.assign(config, { norm_before_fc: true, fc_norm: true });
      },
      'expected norm_before_fc or fc_norm, got both',
      ['fields of eagle3', 'fields of its layers', 'which come to'],
    ],
  ])('are shown with %s, which does not run', (_, change, message, titles) => {
    const { json, stdout } = inspected(headWith(change as (config: Config) => void));
    expect(json.parts.map(({ title }: { title: string }) => title)).toEqual(titles);
    expect(json.notes.join('\n')).toContain('it does not run here: ');
    expect(json.notes.join('\n')).toContain(message);
    expect(json.tensors).toHaveLength(16);
    expect(stdout).toMatch(/ draft_vocab_size +file +40\n/);
    expect(stdout).toMatch(/ fc\.weight +F32 +\[32, 96\] +12288\n/);
  });
});
