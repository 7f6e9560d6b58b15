// The weight maps against the headers of real files, and the forward passes as recorded plans.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { DType, Plan, Step } from '../../src/kernels/plan.ts';
import type { LayerTree, WeightMap, WeightSpec } from '../../src/models/architecture.ts';
import { architectureOf, architectures } from '../../src/models/architectures.ts';
import { rowInputs } from '../../src/models/rows.ts';
import { record } from '../../src/tensor/record.ts';
import { sizeOf } from '../../src/tensor/shape.ts';
import { Tensor } from '../../src/tensor/tensor.ts';

const golden = new URL('../golden/', import.meta.url);
const folders = readdirSync(golden).filter((name) => name.startsWith('tiny-random-'));

function load(folder: string) {
  const json = JSON.parse(readFileSync(new URL(`${folder}/config.json`, golden), 'utf8'));
  const architecture = architectureOf(json, 'config.json');
  const config = architecture.readConfig(json, 'config.json');
  return { architecture, config, map: architecture.weights(config) };
}

/** Name and shape of every tensor in the safetensors files of a folder. */
function shapesIn(folder: string): Record<string, readonly number[]> {
  const shapes: Record<string, readonly number[]> = {};
  for (const file of readdirSync(new URL(`${folder}/`, golden)).filter((name) =>
    name.endsWith('.safetensors'),
  )) {
    const bytes = readFileSync(new URL(`${folder}/${file}`, golden));
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE(0))));
    for (const [name, entry] of Object.entries<{ shape: number[] }>(header))
      if (name !== '__metadata__') shapes[name] = entry.shape;
  }
  return shapes;
}

/** Every leaf once, by its identity. */
function leaves({ embed, layers, norm, head }: WeightMap): WeightSpec[] {
  return [
    ...new Set([
      embed,
      ...layers.flatMap((layer) => Object.values(layer) as WeightSpec[]),
      norm,
      head,
    ]),
  ];
}

function fake(kind: 'constant' | 'state', dtype: DType, shape: readonly number[]): Tensor {
  return new Tensor(
    { kind, dtype, shape, buffer: { dtype, length: sizeOf(shape) }, offset: 0 },
    null,
  );
}

function recordForward(folder: string, taps: readonly number[]) {
  const { architecture, config, map } = load(folder);
  const [T, S, P] = [16, 40, config.maxPositions];
  const made = new Map<WeightSpec, Tensor>();
  const tensor = (spec: WeightSpec) => {
    const known = made.get(spec) ?? fake('constant', 'f32', spec.shape);
    made.set(spec, known);
    return known;
  };
  const layer = (specs: LayerTree<WeightSpec>) =>
    Object.fromEntries(
      Object.entries(specs).map(([name, spec]) => [name, tensor(spec)]),
    ) as unknown as LayerTree<Tensor>;
  const table = () => fake('constant', 'f32', [P, config.headDim / 2]);
  const states = () =>
    Array.from({ length: config.layers }, () =>
      fake('state', 'f32', [S, config.kvHeads * config.headDim]),
    );
  const plan = record((ops) => {
    const { logits, hidden } = architecture.forward(ops, {
      config,
      weights: {
        embed: tensor(map.embed),
        layers: map.layers.map(layer),
        norm: tensor(map.norm),
        head: tensor(map.head),
      },
      rows: rowInputs(ops, { maxRows: T, slots: S, windows: [] }),
      cos: table(),
      sin: table(),
      keys: states(),
      values: states(),
      taps,
    });
    return [logits, ...hidden];
  });
  return { plan, config, T };
}

const stepsOf = <Op extends Step['op']>(plan: Plan, op: Op) =>
  plan.steps.filter((step): step is Step<Op> => step.op === op);

describe('architectures', () => {
  it('lists every model under its own model_type', () => {
    expect(Object.keys(architectures)).toEqual(['llama', 'mistral', 'qwen2', 'qwen3']);
    for (const [name, { modelType }] of Object.entries(architectures)) expect(modelType).toBe(name);
  });

  it.each(folders)('names exactly the tensors of %s, with their shapes', (folder) => {
    const { map, config } = load(folder);
    const named = Object.fromEntries(leaves(map).map(({ name, shape }) => [name, shape]));
    expect(named).toEqual(shapesIn(folder));
    expect(map.head === map.embed).toBe(config.tied);
  });

  it.each(folders)('records the forward pass of %s', (folder) => {
    const { plan, config, T } = recordForward(folder, []);
    const { layers, vocab, windows, qkNorm, headDim, heads, kvHeads } = config;
    expect(plan.outputs.map(({ shape, extent, dtype }) => ({ shape, extent, dtype }))).toEqual([
      { shape: [T, vocab], extent: 'K', dtype: 'f32' },
    ]);
    // Per layer: 2 norms, 7 linear, 2 rope, 2 scatter, attention, siluMul, 2 adds; then embed, keep, norm and head.
    expect(plan.steps.length).toBe(4 + layers * (17 + (qkNorm ? 2 : 0)));
    expect(stepsOf(plan, 'attention').map(({ params }) => params)).toEqual(
      windows.map((window) => ({ heads, kvHeads, scale: 1 / Math.sqrt(headDim), window })),
    );
    expect(stepsOf(plan, 'scatter').map(({ output }) => output.kind)).toEqual(
      Array(2 * layers).fill('state'),
    );
  });

  it('adds the biases a checkpoint has and no others', () => {
    const biased = (folder: string) =>
      stepsOf(recordForward(folder, []).plan, 'linear').map(({ inputs }) => inputs.length === 3);
    // Per layer q, k, v, out, gate, up, down; the head last.
    const expected = (layer: readonly boolean[]) => [...layer, ...layer, false];
    const [yes, no] = [true, false];
    expect(biased('tiny-random-llama')).toEqual(expected([no, no, no, no, no, no, no]));
    expect(biased('tiny-random-llama-tied-bias')).toEqual(
      expected([yes, yes, yes, yes, yes, yes, yes]),
    );
    expect(biased('tiny-random-qwen2')).toEqual(expected([yes, yes, yes, no, no, no, no]));
  });

  it('returns the tapped states of the kept rows in the order asked for', () => {
    const { plan, config, T } = recordForward('tiny-random-llama-8l', [8, 0, 3]);
    expect(plan.outputs.length).toBe(4);
    for (const { shape, extent } of plan.outputs.slice(1))
      expect({ shape, extent }).toEqual({ shape: [T, config.width], extent: 'K' });
    const gathers = stepsOf(plan, 'gather');
    const embedded = gathers[0].output;
    const sourceOf = (index: number) =>
      gathers.find(({ output }) => output === plan.outputs[index])?.inputs[0];
    expect(sourceOf(2)).toBe(embedded);
    expect(sourceOf(1)).toBe(gathers[1].inputs[0]);
    expect(stepsOf(plan, 'binary')[2 * 3 - 1].output).toBe(sourceOf(3));
  });
});
