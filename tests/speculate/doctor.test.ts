// The doctor: heads that are broken on purpose, one fault each, vocabularies that differ, and readings of a trained head where its
// files lie beside the checkout.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { wasm } from '../../src/kernels/wasm/index.ts';
import { type LoadedModel, load } from '../../src/models/load.ts';
import { createTokenizer } from '../../src/models/tokenizer.ts';
import type { Patient } from '../../src/speculate/doctor/candidates.ts';
import { type Diagnosis, diagnose } from '../../src/speculate/doctor/diagnose.ts';
import { advantage, listen } from '../../src/speculate/doctor/listen.ts';
import { readingsOf } from '../../src/speculate/doctor/readings.ts';
import { examineWords } from '../../src/speculate/doctor/words.ts';
import { draftModel } from '../../src/speculate/drafters/model.ts';
import { logSoftmaxAt } from '../../src/speculate/sample.ts';
import { openCheckpoint, type TensorData, writeSafetensors } from '../../src/tensor/safetensors.ts';
import { memorySource, openFolder } from '../../src/tensor/source.ts';
import { loadTiny } from '../models/fixtures.ts';
import { byteFallbackJson, byteLevel, byteLevelFiles } from '../models/tokenizers.ts';
import { demo, logitsWithoutCache, spelled } from './fixtures.ts';
import { chances, normal } from './machines.ts';
import { makeHead } from './speculators/dflash-head.ts';

type Json = Record<string, unknown>;

/** Config and tensors of a folder, by name. */
async function filesOf(folder: string) {
  const source = await openFolder(folder);
  const config: Json = JSON.parse(await source.text('config.json'));
  const { tensors, readInto } = await openCheckpoint(source);
  const all: Record<string, TensorData> = {};
  for (const [name, { type, shape, from, to }] of tensors) {
    const data = new Uint8Array(to - from);
    await readInto(name, 0, data);
    all[name] = { name, dtype: type as Uppercase<string>, shape, data };
  }
  await source.close();
  return { config, tensors: all };
}

type Files = Awaited<ReturnType<typeof filesOf>>;

const sourceOf = ({ config, tensors }: Files) =>
  memorySource(
    {
      'config.json': JSON.stringify(config),
      'model.safetensors': writeSafetensors(Object.values(tensors)),
    },
    'head',
  );

/** The same tensor with other numbers. */
const filled = (tensor: TensorData, number: (index: number) => number): TensorData => {
  const length = tensor.shape.reduce((product, size) => product * size, 1);
  const values = Float32Array.from({ length }, (_, index) => number(index));
  return { ...tensor, data: new Uint8Array(values.buffer) };
};

const linesOf = ({ findings }: Pick<Diagnosis, 'findings'>) =>
  findings.map(({ gravity, subject, message }) => `${gravity} ${subject}: ${message}`);

