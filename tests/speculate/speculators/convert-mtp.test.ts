// Layers for multi-token prediction out of the checkpoint of their target, and back into it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cpu } from '../../../src/kernels/cpu/index.ts';
import { convert } from '../../../src/kernels/dtype.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import { convertSpeculator, exportResearch } from '../../../src/speculate/speculators/convert.ts';
import {
  fuseExperts,
  separateExperts,
} from '../../../src/speculate/speculators/research/experts.ts';
import { stitchMtp } from '../../../src/speculate/speculators/stitch.ts';
import { tensorInMemory } from '../../../src/tensor/parts.ts';
import {
  openCheckpoint,
  type TensorData,
  writeSafetensors,
} from '../../../src/tensor/safetensors.ts';
import {
  type FolderSource,
  memorySource,
  openFolder,
  writeFolder,
} from '../../../src/tensor/source.ts';
import { numbers } from '../../kernels/toy.ts';
import {
  contentOf,
  headSource,
  TARGET,
  tensorsOf,
  thereAndBack,
  verifier,
  wholeTensors,
} from './research.ts';

const [C, F, E, I] = [32, 56, 3, 8];
type Shapes = Record<string, readonly number[]>;

/** Tensors of the target that are of no interest. */
const OTHERS: Shapes = {
  'model.embed_tokens.weight': [64, C],
  'model.layers.0.mlp.up_proj.weight': [F, C],
  'model.norm.weight': [C],
  'lm_head.weight': [64, C],
};
const attention = (at: string): Shapes => ({
  [`${at}.input_layernorm.weight`]: [C],
  [`${at}.post_attention_layernorm.weight`]: [C],
  [`${at}.self_attn.q_proj.weight`]: [32, C],
  [`${at}.self_attn.k_proj.weight`]: [16, C],
  [`${at}.self_attn.v_proj.weight`]: [16, C],
  [`${at}.self_attn.o_proj.weight`]: [C, 32],
});
const dense = (at: string): Shapes => ({
  ...attention(at),
  [`${at}.mlp.gate_proj.weight`]: [F, C],
  [`${at}.mlp.up_proj.weight`]: [F, C],
  [`${at}.mlp.down_proj.weight`]: [C, F],
});
const mixture = (at: string): Shapes => ({
  ...attention(at),
  [`${at}.mlp.gate.weight`]: [E, C],
  [`${at}.mlp.shared_expert_gate.weight`]: [1, C],
  // Not in the order of their numbers, which the format has.
  ...Object.fromEntries(
    [2, 0, 1].flatMap((e) => [
      [`${at}.mlp.experts.${e}.up_proj.weight`, [I, C]],
      [`${at}.mlp.experts.${e}.gate_proj.weight`, [I, C]],
      [`${at}.mlp.experts.${e}.down_proj.weight`, [C, I]],
    ]),
  ),
});
const QWEN: Shapes = {
  'mtp.fc.weight': [C, 2 * C],
  'mtp.norm.weight': [C],
  'mtp.pre_fc_norm_embedding.weight': [C],
  'mtp.pre_fc_norm_hidden.weight': [C],
};
const DEEPSEEK: Shapes = {
  'model.layers.8.eh_proj.weight': [C, 2 * C],
  'model.layers.8.enorm.weight': [C],
  'model.layers.8.hnorm.weight': [C],
  'model.layers.8.shared_head.norm.weight': [C],
  'model.layers.8.embed_tokens.weight': [64, C],
  'model.layers.8.shared_head.head.weight': [64, C],
};
const LAYOUTS = [
  ['mtp', { ...QWEN, ...dense('mtp.layers.0') }],
  ['deepseek-mtp', { ...DEEPSEEK, ...dense('model.layers.8') }],
] as const;
/** Tensors of a target and its layer; the layer's embedding and head are copies. */
function modelOf(shapes: Shapes, seed: number): TensorData[] {
  const tensors = tensorsOf({ ...OTHERS, ...shapes }, seed);
  const originals: Readonly<Record<string, string>> = {
    'model.layers.8.embed_tokens.weight': 'model.embed_tokens.weight',
    'model.layers.8.shared_head.head.weight': 'lm_head.weight',
  };
  return tensors.map((tensor) => {
    const original = tensors.find(({ name }) => name === originals[tensor.name]);
    return original === undefined ? tensor : { ...tensor, data: original.data };
  });
}
const isOther = (name: string) =>
  Object.hasOwn(OTHERS, name) || /embed_tokens|shared_head\.head/.test(name);

