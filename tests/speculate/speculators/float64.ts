// A second implementation of EAGLE-3's head, in float64 loops over plain arrays, written from the description of the format and
// sharing nothing with the first: no plans, no cache, all pairs computed anew for every call.
import type { FolderSource } from '../../../src/tensor/source.ts';

type Vector = readonly number[];
type Matrix = readonly Vector[];

/** Tensors of a safetensors file with F32 and I64. */
export async function readTensors(
  source: FolderSource,
): Promise<Map<string, { shape: number[]; data: number[] }>> {
  const file = 'model.safetensors';
  const bytes = await source.read(file, 0, await source.size(file));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const tensors = new Map<string, { shape: number[]; data: number[] }>();
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries<{
    dtype: string;
    shape: number[];
    data_offsets: [number, number];
  }>(header)) {
    if (name === '__metadata__' || (dtype !== 'F32' && dtype !== 'I64')) continue;
    const size = dtype === 'F32' ? 4 : 8;
    const data: number[] = [];
    for (let at = 8 + length + offsets[0]; at < 8 + length + offsets[1]; at += size)
      data.push(dtype === 'F32' ? view.getFloat32(at, true) : Number(view.getBigInt64(at, true)));
    tensors.set(name, { shape, data });
  }
  return tensors;
}

/** Numbers of the head's one layer. */
interface Shape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly eps: number;
  readonly theta: number;
}

/** The head over all its pairs: token and state (already fused) of each; logits of every pair. */
export function eagle3Logits(
  tensors: ReadonlyMap<string, { shape: number[]; data: number[] }>,
  pairs: readonly { readonly token: number; readonly state: Vector }[],
  shape: Shape,
): Matrix {
  const vector = (name: string): Vector => tensors.get(name)!.data;
  const row = (name: string, index: number): Vector => {
    const {
      shape: [, width],
      data,
    } = tensors.get(name)!;
    return data.slice(index * width, (index + 1) * width);
  };
  const product = (name: string, x: Vector): Vector =>
    Array.from({ length: tensors.get(name)!.shape[0] }, (_, o) => dot(row(name, o), x));
  const norm = (x: Vector, name: string): Vector => {
    const scale = 1 / Math.sqrt(dot(x, x) / x.length + shape.eps);
    return x.map((value, i) => value * scale * vector(name)[i]);
  };
  const turn = (x: Vector, position: number): Vector => {
    const { headDim, theta } = shape;
    const half = headDim / 2;
    return x.map((value, i) => {
      const d = i % headDim;
      const angle = position / theta ** ((2 * (d % half)) / headDim);
      const partner = d < half ? -x[i + half] : x[i - half];
      return value * Math.cos(angle) + partner * Math.sin(angle);
    });
  };
  const layer = 'layers.0';
  const rows = pairs.map(({ token, state }, position) => {
    const hidden = norm(state, `${layer}.hidden_norm.weight`);
    const input = [
      ...norm(row('embed_tokens.weight', token), `${layer}.input_layernorm.weight`),
      ...hidden,
    ];
    const project = (name: string) => product(`${layer}.self_attn.${name}_proj.weight`, input);
    return {
      state,
      q: turn(project('q'), position),
      k: turn(project('k'), position),
      v: project('v'),
    };
  });
  return rows.map(({ state, q }, at) => {
    const { heads, kvHeads, headDim } = shape;
    const seen = Array.from({ length: heads }, (_, h) => {
      const part = (x: Vector, index: number) => x.slice(index * headDim, (index + 1) * headDim);
      const group = Math.floor((h * kvHeads) / heads);
      const scores = rows
        .slice(0, at + 1)
        .map(({ k }) => dot(part(q, h), part(k, group)) / Math.sqrt(headDim));
      const most = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - most));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      return Array.from({ length: headDim }, (_, d) =>
        weights.reduce((sum, weight, j) => sum + (weight / total) * part(rows[j].v, group)[d], 0),
      );
    }).flat();
    const attended = product(`${layer}.self_attn.o_proj.weight`, seen);
    const y = state.map((value, i) => value + attended[i]);
    const x = norm(y, `${layer}.post_attention_layernorm.weight`);
    const gate = product(`${layer}.mlp.gate_proj.weight`, x);
    const up = product(`${layer}.mlp.up_proj.weight`, x);
    const down = product(
      `${layer}.mlp.down_proj.weight`,
      gate.map((value, i) => (value / (1 + Math.exp(-value))) * up[i]),
    );
    const out = y.map((value, i) => value + down[i]);
    return product('lm_head.weight', norm(out, 'norm.weight'));
  });
}

/** fc over the states of several layers. */
export function fuseStates(
  tensors: ReadonlyMap<string, { shape: number[]; data: number[] }>,
  states: Vector,
): Vector {
  const {
    shape: [outer, inner],
    data,
  } = tensors.get('fc.weight')!;
  return Array.from({ length: outer }, (_, o) =>
    dot(data.slice(o * inner, (o + 1) * inner), states),
  );
}

function dot(a: Vector, b: Vector): number {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}