describe('the files of a head', () => {
  const golden = fileURLToPath(new URL('../golden/heads/', import.meta.url));
  let target: Patient;
  let files: Files;
  beforeAll(async () => {
    const backend = wasm({ threads: 1 });
    const model = await loadTiny('llama-8l', { backend, contextLength: 96 });
    target = { model, tokenizer: spelled };
    files = await filesOf(`${golden}eagle3`);
  });
  afterAll(() => target.model.dispose());

  const examined = async (changes: Partial<Files>, prompts = [[1, 5, 9, 5]]) =>
    diagnose(target, sourceOf({ ...files, ...changes }), { prompts, maxTokens: 6 });
  const withTensor = (name: string, tensor: TensorData) => ({
    tensors: { ...files.tensors, [name]: tensor },
  });

  it('are fine where nothing is wrong with them', async () => {
    const lines = linesOf(await examined({}));
    expect(lines).toContain('fine d2t: names the 40 tokens of t2d by offsets');
    expect(lines).toContain(
      'fine weights: 14 tensors of finite numbers, none as it was before training',
    );
    expect(lines).toContain('fine target: made for LlamaForCausalLM, as the target is');
    expect(lines.filter((line) => /^error (?!acceptance)/.test(line))).toEqual([]);
  });

  it('have ids where offsets belong', async () => {
    const { d2t } = files.tensors;
    const offsets = new BigInt64Array((d2t.data as Uint8Array).slice().buffer);
    const ids = offsets.map((offset, token) => offset + BigInt(token));
    const data = new Uint8Array(ids.buffer);
    const found = await examined(withTensor('d2t', { ...d2t, data }));
    const lines = linesOf(found);
    expect(lines[0]).toBe(
      'error d2t: has the ids of the 40 tokens of t2d where offsets belong (target = draft + offset)',
    );
    expect(lines.some((line) => line.startsWith('error loading: head: expected d2t'))).toBe(true);
    expect(
      lines.some((line) => line.includes('it loads with') && line.includes('d2t as ids')),
    ).toBe(true);
    expect(found.fits.every(({ label }) => label.includes('d2t as ids'))).toBe(true);
    // Two by three, as for a head whose vocabulary is right.
    expect(found.fits).toHaveLength((await examined({})).fits.length);
  });

  it('have a d2t that t2d knows nothing of', async () => {
    const { t2d } = files.tensors;
    const mask = (t2d.data as Uint8Array).toReversed();
    const found = await examined(withTensor('t2d', { ...t2d, data: mask }));
    expect(linesOf(found)[0]).toBe('error d2t: names other tokens than t2d, as offsets and as ids');
    expect(found.fits.some(({ label }) => label === 'd2t as offsets, without t2d')).toBe(true);
  });

  it('have weights that are no numbers, which are not tried', async () => {
    const { 'fc.weight': fc } = files.tensors;
    const broken = filled(fc, (index) => (index % 100 === 7 ? Number.NaN : 0.5));
    const found = await examined(withTensor('fc.weight', broken));
    expect(linesOf(found)[0]).toBe(
      'error weights: fc.weight: 31 of 3072 numbers are NaN or infinite',
    );
    expect(found).toMatchObject({ fits: [], acceptance: null, outlook: null });
  });

  it('have a layer that nobody has trained', async () => {
    const chance = chances(5);
    const initial = Object.values(files.tensors).map((tensor) => {
      if (!tensor.name.startsWith('layers.0.')) return tensor;
      return filled(tensor, () => (tensor.shape.length === 1 ? 1 : 0.02 * normal(chance)));
    });
    const tensors = Object.fromEntries(initial.map((tensor) => [tensor.name, tensor]));
    expect(linesOf(await examined({ tensors }))).toContain(
      'error weights: layers.0: nobody has trained it: its 3 norms are all 1 and its 7 matrices look like draws from N(0, 0.02); a converter that lost the name of the layer leaves it so',
    );
    // One weight that has been trained is a layer that has.
    const name = 'layers.0.mlp.up_proj.weight';
    const partly = { ...tensors, [name]: files.tensors[name] };
    const lines = linesOf(await examined({ tensors: partly }));
    expect(
      lines.some((line) => /^warning weights: layers\.0\.\S+, .* not trained/.test(line)),
    ).toBe(true);
    expect(lines.some((line) => line.startsWith('error weights'))).toBe(false);
  });

  it('tell draws of the size in the config from those of another', async () => {
    const chance = chances(6);
    const { 'fc.weight': fc } = files.tensors;
    const of = async (size: number) => {
      const lines = linesOf(
        await examined(
          withTensor(
            'fc.weight',
            filled(fc, () => size * normal(chance)),
          ),
        ),
      );
      return lines.filter((line) => line.startsWith('warning weights'));
    };
    expect(await of(0.02)).toEqual([
      'warning weights: fc.weight: not trained, it seems: like draws from N(0, 0.02)',
    ]);
    expect(await of(0.025)).toEqual([]);
  });

  it('leave norm_before_residual open', async () => {
    const { norm_before_residual: _, ...config } = files.config;
    expect(linesOf(await examined({ config }))).toContain(
      'warning norm_before_residual: the config does not say: the format reads false, vLLM true',
    );
  });

  it('have names of the research layout', async () => {
    const tensors = Object.fromEntries(
      Object.values(files.tensors).map((tensor) => {
        const name = tensor.name.replace('layers.0.', 'midlayer.');
        return [name, { ...tensor, name }];
      }),
    );
    const lines = linesOf(await examined({ tensors }));
    expect(lines[0]).toContain('error tensors: 10 have the research name midlayer.*');
    expect(lines[1]).toMatch(/^error loading: head: expected the tensors of a eagle3 model, got/);
  });

  it('have other shapes than the config says, and another target', async () => {
    const config = { ...files.config, draft_vocab_size: 41 };
    const found = await examined({ config });
    expect(linesOf(found)[0]).toContain('lm_head.weight: expected shape [41, 32], got [40, 32]');
    expect(found).toMatchObject({ fits: [], acceptance: null });
    const common = files.config['speculators_config'] as Json;
    const verifier = { name_or_path: 'x', architectures: ['Qwen3ForCausalLM'] };
    const other = { ...files.config, speculators_config: { ...common, verifier } };
    expect(linesOf(await examined({ config: other }))).toContain(
      'warning target: made for Qwen3ForCausalLM, the target is LlamaForCausalLM',
    );
  });

  it('are those of algorithms that read one state, before or after the final norm', async () => {
    const eagle = await filesOf(`${golden}eagle1`);
    const { fits } = await diagnose(target, sourceOf(eagle), {
      prompts: [[1, 5, 9]],
      maxTokens: 6,
    });
    expect(fits.map(({ label }) => label).toSorted()).toEqual(['', 'states before the final norm']);
    const [a, b] = fits.map(({ likelihood }) => likelihood);
    expect(a).toBeGreaterThan(b);
  });

  it('are those of a block, which may begin at the anchor or after it', async () => {
    const { fits } = await diagnose(target, makeHead({ aux_hidden_state_layer_ids: [0, 8, 4] }), {
      prompts: [[1, 5, 9]],
      maxTokens: 6,
    });
    expect(fits.map(({ label }) => label).toSorted()).toEqual(['', 'sample_from_anchor true']);
    expect(fits[0].likelihood).not.toBe(fits[1].likelihood);
  });

  it('are examined the same way every time', async () => {
    const { outlook: _, ...first } = await examined({});
    const { outlook: __, ...second } = await examined({});
    const withoutTimes = ({ findings, ...rest }: typeof first) => ({
      ...rest,
      findings: findings.filter(({ subject }) => subject !== 'gain'),
    });
    expect(withoutTimes(second)).toEqual(withoutTimes(first));
  });

  it('say once what the config says twice', async () => {
    const common = { ...(files.config['speculators_config'] as Json), algorithm: 'eagle' };
    const config = { ...files.config, speculators_config: common };
    const notes = linesOf(await examined({ config })).filter((line) =>
      line.includes('which counts'),
    );
    expect(notes).toEqual([
      'warning config: speculators_config.algorithm is eagle, speculators_model_type is eagle3, which counts',
    ]);
  });

  it('are measured in the dtype asked for', async () => {
    const source = sourceOf(files);
    const prompts = [[1, 5, 9, 5]];
    const of = async (dtype: 'auto' | 'f32' | 'q4_0') =>
      (await diagnose(target, source, { prompts, maxTokens: 6, dtype })).fits;
    expect(await of('f32')).toEqual(await of('auto'));
    expect(await of('q4_0')).not.toEqual(await of('auto'));
  });

  it('are examined without a tokenizer of the target, and what is left out is said', async () => {
    const { model } = target;
    const silent: Patient = { model, tokenizer: null, tokenizerMissing: 'it was lost' };
    const found = await diagnose(silent, sourceOf(files));
    expect(linesOf(found)).toEqual([
      'warning acceptance: left out: what is accepted, in 6 readings, and what that gains are not measured, because the target has no tokenizer that can be read (it was lost)',
      'fine target: made for LlamaForCausalLM, as the target is',
      'fine d2t: names the 40 tokens of t2d by offsets',
      'fine weights: 14 tensors of finite numbers, none as it was before training',
      'fine loading: it loads for this target',
    ]);
    expect(found).toMatchObject({ fits: [], acceptance: null, outlook: null });
    const { 'fc.weight': _, ...tensors } = files.tensors;
    const lines = linesOf(
      await diagnose({ model, tokenizer: null }, sourceOf({ ...files, tensors })),
    );
    expect(lines[0]).toMatch(/^error loading: head: .*fc\.weight/s);
    expect(lines.some((line) => line.includes('it loads'))).toBe(false);
    // NaN is found, and then nothing is loaded.
    const broken = filled(files.tensors['fc.weight'], () => Number.NaN);
    const withNaN = sourceOf({ ...files, ...withTensor('fc.weight', broken) });
    const nan = linesOf(await diagnose({ model, tokenizer: null }, withNaN));
    expect(nan[0]).toMatch(/^error weights: fc\.weight: \d+ of \d+ numbers are NaN/);
    expect(nan.some((line) => line.includes('loading'))).toBe(false);
  });

  it('need prompts, and options that are some', async () => {
    await expect(examined({}, [])).rejects.toThrow(/diagnose: [\s\S]*prompts/);
    await expect(diagnose(target, golden)).rejects.toThrow('expected config.json');
  });
});

