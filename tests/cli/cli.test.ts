// The built command line, as a user starts it.
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { writeSafetensors } from '../../src/tensor/safetensors.ts';
import { byteLevelFiles } from '../models/tokenizers.ts';
import { IBM, makeHead } from '../speculate/speculators/mlp-head.ts';
import { tensorsOf } from '../speculate/speculators/research.ts';
import { foretoken, golden, independentFolder, target } from './command.ts';

const tinyFolder = golden('tiny-random-llama');

describe('foretoken', () => {
  it('prints its help', () => {
    const { status, stdout } = foretoken(['--help']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^foretoken: Llama-family models/);
    for (const option of [
      '--prompt',
      '--drafter',
      '--verifier',
      '--backend',
      '--seed',
      '--branching',
    ])
      expect(stdout).toContain(option);
  });

  it('compares plain and speculative decoding and checks the tokens', () => {
    const { status, stdout, stderr } = foretoken(['--max-tokens', '24', '--draft-length', '2']);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(stdout.match(/Once upon a time, there was a little girl named Lily\./g)).toHaveLength(2);
    for (const row of [
      'tokens/s',
      'ratio',
      'target forwards per token',
      'mean accepted length',
      'accepted at position 1',
    ])
      expect(stdout).toContain(row);
    expect(stdout).toMatch(/drafted [\d.]+ tokens a round on average as asked: \d+ % accepted/);
    expect(stdout).toMatch(/same tokens: yes\n$/);
  });

  it('inflates the embedded target, says so, and tells the story of the target as it is', () => {
    const line =
      /^embedded target \(3\.4M parameters\) inflated to 98\.9M: the same function .*; --no-inflate runs it as it is\n/;
    const common = ['--max-tokens', '12'];
    expect(foretoken(common).stdout).toMatch(line);
    expect(foretoken([...common, '--no-inflate']).stdout).toMatch(/^plain decoding\n/);
    expect(foretoken([...common, '--backend', 'cpu']).stdout).toMatch(/^plain decoding\n/);
    const json = (...args: string[]) =>
      JSON.parse(foretoken([...common, '--json', ...args]).stdout);
    const own = json('--no-inflate');
    const large = json('--inflate', '0.02B');
    expect(own.inflation).toBe(null);
    expect(large.inflation).toMatchObject({ from: 3_426_560, factors: { width: 2 } });
    expect(large.report.notes.join()).toContain('inflated from 3426560 to');
    expect(large.plain.tokens).toEqual(own.plain.tokens);
    expect(large.sameTokens).toBe(true);
  });

  it('drafts as far as it pays by default, and says so', () => {
    const { status, stdout } = foretoken(['--max-tokens', '24']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/\n(drafted|decoded) [^\n]+\n\nsame tokens: yes\n$/);
    const json = ['--max-tokens', '8', '--json'];
    const length = (...args: string[]) =>
      JSON.parse(foretoken([...json, ...args]).stdout).speculative.stats.drafting.draftLength;
    expect(length()).toBe('auto');
    expect(length('--draft-length', 'auto')).toBe('auto');
    expect(length('--draft-length', '3')).toBe(3);
  });

  it.each([
    ['ngram', 'match', 'cpu'],
    ['ngram --branching 3', 'match', 'cpu'],
    ['suffix', 'match', 'cpu'],
    ['suffix --branching best', 'match', 'cpu'],
    ['tree', 'match', 'cpu'],
    ['model', 'match', 'gpu-webasm'],
  ])(
    'samples the same tokens with drafter %s and verifier %s on %s',
    (drafter, verifier, backend) => {
      const args = [
        '--drafter',
        ...drafter.split(' '),
        '--verifier',
        verifier,
        '--backend',
        backend,
      ];
      const sampling = [
        '--temperature',
        '0.8',
        '--seed',
        '3',
        '--top-k',
        '40',
        '--max-tokens',
        '16',
        '--json',
      ];
      const { status, stdout, stderr } = foretoken([...args, ...sampling]);
      expect(stderr).toBe('');
      expect(status).toBe(0);
      const result = JSON.parse(stdout);
      expect(result.sameTokens).toBe(true);
      expect(result.guarantee).toBe('seed-exact');
      expect(result.plain.tokens).toHaveLength(16);
    },
  );

  it.each(['3', '0,1,3'])('drafts with the layers %s of the target itself', (layers) => {
    const args = ['--drafter', 'layer-skip', '--draft-layers', layers, '--draft-length', '2'];
    const { status, stdout } = foretoken([...args, '--max-tokens', '12', '--no-inflate', '--json']);
    expect(status).toBe(0);
    const { sameTokens, speculative } = JSON.parse(stdout);
    expect(sameTokens).toBe(true);
    expect(speculative.stats.draftedTokens).toBeGreaterThan(0);
  });

  it('drafts from a prediction in a file', () => {
    const folder = mkdtempSync(join(tmpdir(), 'foretoken-prediction-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const file = join(folder, 'prediction.txt');
    writeFileSync(file, ', there was a little girl named Lily.');
    const args = ['--drafter', 'prediction', '--prediction', file, '--draft-length', '4'];
    const { status, stdout } = foretoken([...args, '--max-tokens', '12', '--no-inflate', '--json']);
    expect(status).toBe(0);
    const { sameTokens, speculative } = JSON.parse(stdout);
    expect(sameTokens).toBe(true);
    expect(speculative.stats.acceptedTokens).toBeGreaterThan(6);
  });

  it('drafts with a model of another tokenizer, and says so in one line', () => {
    const folder = mkdtempSync(join(tmpdir(), 'foretoken-words-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    cpSync(tinyFolder, folder, { recursive: true });
    const write = (tokens: readonly string[]) =>
      writeFileSync(
        join(folder, 'tokenizer.json'),
        JSON.stringify(byteLevelFiles(tokens).tokenizerJson),
      );
    write(['a', 'e', ',', 'Ġa', 'Ġlittle', 'Ġno-such-word']);
    const args = ['--draft', folder, '--no-inflate', '--draft-length', '2', '--max-tokens', '12'];
    const compared = foretoken(args);
    const note =
      "note: the draft model has another vocabulary: it drafts the 5 of its 64 tokens that are among the target's 2048";
    expect(compared.stderr).toBe('');
    expect(compared.stdout.startsWith(`${note}\n`)).toBe(true);
    expect(compared.stdout).toMatch(/same tokens: yes\n$/);
    const generated = foretoken([
      'generate',
      '--drafter',
      'model',
      ...args.filter((arg) => arg !== '--no-inflate'),
    ]);
    expect(generated.stderr).toBe(`${note}\n`);
    expect(generated.stdout).toMatch(/^, there was/);
    write(['Ġno-such-word']);
    const refused = foretoken(args);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/expected tokens that the draft model and the target both have/);
  });

  it('drafts with an independent speculator as with the model in it', () => {
    const args = ['--draft-length', '2', '--max-tokens', '12', '--no-inflate', '--json'];
    const { status, stdout, stderr } = foretoken(['--draft', independentFolder(), ...args]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const { sameTokens, notes, speculative } = JSON.parse(stdout);
    expect({ sameTokens, notes }).toEqual({
      sameTokens: true,
      notes: [
        'drafts by greedy, the default method of its config: at most 4 tokens a round',
        'greedy: --draft-length 2 instead of 4',
      ],
    });
    const plain = JSON.parse(foretoken(args).stdout).speculative;
    expect(speculative.stats.acceptedByPosition).toEqual(plain.stats.acceptedByPosition);
    expect(speculative.stats.acceptedTokens).toBeGreaterThan(3);
  });

  it('does not ask for the same tokens where the verifier promises the same law', () => {
    const { status, stdout } = foretoken([
      '--verifier',
      'rejection',
      '--temperature',
      '1',
      '--seed',
      '3',
      '--max-tokens',
      '40',
    ]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/same tokens: (yes|no \(rejection promises the same law\))\n$/);
  });

  it('generates from standard input and keeps standard output to the text', () => {
    const { status, stdout, stderr } = foretoken(
      ['generate', '--prompt', '-', '--max-tokens', '8', '--stats'],
      'Once upon a time',
    );
    expect(status).toBe(0);
    expect(stdout).toBe(', there was a little girl named Lily\n');
    expect(stderr).toContain('5 prompt and 8 new tokens, ended by length');
  });

  describe('quantize', () => {
    const folder = mkdtempSync(join(tmpdir(), 'foretoken-quantize-'));
    afterAll(() => rmSync(folder, { recursive: true, force: true }));
    const out = join(folder, 'target.gguf');
    const story = ['generate', '--max-tokens', '12'];

    it('writes a GGUF that tells what the folder tells in the same type', () => {
      const { status, stdout, stderr } = foretoken(['quantize', target, out, '--type', 'q8_0']);
      expect(stderr).toBe('');
      expect(status).toBe(0);
      expect(stdout).toMatch(
        /target\.gguf: 4\.37 MB, from 6\.85 MB of weights; tensors: 25 in q8_0, 9 in f32, 4 in bf16\n$/,
      );
      expect(readdirSync(folder)).toEqual(['target.gguf']);
      const fromFile = foretoken([...story, '--model', out, '--stats']);
      expect(fromFile.stderr).toMatch(/loaded in \d+ ms, first token \d+ ms after, then/);
      const fromFolder = foretoken([...story, '--model', target, '--dtype', 'q8_0']);
      expect(fromFile.stdout).toBe(fromFolder.stdout);
      expect(fromFile.stdout).toContain('there was a little girl');
    });

    it('overwrites only when forced, and leaves nothing unfinished', () => {
      const again = ['quantize', target, out, '--type', 'q4_0'];
      expect(foretoken(again)).toMatchObject({
        status: 2,
        stderr: expect.stringContaining('target.gguf exists; --force overwrites it'),
      });
      expect(foretoken([...again, '--force']).status).toBe(0);
      const broken = foretoken(['quantize', tinyFolder, join(folder, 'b.gguf'), '--type', 'f16']);
      expect(broken.status).toBe(1);
      expect(broken.stderr).toContain('tokenizer.json');
      expect(readdirSync(folder)).toEqual(['target.gguf']);
    });
  });

  describe('convert', () => {
    const folder = mkdtempSync(join(tmpdir(), 'foretoken-convert-'));
    afterAll(() => rmSync(folder, { recursive: true, force: true }));
    const out = join(folder, 'head');
    const heads = fileURLToPath(new URL('../golden/heads', import.meta.url));
    const verifier = fileURLToPath(new URL('../golden/tiny-random-llama-8l', import.meta.url));
    const from = ['convert', join(heads, 'eagle1-native'), '--verifier', verifier];

    it('says what it would write, writes it, and overwrites only when forced', () => {
      const dry = foretoken([...from, '--dry-run']);
      expect(dry).toMatchObject({ status: 0, stderr: '' });
      expect(dry.stdout).toContain('renamed fc.weight to fusion_fc.weight');
      expect(dry.stdout).toContain('left out embed_tokens.weight: the target has it');
      expect(readdirSync(folder)).toEqual([]);
      const written = foretoken([...from, '--output', out]);
      expect(written.stdout).toContain(`written to ${out}`);
      expect(readdirSync(out).toSorted()).toEqual(['config.json', 'model.safetensors']);
      expect(foretoken([...from, '--output', out])).toMatchObject({
        status: 2,
        stderr: expect.stringContaining('exists; --force writes into it'),
      });
      expect(foretoken([...from, '--output', out, '--force']).status).toBe(0);
    });

    it('needs a target, unless the head lies in it', () => {
      expect(foretoken(['convert', join(heads, 'eagle1-native'), '--dry-run'])).toMatchObject({
        status: 2,
        stderr: expect.stringContaining('--verifier: expected the target of'),
      });
      expect(foretoken([...from, '--dry-run', '--norm-before-residual'])).toMatchObject({
        status: 2,
        stderr: expect.stringContaining(
          '--norm-before-residual: expected none of the layout eagle',
        ),
      });
    });

    it('says of every tensor what becomes of it, and of a guess that it is one', () => {
      const dry = foretoken([
        ...['convert', join(heads, 'eagle3-native'), '--verifier', verifier, '--dry-run'],
      ]);
      expect(dry.stdout).toContain('kept fc.weight\n');
      expect(dry.stdout).toContain('renamed midlayer.mlp.up_proj.weight to layers.0.mlp.up_proj');
      expect(dry.stdout).toContain('norm_before_residual is false: no file says which it is');
    });

    it('migrates a folder that is in the format already', () => {
      const old = join(heads, 'eagle3');
      const current = join(folder, 'current');
      const { status, stdout } = foretoken(['convert', old, '--output', current]);
      expect(status).toBe(0);
      expect(stdout).toContain('dtype: "float32" written out');
      const chosen = foretoken(['convert', old, '--norm-before-residual', '--dry-run']);
      expect(chosen.stdout).toContain('norm_before_residual: false becomes true');
      const again = foretoken(['convert', current, '--dry-run']);
      expect(again.stdout).toContain('config.json is current');
      expect(foretoken(['convert', old, '--algorithm', 'eagle3', '--dry-run'])).toMatchObject({
        status: 2,
        stderr: expect.stringContaining('--algorithm: expected with a research layout'),
      });
    });

    it('holds a folder that is in the format against a target', () => {
      const held = (head: string, other: string) =>
        foretoken(['convert', head, '--verifier', other, '--dry-run']);
      expect(held(join(heads, 'eagle3'), verifier)).toMatchObject({
        status: 0,
        stdout: expect.stringContaining(`note: it fits ${verifier}\n`),
      });
      expect(held(join(heads, 'eagle3'), target)).toMatchObject({
        status: 1,
        stdout: '',
        stderr: expect.stringContaining("vocab_size: expected the target's 2048, got 64"),
      });
      expect(held(independentFolder(), target)).toMatchObject({
        status: 2,
        stderr: expect.stringContaining('--verifier: expected with a head, got it with the indep'),
      });
    });

    it('takes a head of HASS for what it is', () => {
      const args = ['convert', join(heads, 'hass-native'), '--verifier', verifier, '--dry-run'];
      const { status, stdout } = foretoken([...args, '--algorithm', 'hass']);
      expect(status).toBe(0);
      expect(stdout).toBe(foretoken([...args, '--algorithm', 'eagle']).stdout);
      expect(stdout).toMatch(/hass-native: eagle, 10 tensors/);
      expect(foretoken([...args, '--algorithm', 'has']).stderr).toContain(
        '--algorithm: expected one of peagle, eagle3, dflash, eagle, mtp, mlp, medusa, hass, got "has"',
      );
    });

    it('puts a layer for multi-token prediction back into its target', () => {
      const shapes = {
        'mtp.fc.weight': [32, 64],
        'mtp.norm.weight': [32],
        'mtp.pre_fc_norm_embedding.weight': [32],
        'mtp.pre_fc_norm_hidden.weight': [32],
        'mtp.layers.0.input_layernorm.weight': [32],
        'mtp.layers.0.post_attention_layernorm.weight': [32],
        'mtp.layers.0.self_attn.q_proj.weight': [32, 32],
        'mtp.layers.0.self_attn.k_proj.weight': [16, 32],
        'mtp.layers.0.self_attn.v_proj.weight': [16, 32],
        'mtp.layers.0.self_attn.o_proj.weight': [32, 32],
        'mtp.layers.0.mlp.gate_proj.weight': [56, 32],
        'mtp.layers.0.mlp.up_proj.weight': [56, 32],
        'mtp.layers.0.mlp.down_proj.weight': [32, 56],
      };
      const model = join(folder, 'model');
      mkdirSync(model);
      writeFileSync(join(model, 'config.json'), readFileSync(join(verifier, 'config.json')));
      const bytes = writeSafetensors(tensorsOf({ 'model.norm.weight': [32], ...shapes }, 1));
      writeFileSync(join(model, 'model.safetensors'), bytes);
      const head = join(folder, 'mtp');
      const made = foretoken(['convert', model, '--output', head]);
      expect(made).toMatchObject({ status: 0, stderr: '' });
      expect(made.stdout).toContain('renamed mtp.fc.weight to mtp_layers.0.input_proj.weight');
      const stitch = ['convert', head, '--stitch', '--output', join(folder, 'tuned')];
      expect(foretoken(stitch).stderr).toContain('--verifier: expected the folder of the target');
      mkdirSync(join(model, 'original'));
      const done = foretoken([...stitch, '--verifier', model]);
      expect(done.stdout).toContain(`not copied: the folder original of ${model}`);
      expect(done).toMatchObject({ status: 0, stderr: '' });
      expect(done.stdout).toContain('replaced mtp.fc.weight in model.safetensors');
      expect(readFileSync(join(folder, 'tuned', 'model.safetensors')).equals(bytes)).toBe(true);
    });

    it('fails with the names of tensors that have no place', () => {
      const forced = foretoken([...from, '--dry-run', '--algorithm', 'dflash']);
      expect(forced.status).toBe(1);
      expect(forced.stderr).toContain('expected tensors that the format has a place for, got');
    });
  });

  it('examines a draft model, and says by its status whether there is an error', () => {
    const draft = fileURLToPath(new URL('../../models/draft', import.meta.url));
    const args = ['doctor', target, draft, '--prompt', 'Once upon a time'];
    const fine = foretoken(args);
    expect(fine).toMatchObject({ status: 0, stderr: '' });
    expect(fine.stdout).toContain(`${draft}, a draft model of type llama, for ${target}\n`);
    expect(fine.stdout).toContain('fine     vocabulary: all 2048 ids are the same token in both\n');
    expect(fine.stdout).toMatch(
      /fine {5}acceptance: \d+ % of the first drafted tokens, \d\.\d+ of 4/,
    );
    const json = JSON.parse(foretoken([...args, '--json', '--draft-length', '2']).stdout);
    expect(json).toMatchObject({ target, draft, kind: 'draft model of type llama', fits: [] });
    expect(json.acceptance.draftedByPosition).toHaveLength(2);

    const folder = mkdtempSync(join(tmpdir(), 'foretoken-doctor-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    cpSync(tinyFolder, folder, { recursive: true });
    const { tokenizerJson } = byteLevelFiles(['Ġno-such-word']);
    writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizerJson));
    const broken = foretoken(['doctor', target, folder]);
    expect(broken.status).toBe(1);
    expect(broken.stdout).toMatch(
      /\n\nerror {4}vocabulary: .* no token of text is in both\nerror {4}loading: /,
    );
    expect(foretoken(['doctor', target]).stderr).toContain('doctor: expected TARGET and DRAFT');
  });

  it('examines by the files alone where the target has no tokenizer', () => {
    const [silent, head] = [golden('tiny-random-llama-8l'), golden('heads/eagle3')];
    const { status, stdout, stderr } = foretoken(['doctor', silent, head]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain(
      `because the target has no tokenizer that can be read (${silent}: expected a file tokenizer.json, got none)\n`,
    );
    expect(stdout).toContain('fine     loading: it loads for this target');
  });

  it('says what a folder holds: a model, a GGUF file, a speculator', async () => {
    const model = foretoken(['inspect', target]);
    expect(model).toMatchObject({ status: 0, stderr: '' });
    expect(model.stdout).toContain('model of type llama');
    expect(model.stdout).toMatch(/38 tensors, 6853120 bytes: 38 in BF16/);
    expect(model.stdout).toMatch(/model\.embed_tokens\.weight +BF16 +\[2048, 256\] +1048576/);
    const head = fileURLToPath(new URL('../golden/heads/eagle3', import.meta.url));
    const { kind, tensors, config, parts } = JSON.parse(
      foretoken(['inspect', head, '--json']).stdout,
    );
    expect(kind).toBe('speculator of algorithm eagle3, version 0.8.0');
    expect(tensors).toContainEqual({ name: 'd2t', type: 'I64', shape: [40], bytes: 320 });
    expect(config).toMatchObject({ default: 'greedy' });
    expect(parts[0].fields).toContainEqual({
      name: 'norm_before_residual',
      value: false,
      from: 'file',
    });
    const gated = fileURLToPath(new URL('../golden/heads/mtp-qwen3-next', import.meta.url));
    const { stdout: experts } = foretoken(['inspect', gated]);
    expect(experts).toMatch(/columns that turn +4\n +experts +\{"experts":4,"count":2,/);
    expect(experts).toMatch(/mlp\.experts\.gate_up_proj +BF16 +\[4, 16, 32\] +4096/);
    const latent = fileURLToPath(new URL('../golden/heads/mtp-deepseek-v3', import.meta.url));
    expect(foretoken(['inspect', latent]).stdout).toMatch(
      /latent attention +\{"rank":10,"queryRank":12,/,
    );
    const independent = foretoken(['inspect', independentFolder()]);
    expect(independent).toMatchObject({ status: 0, stderr: '' });
    expect(independent.stdout).toContain('speculator of algorithm independent, version 0.1.0');
    expect(independent.stdout).toMatch(/fields of the model\n(.*\n)* {2}model_type +file +llama\n/);
    const folder = mkdtempSync(join(tmpdir(), 'head-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const source = makeHead(IBM);
    for (const name of ['config.json', 'model.safetensors'])
      writeFileSync(join(folder, name), await source.read(name, 0, await source.size(name)));
    const { stdout } = foretoken(['inspect', folder]);
    expect(stdout).toContain('speculator of algorithm mlp');
    expect(stdout).toMatch(/fields of mlp\n(.*\n)* {2}scale_input +file +true\n/);
    expect(stdout).not.toContain('fields of its layers');
    const gguf = fileURLToPath(new URL('../golden/gguf/mixed.gguf', import.meta.url));
    expect(foretoken(['inspect', gguf]).stdout).toContain('Q4_K');
    expect(foretoken(['inspect', '/nowhere'])).toMatchObject({ status: 1 });
    expect(foretoken(['inspect']).stderr).toContain('inspect: expected PATH');
  });

  it('says how vLLM serves a speculator', () => {
    const head = fileURLToPath(new URL('../golden/heads/eagle3', import.meta.url));
    const asked = ['export-vllm', head, '--verifier', 'org/target', '--draft-length', '3'];
    const { status, stdout, stderr } = foretoken(asked);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const { command, speculativeConfig } = JSON.parse(foretoken([...asked, '--json']).stdout);
    expect(command).toMatch(/^vllm serve org\/target --speculative-config '\{.*\}'$/);
    expect(speculativeConfig).toEqual({ method: 'eagle3', model: head, num_speculative_tokens: 3 });
    expect(stdout).toContain(`${command}\n\nspeculative_config = {\n`);
    expect(foretoken(['export-vllm'])).toMatchObject({ status: 2 });
    expect(foretoken(['export-vllm', join(head, '../eagle1')]).stderr).toContain('exportResearch');
  });

  it('explains a forward', () => {
    const { status, stdout } = foretoken(['explain', '--rows', '4']);
    expect(status).toBe(0);
    for (const word of ['linear', 'attention', 'rmsNorm', 'share']) expect(stdout).toContain(word);
    const steps = JSON.parse(foretoken(['explain', '--json']).stdout).steps;
    expect(steps.length).toBeGreaterThan(40);
  });

  it.each([
    [['--temperatur', '1'], 2, "Unknown option '--temperatur'"],
    [
      ['tell'],
      2,
      'expected one of compare, generate, explain, quantize, convert, inspect, export-vllm, doctor, got "tell"',
    ],
    [
      ['generate', 'a'],
      2,
      'expected one of compare, generate, explain, quantize, convert, inspect, export-vllm, doctor, got "generate a"',
    ],
    [['quantize', 'a'], 2, 'quantize: expected IN and OUT, got "a"'],
    [['convert'], 2, 'convert: expected MODEL, got ""'],
    [['convert', 'a'], 2, '--output: expected a folder to write, got none'],
    [['convert', 'a', '--output', ''], 2, '--output: expected a folder to write, got ""'],
    [['convert', 'a', '--dry-run'], 1, 'a: expected a folder, got nothing'],
    [['inspect', 'a', '--stitch'], 2, '--stitch: expected with convert, got it with inspect'],
    [['convert', 'a', '--seed', '1'], 2, '--seed: expected with compare or generate'],
    [
      ['quantize', 'a', 'b.gguf'],
      2,
      '--type: expected one of q8_0, q4_0, f16, bf16, f32, got none',
    ],
    [['quantize', 'a', 'b.gguf', '--type', 'q4_k'], 2, '--type: expected one of'],
    [['quantize', 'a', 'b', '--type', 'q4_0'], 2, 'OUT: expected a path that ends in .gguf, got b'],
    [['quantize', 'a', 'b.gguf', '--seed', '1'], 2, '--seed: expected with compare or generate'],
    [['quantize', 'a', 'b.gguf', '--inflate', '1e8'], 2, '--inflate: expected with'],
    [
      ['generate', '--force'],
      2,
      '--force: expected with quantize or convert, got it with generate',
    ],
    [
      ['generate', '--json'],
      2,
      '--json: expected with compare or explain or inspect or export-vllm or doctor, got it with generate',
    ],
    [['--rows', '3'], 2, '--rows: expected with explain, got it with compare'],
    [
      ['--branching', '2'],
      2,
      '--branching: expected --drafter tree, ngram or suffix with it, got model',
    ],
    [
      ['--drafter', 'suffix', '--branching', '3,2'],
      2,
      '--branching: expected best with --drafter suffix, got "3,2"',
    ],
    [
      ['--drafter', 'ngram', '--branching', 'best'],
      2,
      '--branching: expected a whole number like 3 with --drafter ngram, got "best"',
    ],
    [['--drafter', 'ngram', '--branching', '0'], 1, 'branches'],
    [
      ['--drafter', 'guess'],
      2,
      '--drafter: expected one of model, tree, ngram, suffix, prediction, layer-skip, none, got "guess"',
    ],
    [['--inflate', '1e8', '--no-inflate'], 2, '--inflate: expected it or --no-inflate, got both'],
    [['--inflate', 'big'], 2, '--inflate: expected a number like 400M or 1e8, got "big"'],
    [['--inflate', '1M'], 1, 'expected at least the 3426560 the model has, got 1000000'],
    [['explain', '--no-inflate'], 2, '--no-inflate: expected with compare, got it with explain'],
    [['--seed', 'x'], 2, '--seed: expected a number, got "x"'],
    [['--draft-length', 'some'], 2, '--draft-length: expected a number, got "some"'],
    [['--top-p', '2'], 1, 'topP'],
    [['--verifier', 'greedy', '--temperature', '1'], 1, 'expected temperature 0'],
    [['--model', 'nowhere'], 1, 'nowhere'],
    [['--model', tinyFolder], 1, 'tokenizer.json'],
    [['generate', '--drafter', 'ngram', '--draft', 'x'], 2, '--draft'],
    [
      ['--drafter', 'prediction'],
      2,
      '--prediction: expected a file exactly with --drafter prediction, got prediction and no file',
    ],
    [
      ['generate', '--prediction', 'x'],
      2,
      '--prediction: expected a file exactly with --drafter prediction, got none and x',
    ],
    [
      ['--drafter', 'layer-skip'],
      2,
      '--draft-layers: expected layers exactly with --drafter layer-skip, got layer-skip and none',
    ],
    [
      ['generate', '--draft-layers', '2'],
      2,
      '--draft-layers: expected layers exactly with --drafter layer-skip, got none and 2',
    ],
    [
      ['--drafter', 'layer-skip', '--draft-layers', '0,x'],
      2,
      '--draft-layers: expected a number like 4 or a list like 0,2,5, got "0,x"',
    ],
    [
      ['--drafter', 'layer-skip', '--draft-layers', '99', '--no-inflate'],
      1,
      'layerSkip: layers: expected at most',
    ],
    [['--drafter', 'prediction', '--prediction', 'nowhere.txt'], 2, 'nowhere.txt'],
  ] as const)('refuses %j with status %i', (args, expectedStatus, message) => {
    const { status, stderr, stdout } = foretoken(args);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('    at ');
    expect(status).toBe(expectedStatus);
    expect(stdout).toBe('');
  });
});