let target: Decoder;
beforeAll(async () => {
  target = await loadModel(TARGET, { backend: cpu(), contextLength: 64 });
});
afterAll(() => target.dispose());

describe.each(LAYOUTS)('multi-token prediction in the layout %s', (layout, shapes) => {
  const source = (seed: number, shards = 1) =>
    headSource(verifier.config, modelOf(shapes, seed), { shards });

  it.each([1, 3])('comes out of its target in %i files, loads, and goes back', async (shards) => {
    const made = await thereAndBack(source(1, shards), { target, lost: isOther });
    expect(made).toMatchObject({ algorithm: 'mtp', layout, notes: [], arranged: [] });
    expect(made.config).toMatchObject({
      speculators_config: {
        verifier: { name_or_path: 'head' },
        proposal_methods: [{ speculative_tokens: 3 }],
      },
    });
    expect(made.tensors.every(({ name }) => name.startsWith('mtp_layers.0.'))).toBe(true);
    expect(made.dropped.map(([name]) => name).toSorted()).toEqual(
      Object.keys(shapes).filter(isOther).toSorted(),
    );
  });

  it('has the halves of its projection where the format has them: the token first', async () => {
    const made = await convertSpeculator(source(1));
    const content = await contentOf(memorySource(await made.files(), 'made'));
    const before = await contentOf(source(1));
    const name = layout === 'mtp' ? 'mtp.fc.weight' : 'model.layers.8.eh_proj.weight';
    expect(content['mtp_layers.0.input_proj.weight']).toBe(before[name]);
    const token =
      layout === 'mtp' ? 'mtp.pre_fc_norm_embedding.weight' : 'model.layers.8.enorm.weight';
    expect(content['mtp_layers.0.token_layernorm.weight']).toBe(before[token]);
  });

  it('is refused without one of its norms, and for a target of another width', async () => {
    const names = Object.keys(shapes).filter((name) => !/pre_fc_norm_hidden|hnorm/.test(name));
    const rest = Object.fromEntries(names.map((name) => [name, (shapes as Shapes)[name]]));
    const without = headSource(verifier.config, modelOf(rest, 2));
    await expect(convertSpeculator(without)).rejects.toThrow(
      'missing mtp_layers.0.hidden_layernorm.weight [32]',
    );
    const wide = { config: { ...verifier.config, hidden_size: 64 }, name: null };
    await expect(convertSpeculator(source(2), { verifier: wide })).rejects.toThrow(
      "head: hidden_size: expected the target's 64, got 32",
    );
  });

  it('is refused with a second layer, and with quantised weights', async () => {
    const at = layout === 'mtp' ? 'mtp.layers.1' : 'model.layers.9';
    const second = { ...shapes, [`${at}.mlp.up_proj.weight`]: [F, C] };
    await expect(
      convertSpeculator(headSource(verifier.config, modelOf(second, 3))),
    ).rejects.toThrow(
      `expected tensors that the format has a place for, got ${at}.mlp.up_proj.weight`,
    );
    const scale = `${at.replace('1', '0').replace('9', '8')}.mlp.up_proj.weight_scale_inv`;
    const scaled = { ...shapes, [scale]: [1, 1] };
    await expect(
      convertSpeculator(headSource(verifier.config, modelOf(scaled, 3))),
    ).rejects.toThrow(`${scale} (a part of quantised weights)`);
  });

  it('goes back into a copy of its target, of which nothing else changes', async () => {
    const before = await fullTarget(source(4, 3));
    const made = await convertSpeculator(before);
    const tuned = made.tensors.map((tensor, index) => ({
      ...tensorsOf({ [tensor.name]: tensor.shape }, 50 + index)[0],
    }));
    const head = headSource(made.config, tuned, { name: 'tuned' });
    const stitch = await stitchMtp(head, before);
    const after = memorySource(await wholeFiles(stitch.files()), 'after');
    expect(await after.files!()).toEqual(await before.files!());
    // Headers, metadata and other files, byte by byte.
    const { tensors } = await openCheckpoint(before);
    const patched = new Set(stitch.replaced.map(([name]) => name));
    for (const file of await before.files!()) {
      const [old, fresh] = await Promise.all(
        [before, after].map(async (each) => each.read(file, 0, await each.size(file))),
      );
      for (const { name, file: at, from, to } of tensors.values())
        if (at === file && patched.has(name)) fresh.set(old.subarray(from, to), from);
      expect(Buffer.compare(old, fresh), file).toBe(0);
    }
    // And the layer in it is the tuned one.
    const again = await convertSpeculator(after);
    expect(await contentOf(memorySource(await again.files(), 'again'))).toEqual(
      await contentOf(head),
    );
    expect(patched.size).toBe(made.tensors.length);
  });
});