describe('the readings of a head', () => {
  const parts = { algorithm: 'eagle3', raw: {}, layers: 8, vocabularies: [] };
  const labelsOf = (given: Partial<Parameters<typeof readingsOf>[0]>) =>
    readingsOf({ ...parts, ...given }).map(({ label }) => label);

  it('are all combinations of what its files leave open, the files first', () => {
    expect(labelsOf({})).toEqual([
      '',
      'layers 1, 3, 4',
      'layers 3, 5, 6',
      'norm_before_residual true',
      'norm_before_residual true, layers 1, 3, 4',
      'norm_before_residual true, layers 3, 5, 6',
    ]);
    const reading = readingsOf({ ...parts, raw: { norm_before_residual: true } })[4];
    expect(reading.config).toEqual({
      norm_before_residual: false,
      eagle_aux_hidden_state_layer_ids: [1, 3, 4],
    });
    expect(labelsOf({ vocabularies: [{ label: 'x' }] })).toHaveLength(12);
  });

  it('stay within the layers of the target, and are one for what leaves nothing open', () => {
    const raw = { aux_hidden_state_layer_ids: [0, 8] };
    expect(labelsOf({ algorithm: 'dflash', raw })).toEqual(['', 'sample_from_anchor true']);
    const spark = { algorithm: 'dspark', raw };
    expect(labelsOf(spark)).toEqual(['', 'sample_from_anchor false']);
    expect(labelsOf({ ...spark, raw: { ...raw, sample_from_anchor: false } })).toEqual([
      '',
      'sample_from_anchor true',
    ]);
    expect(labelsOf({ algorithm: 'independent' })).toEqual(['']);
    expect(labelsOf({ algorithm: 'mtp' })).toEqual(['', 'states after the final norm']);
    const mlp = { algorithm: 'mlp', raw: {} };
    expect(labelsOf(mlp)).toEqual(['', 'inputs_hidden_states_normalized true']);
    expect(labelsOf({ ...mlp, raw: { inputs_hidden_states_normalized: true } })).toEqual([
      '',
      'inputs_hidden_states_normalized false',
    ]);
  });
});

