// `foretoken convert --back`: what was converted comes back, byte by byte, with what heads repeat of their target.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exportResearch } from '../../src/speculate/speculators/convert.ts';
import { type TensorData, writeSafetensors } from '../../src/tensor/safetensors.ts';
import { DFLASH, TARGET, tensorsOf } from '../speculate/speculators/research.ts';
import { foretoken, golden, temporary } from './command.ts';

const [C, F, V, INNER] = [32, 48, 64, 24];

/** A folder with a head of a project. */
function folderOf(config: object, tensors: readonly TensorData[]): string {
  const folder = temporary();
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  writeFileSync(join(folder, 'model.safetensors'), writeSafetensors(tensors, { format: 'pt' }));
  return folder;
}
const layer = (at: string) => ({
  [`${at}.input_layernorm.weight`]: [C],
  [`${at}.mlp.down_proj.weight`]: [C, F],
  [`${at}.mlp.gate_proj.weight`]: [F, C],
  [`${at}.mlp.up_proj.weight`]: [F, C],
  [`${at}.post_attention_layernorm.weight`]: [C],
  [`${at}.self_attn.k_norm.weight`]: [8],
  [`${at}.self_attn.k_proj.weight`]: [16, C],
  [`${at}.self_attn.o_proj.weight`]: [C, 32],
  [`${at}.self_attn.q_norm.weight`]: [8],
  [`${at}.self_attn.q_proj.weight`]: [32, C],
  [`${at}.self_attn.v_proj.weight`]: [16, C],
});
const dflash = () =>
  folderOf(
    { ...DFLASH, num_hidden_layers: 1 },
    tensorsOf(
      {
        'fc.weight': [C, 3 * C],
        'hidden_norm.weight': [C],
        ...layer('layers.0'),
        'norm.weight': [C],
      },
      1,
    ),
  );
const mlp = () =>
  folderOf(
    {
      model_type: 'mlp_speculator',
      vocab_size: V,
      emb_dim: C,
      inner_dim: INNER,
      n_predict: 1,
      top_k_tokens_per_head: [4],
    },
    tensorsOf(
      {
        'speculator.emb.0.weight': [V, INNER],
        'speculator.head.0.weight': [V, INNER],
        'speculator.ln.0.bias': [INNER],
        'speculator.ln.0.weight': [INNER],
        'speculator.proj.0.weight': [INNER, C],
      },
      2,
    ),
  );
const medusa = () =>
  folderOf(
    { base_model_name_or_path: 'a/model', medusa_num_heads: 1, medusa_num_layers: 1 },
    tensorsOf({ '0.0.linear.bias': [C], '0.0.linear.weight': [C, C], '0.1.weight': [V, C] }, 3),
  );
const native = (name: string) => () => golden(`heads/${name}-native`);

const json = (folder: string) => JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
const weights = (folder: string) => readFileSync(join(folder, 'model.safetensors'));