describe('the embedding and the head in a layer of DeepSeek', () => {
  it.each(['embed_tokens', 'shared_head.head'])('have to be copies: %s', async (name) => {
    const shapes = { ...DEEPSEEK, ...dense('model.layers.8') };
    const change = (tensor: TensorData) => {
      if (tensor.name !== `model.layers.8.${name}.weight`) return tensor;
      const data = Float32Array.from(tensor.data);
      data[64 * C - 1] += 1;
      return { ...tensor, data };
    };
    const source = headSource(verifier.config, modelOf(shapes, 5).map(change));
    await expect(convertSpeculator(source)).rejects.toThrow(
      `head: model.layers.8.${name}.weight: expected a copy of `,
    );
  });
});

describe('a mixture of experts of a model that does not run', () => {
  const shapes = { ...OTHERS, ...QWEN, ...mixture('mtp.layers.0') };
  const config = {
    architectures: ['Qwen4NextForConditionalGeneration'],
    text_config: { ...verifier.config, model_type: 'qwen4_next' },
  };
  const source = headSource(config, tensorsOf(shapes, 6), { shards: 2 });

  it('is joined as the format has it, and this version says that it does not run it', async () => {
    const made = await thereAndBack(source, { lost: isOther });
    expect(made.notes).toEqual([expect.stringContaining('this version does not run it: ')]);
    expect(made.arranged).toEqual([
      'joined the 3 experts of mtp_layers.0.mlp.experts to gate_up_proj and down_proj',
    ]);
    const floats = new Map(
      [...(await wholeTensors(made.tensors)), ...tensorsOf(shapes, 6)].map(
        ({ name, data, shape }) => [
          name,
          { values: new Float32Array(data.buffer, data.byteOffset, data.byteLength / 4), shape },
        ],
      ),
    );
    const fused = floats.get('mtp_layers.0.mlp.experts.gate_up_proj')!;
    const downs = floats.get('mtp_layers.0.mlp.experts.down_proj')!;
    expect([fused.shape, downs.shape]).toEqual([
      [E, 2 * I, C],
      [E, C, I],
    ]);
    for (let e = 0; e < E; e++) {
      const one = (name: string) =>
        floats.get(`mtp.layers.0.mlp.experts.${e}.${name}.weight`)!.values;
      for (let i = 0; i < I; i++)
        for (let c = 0; c < C; c++) {
          expect(fused.values[(e * 2 * I + i) * C + c]).toBe(one('gate_proj')[i * C + c]);
          expect(fused.values[(e * 2 * I + I + i) * C + c]).toBe(one('up_proj')[i * C + c]);
          expect(downs.values[(e * C + c) * I + i]).toBe(one('down_proj')[c * I + i]);
        }
    }
  });

  it('that is joined already stays so, there and back', async () => {
    const separate = mixture('mtp.layers.0');
    const names = Object.keys(separate).filter((name) => !name.includes('.experts.'));
    const joined = {
      ...OTHERS,
      ...QWEN,
      ...Object.fromEntries(names.map((name) => [name, separate[name]])),
      'mtp.layers.0.mlp.experts.gate_up_proj': [E, 2 * I, C],
      'mtp.layers.0.mlp.experts.down_proj': [E, C, I],
    };
    const fused = headSource(config, tensorsOf(joined, 7));
    const made = await thereAndBack(fused, { lost: isOther });
    expect(made.arranged).toEqual([]);
    const files: Record<string, Uint8Array> = { 'original/params.json': new Uint8Array(2) };
    for (const file of await fused.files!())
      files[file] = await fused.read(file, 0, await fused.size(file));
    const stitch = await stitchMtp(
      memorySource(await made.files(), 'made'),
      memorySource(files, 'target'),
    );
    expect(stitch.replaced).toHaveLength(made.tensors.length);
    expect(stitch.left).toEqual(['original']);
  });

  it('goes back into its target expert by expert', async () => {
    const made = await convertSpeculator(source);
    const stitch = await stitchMtp(memorySource(await made.files(), 'made'), source);
    const after = memorySource(await wholeFiles(stitch.files()), 'after');
    expect(await contentOf(after)).toEqual(await contentOf(source));
    expect(stitch.replaced.map(([name]) => name)).toContain(
      'mtp.layers.0.mlp.experts.2.down_proj.weight',
    );
  });

  it.each([
    ['1.gate_proj', 'expected gate_proj of experts 0 to 2, got none of expert 1'],
    ['1.down_proj', 'expected down_proj of experts 0 to 2, got none of expert 1'],
  ])('is refused without %s', async (missing, message) => {
    const name = `mtp.layers.0.mlp.experts.${missing}.weight`;
    const tensors = tensorsOf(shapes, 6).filter((each) => each.name !== name);
    await expect(convertSpeculator(headSource(config, tensors))).rejects.toThrow(message);
  });

  it('is refused without one of its norms, although no shape is known', async () => {
    const tensors = tensorsOf(shapes, 6).filter(({ name }) => !name.includes('pre_fc_norm_hidden'));
    await expect(convertSpeculator(headSource(config, tensors))).rejects.toThrow(
      'head: expected mtp_layers.0.hidden_layernorm.weight after conversion, got none',
    );
  });

  it.each(Array.from({ length: 20 }, (_, seed) => seed))(
    'of any size and type is joined and taken apart again, seed %i',
    async (seed) => {
      const [experts, width, inner] = [...numbers(seed, 3)].map((u) => 1 + Math.floor(3 * (u + 1)));
      const dtype = (['f32', 'bf16', 'i8'] as const)[seed % 3];
      const sizes: Shapes = {
        up_proj: [inner, width],
        down_proj: [width, inner],
        gate_proj: [inner, width],
      };
      const tensors = Array.from({ length: experts }, (_, e) =>
        Object.entries(sizes).map(([name, shape], index): TensorData => {
          const values = numbers(100 * seed + 10 * e + index, inner * width);
          const data = convert(
            values.map((value) => value * 100),
            'f32',
            dtype,
          );
          return { name: `a.experts.${e}.${name}.weight`, dtype, shape, data };
        }),
      ).flat();
      const bytes = (list: readonly TensorData[]) =>
        list
          .map(({ data, ...rest }) => ({
            ...rest,
            data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex'),
          }))
          .toSorted((a, b) => (a.name < b.name ? -1 : 1));
      const joined = fuseExperts(tensors.map(tensorInMemory)).tensors;
      expect(joined.map(({ shape }) => shape)).toEqual([
        [experts, 2 * inner, width],
        [experts, width, inner],
      ]);
      expect(bytes(await wholeTensors(separateExperts(joined).tensors))).toEqual(bytes(tensors));
    },
  );

  it('is refused with experts of two shapes, and on the way back with half of them', async () => {
    const odd = { ...shapes, 'mtp.layers.0.mlp.experts.1.up_proj.weight': [I + 1, C] };
    await expect(convertSpeculator(headSource(config, tensorsOf(odd, 6)))).rejects.toThrow(
      '1.up_proj.weight: expected a matrix F32 [8,32]',
    );
    const { config: own, tensors } = await convertSpeculator(source);
    const half = tensors.filter(({ name }) => !name.endsWith('experts.down_proj'));
    await expect(exportResearch(headSource(own, await wholeTensors(half)))).rejects.toThrow(
      'mtp_layers.0.mlp.experts: expected gate_up_proj and down_proj, got gate_up_proj only',
    );
  });
});