describe('what a drafter knows of a text', () => {
  it('is what its own model says, at every place but the last', async () => {
    const { model, tokenizer } = await demo('target', { contextLength: 64 });
    const prompts = [tokenizer.encode('Once upon a time')];
    const options = { prompts, maxTokens: 8, draftLength: 3 };
    const drafter = draftModel(model);
    const heard = await listen({ model, tokenizer }, drafter, options);
    const text = [...prompts[0]];
    const expected: number[] = [];
    for (let place = 0; place < 7; place++) {
      const logits = await logitsWithoutCache(model, text);
      text.push(logits.indexOf(Math.max(...logits)));
      expected.push(logSoftmaxAt(logits, text.at(-1)!));
    }
    expect(heard.likelihoods.map((value) => Math.fround(value))).toEqual(
      expected.map((value) => Math.fround(value)),
    );
    expect(heard.accepted).toEqual([3, 3, 3, 3, 3]);
    drafter.dispose?.();
    model.dispose();
  });

  it('is compared place by place', () => {
    const heard = (likelihoods: readonly number[]) => ({ likelihoods, accepted: [] });
    const { nats, errors } = advantage(heard([-1, -2, -3, -4]), heard([-2, -2, -4, -6]));
    expect(nats).toBe(1);
    expect(errors).toBeCloseTo((1 / Math.sqrt(0.5)) * 2, 12);
    expect(advantage(heard([-1, -2]), heard([-1, -2]))).toEqual({ nats: 0, errors: 0 });
  });
});