/** Runs `convert` and returns what it says. */
function convert(...args: readonly string[]): string {
  const { status, stdout, stderr } = foretoken(['convert', ...args]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
}

/** The head in the format. */
function converted(head: string): string {
  const made = join(temporary(), 'made');
  convert(head, '--verifier', TARGET, '--output', made);
  return made;
}

describe('convert --back', () => {
  it.each([
    ['eagle1', native('eagle1'), ['--verifier', TARGET]],
    ['hass', native('hass'), ['--verifier', TARGET]],
    ['eagle3', native('eagle3'), []],
    ['dflash', dflash, []],
    ['mlp', mlp, []],
    ['medusa', medusa, []],
  ] as const)('gives the bytes and the config of %s again', async (_, source, verifier) => {
    const head = source();
    const made = converted(head);
    const back = join(temporary(), 'back');
    const said = convert(made, '--back', ...verifier, '--output', back);
    expect(said).not.toContain('note:');
    expect(said).toContain(`written to ${back}`);
    expect(json(back)).toEqual(json(head));
    expect(weights(back).equals(weights(head))).toBe(true);
    // The same in a program, by paths.
    const conversion = await exportResearch(made, verifier[1] ? { verifier: verifier[1] } : {});
    const files = await conversion.files();
    expect(weights(head).equals(files['model.safetensors'] as Uint8Array)).toBe(true);
  });

  it('says what it takes from the target, and what is missing without one', () => {
    const made = converted(golden('heads/eagle1-native'));
    const without = convert(made, '--back', '--dry-run');
    expect(without).toContain('renamed fusion_fc.weight to fc.weight\n');
    expect(without).toContain(
      'note: embed_tokens.weight does not come back; it was left out: the target has it\n',
    );
    const filled = convert(made, '--back', '--verifier', TARGET, '--dry-run');
    expect(filled).toContain(`${made}: the layout eagle, 10 tensors, 50304 bytes\n`);
    expect(filled).toContain(
      `filled in embed_tokens.weight: model.embed_tokens.weight of ${TARGET}\n`,
    );
    const head = converted(golden('heads/eagle3-native'));
    expect(convert(head, '--back', '--verifier', TARGET, '--dry-run')).toContain(
      `note: nothing was filled in from ${TARGET}: no tensor that it repeats is missing\n`,
    );
  });

  it('gives heads that were made in the format what heads of the project always have', () => {
    const back = join(temporary(), 'back');
    convert(golden('heads/eagle1'), '--back', '--verifier', TARGET, '--output', back);
    expect(weights(back).equals(weights(golden('heads/eagle1-native')))).toBe(true);
  });

  it('refuses a target of another shape, and says of one whose copy was not compared that it may differ', () => {
    const made = converted(golden('heads/eagle1-native'));
    const name = 'model.embed_tokens.weight';
    const narrow = folderOf({}, tensorsOf({ [name]: [V, C / 2] }, 4));
    expect(foretoken(['convert', made, '--back', '--verifier', narrow, '--dry-run'])).toMatchObject(
      {
        status: 1,
        stderr: `foretoken: ${narrow}: ${name}: expected the head's [64,32], got [64,16]\n`,
      },
    );
    const bare = folderOf(json(TARGET), tensorsOf({ 'model.norm.weight': [C] }, 5));
    expect(convert(made, '--back', '--verifier', bare, '--dry-run')).toContain(
      `note: embed_tokens.weight does not come back; it was left out: the target has it; ${bare} has none\n`,
    );
    // Converted beside a target without that tensor.
    const unseen = join(temporary(), 'unseen');
    convert(golden('heads/eagle1-native'), '--verifier', bare, '--output', unseen);
    expect(convert(unseen, '--back', '--verifier', TARGET, '--dry-run')).toContain(
      'note: embed_tokens.weight may have been another; it was left out: the format takes it from the target; the two were not compared\n',
    );
  });

  it('refuses what would have no effect, and a folder that is not in the format', () => {
    const made = converted(golden('heads/eagle3-native'));
    const refused = [
      ['--stitch', '--back: expected it or --stitch, got both'],
      ['--norm-before-residual', '--norm-before-residual: expected with a research layout'],
      ['--algorithm=eagle3', '--algorithm: expected with a research layout'],
    ] as const;
    for (const [option, message] of refused)
      expect(foretoken(['convert', made, '--back', '--dry-run', option])).toMatchObject({
        status: 2,
        stderr: expect.stringContaining(message),
      });
    const native = golden('heads/eagle3-native');
    expect(foretoken(['convert', native, '--back', '--dry-run'])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('expected a speculator, got a config without it'),
    });
    const existing = join(temporary(), 'there');
    mkdirSync(existing);
    expect(foretoken(['convert', made, '--back', '--output', existing]).stderr).toContain(
      'exists; --force writes into it',
    );
  });
});