describe('a stitch', () => {
  const shapes = { ...OTHERS, ...QWEN, ...dense('mtp.layers.0') };
  const source = headSource(verifier.config, tensorsOf(shapes, 8));

  it.each<[string, (tensors: TensorData[]) => TensorData[], string]>([
    [
      'a tensor less',
      (tensors) => tensors.slice(1),
      'head: expected a head with mtp.fc.weight, got none',
    ],
    [
      'a tensor more',
      (tensors) => [...tensors, ...tensorsOf({ 'mtp_layers.0.more.weight': [2] }, 1)],
      "mtp.layers.0.more.weight: expected a tensor for the head's F32 [2], got none",
    ],
    [
      'another shape',
      ([first, ...rest]) => [...tensorsOf({ [first.name]: [C, C] }, 1), ...rest],
      'head: mtp.fc.weight: expected F32 [32,64] from the head, got F32 [32,32]',
    ],
    [
      'a tensor of another kind',
      (tensors) => [...tensors, ...tensorsOf({ 'fc.weight': [2] }, 1)],
      'tuned: expected tensors that the format has a place for, got fc.weight',
    ],
  ])('is refused for a head with %s', async (_, change, message) => {
    const { config, tensors } = await convertSpeculator(source);
    const tuned = headSource(config, change(await wholeTensors(tensors)), { name: 'tuned' });
    await expect(stitchMtp(tuned, source)).rejects.toThrow(message);
  });

  it('leaves out what old writers left in the head', async () => {
    const { config, tensors } = await convertSpeculator(source);
    const extra = tensorsOf({ 'verifier_lm_head.weight': [64, C] }, 1);
    const { dropped } = await stitchMtp(
      headSource(config, [...(await wholeTensors(tensors)), ...extra]),
      source,
    );
    expect(dropped).toEqual([['verifier_lm_head.weight', 'the target has it']]);
  });

  it('is refused for other heads and for targets without such a layer', async () => {
    const eagle = headSource({ speculators_model_type: 'eagle' }, tensorsOf({ a: [1] }, 1));
    await expect(stitchMtp(eagle, source)).rejects.toThrow(
      'head: speculators_model_type: expected mtp, got "eagle"',
    );
    const made = memorySource(await (await convertSpeculator(source)).files(), 'made');
    const plain = headSource(verifier.config, tensorsOf(OTHERS, 1), { name: 'plain' });
    await expect(stitchMtp(made, plain)).rejects.toThrow(
      'plain: expected the tensors of mtp, deepseek-mtp, got a causal language model without one',
    );
  });

  it('is written to disk in pieces', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'foretoken-stitch-'));
    try {
      const made = memorySource(await (await convertSpeculator(source)).files(), 'made');
      await writeFolder(join(folder, 'out'), (await stitchMtp(made, source)).files());
      const written = await openFolder(join(folder, 'out'));
      expect(await contentOf(written)).toEqual(await contentOf(source));
      await written.close();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

/** A target with files beside its weights. */
async function fullTarget(source: FolderSource): Promise<FolderSource> {
  const files: Record<string, Uint8Array> = {};
  for (const file of await source.files!())
    files[file] = await source.read(file, 0, await source.size(file));
  const other = writeSafetensors(tensorsOf({ other: [5] }, 9), { made: 'by hand' });
  return memorySource(
    { ...files, 'tokenizer.json': '{}', 'extra.safetensors': other },
    source.name,
  );
}

async function wholeFiles(files: Readonly<Record<string, AsyncIterable<Uint8Array>>>) {
  const whole: Record<string, Uint8Array> = {};
  for (const [name, pieces] of Object.entries(files)) {
    const parts: Uint8Array[] = [];
    for await (const piece of pieces) parts.push(piece);
    whole[name] = new Uint8Array(Buffer.concat(parts));
  }
  return whole;
}