describe('the vocabulary of a draft model', () => {
  const said = (...given: Parameters<typeof examineWords>) =>
    linesOf({ findings: examineWords(...given) });

  it('is fine where it is that of the target', () => {
    const tokenizer = byteLevel(['<s>', '</s>', 'a']);
    expect(said(tokenizer, tokenizer)).toEqual([
      'fine vocabulary: all 3 ids are the same token in both',
      'fine special tokens: the same in both',
      'fine chat template: neither has one',
    ]);
  });

  it('is told token by token, with what opens and ends a text', () => {
    const draft = byteLevel(['<s>', 'a', 'b'], { addsBos: true });
    const target = createTokenizer({
      tokenizerJson: byteFallbackJson(),
      tokenizerConfig: { eos_token: '</s>' },
    });
    expect(said(draft, target)).toEqual([
      'warning vocabulary: 263 of 263 ids are not the same token, the first 0: "<s>" and the target\'s "<unk>"; drafts are drawn from the 2 tokens that both have',
      'warning special tokens: only the target has "<unk>", "</s>"',
      'warning end token: the draft\'s tokenizer has none, the target\'s has "</s>"',
      'fine chat template: neither has one',
    ]);
    expect(said(byteLevel(['x']), byteLevel(['y']))[0]).toBe(
      'error vocabulary: 1 of 1 ids are not the same token, the first 0: "x" and the target\'s "y"; no token of text is in both',
    );
  });

  it('writes conversations in another way', () => {
    const of = (chatTemplate: string | undefined) =>
      createTokenizer({ ...byteLevelFiles(['a']), chatTemplate });
    const line = (draft: string | undefined, target: string | undefined) =>
      said(of(draft), of(target)).at(-1);
    expect(line('{{ 1 }}', '{{ 1 }}\n')).toBe('fine chat template: the same in both');
    expect(line('{{ 1 }}', '{{ 2 }}')).toMatch(/^warning chat template: they differ/);
    expect(line(undefined, '{{ 2 }}')).toMatch(/^warning chat template: only the target has one/);
    expect(line('{{ 1 }}', undefined)).toBe('fine chat template: only the draft has one');
  });

  it('is left out where one has no tokenizer, and then sizes have to agree', async () => {
    const backend = wasm({ threads: 1 });
    const model = await loadTiny('llama-8l', { backend, contextLength: 96 });
    const folder = fileURLToPath(new URL('../golden/tiny-random-llama', import.meta.url));
    const missing = 'expected a file tokenizer.json, got none';
    const prompts = [[1, 5, 9]];
    const measured = await diagnose({ model, tokenizer: spelled }, folder, {
      prompts,
      maxTokens: 6,
    });
    expect(linesOf(measured)).toContain(
      `warning vocabulary: left out: tokens, special tokens and chat templates are not compared, because the draft has no tokenizer that can be read (${folder}: ${missing}); equal ids are taken for the same token`,
    );
    expect(measured.acceptance?.drafts).toBeGreaterThan(0);
    const neither = linesOf(await diagnose({ model, tokenizer: null }, folder));
    expect(neither.filter((line) => line.startsWith('warning'))).toEqual([
      expect.stringContaining('and the target has no tokenizer that can be read; equal ids'),
      expect.stringContaining('acceptance: left out: what is accepted and what that gains'),
    ]);
    expect(neither).toContain('fine loading: it loads for this target');
    const other = fileURLToPath(new URL('../../models/draft', import.meta.url));
    expect(linesOf(await diagnose({ model, tokenizer: null }, other))[0]).toBe(
      `error loading: ${other}: vocab_size: expected the target's 64 where no tokenizers are compared, got 2048`,
    );
    model.dispose();
  });

  it('is read from the folder of a draft model, which is measured', async () => {
    const target = await demo('target', { contextLength: 128 });
    const folder = fileURLToPath(new URL('../../models/draft', import.meta.url));
    const found = await diagnose(target, folder, { prompts: ['Once upon a time'], maxTokens: 24 });
    expect(found.kind).toBe('draft model of type llama');
    expect(linesOf(found)).toContain('fine vocabulary: all 2048 ids are the same token in both');
    expect(linesOf(found).filter((line) => line.startsWith('error'))).toEqual([]);
    expect(found.acceptance!.mean).toBeGreaterThan(1);
    expect(found.outlook).toMatchObject({ levels: expect.any(Number) });
    expect(found.fits).toEqual([]);
    target.dispose();
  });
});

const shared = (name: string) =>
  fileURLToPath(new URL(`../../../shared/models/${name}`, import.meta.url));

describe.skipIf(!existsSync(shared('stories260K-eagle3')))('a trained head', () => {
  let target: LoadedModel;
  let files: Files;
  let prompts: string[];
  beforeAll(async () => {
    target = await load(shared('stories260K'));
    files = await filesOf(shared('stories260K-eagle3'));
    const { runs } = JSON.parse(
      readFileSync(`${shared('stories260K-eagle3')}/golden.json`, 'utf8'),
    );
    prompts = runs.map(({ prompt }: { prompt: string }) => prompt);
  });
  afterAll(() => target.dispose());

  const readingOf = async (config: Json, tensors = files.tensors) => {
    const source = sourceOf({ config: { ...files.config, ...config }, tensors });
    const { findings, fits } = await diagnose(target, source, { prompts, maxTokens: 64 });
    const finding = findings.find(({ subject }) => subject === 'reading')!;
    return { gravity: finding.gravity, message: finding.message, best: fits[0].label };
  };

  it('fits best as its files say, and nothing is made of chance', async () => {
    expect(await readingOf({})).toEqual({
      gravity: 'fine',
      message: 'none of 5 others fits better beyond chance',
      best: '',
    });
  }, 60_000);

  it.each<[string, Json, string]>([
    ['norm_before_residual', { norm_before_residual: true }, 'norm_before_residual false'],
    ['layers a layer late', { eagle_aux_hidden_state_layer_ids: [2, 3, 5] }, 'layers 1, 2, 4'],
    ['layers a layer early', { eagle_aux_hidden_state_layer_ids: [0, 1, 3] }, 'layers 1, 2, 4'],
    [
      'both',
      { norm_before_residual: true, eagle_aux_hidden_state_layer_ids: [2, 3, 5] },
      'norm_before_residual false, layers 1, 2, 4',
    ],
  ])(
    'is found out with a wrong config: %s',
    async (_, config, best) => {
      const found = await readingOf(config);
      expect(found).toMatchObject({ gravity: 'error', best });
      expect(found.message.startsWith(`${best} fits better, by`)).toBe(true);
    },
    60_000,
  );

  it('is found out with ids for offsets', async () => {
    const { d2t } = files.tensors;
    const offsets = new BigInt64Array((d2t.data as Uint8Array).slice().buffer);
    const ids = offsets.map((offset, token) => offset + BigInt(token));
    const data = new Uint8Array(ids.buffer);
    const found = await readingOf({}, { ...files.tensors, d2t: { ...d2t, data } });
    expect(found).toMatchObject({ gravity: 'error', best: 'd2t as ids' });
    expect(found.message).toMatch(/^it loads with d2t as ids, and 1\.\d+ tokens/);
  }, 60_000);
});
