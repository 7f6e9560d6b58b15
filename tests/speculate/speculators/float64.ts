// Second implementations of heads, in float64 loops over plain arrays, written from the description of the format and sharing
// nothing with the first: no plans, no cache, all pairs computed anew for every call.
import type { FolderSource } from '../../../src/tensor/source.ts';

export type Vector = readonly number[];
type Matrix = readonly Vector[];

/** Tensors of a safetensors file with F32, BF16 and I64. */
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
    if (name === '__metadata__') continue;
    const read = READ[dtype];
    if (read === undefined) continue;
    const data: number[] = [];
    for (let at = 8 + length + offsets[0]; at < 8 + length + offsets[1]; at += read.size)
      data.push(read.at(view, at));
    tensors.set(name, { shape, data });
  }
  return tensors;
}

const word = new DataView(new ArrayBuffer(4));
const READ: Record<string, { size: number; at(view: DataView, at: number): number }> = {
  F32: { size: 4, at: (view, at) => view.getFloat32(at, true) },
  I64: { size: 8, at: (view, at) => Number(view.getBigInt64(at, true)) },
  BF16: {
    size: 2,
    at(view, at) {
      // The upper half of an f32.
      word.setUint16(0, view.getUint16(at, true));
      return word.getFloat32(0);
    },
  },
};

/** Numbers of a layer. */
export interface Shape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly eps: number;
  readonly theta: number;
}

export type Tensors = ReadonlyMap<string, { shape: number[]; data: number[] }>;

/** A pair of a head: the token, and the state that goes with it. */
export interface Pair {
  readonly token: number;
  readonly state: Vector;
}

export function mathOf(tensors: Tensors, { headDim, eps, theta }: Shape) {
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
    const gain = tensors.get(name)!.data;
    const scale = 1 / Math.sqrt(dot(x, x) / x.length + eps);
    return x.map((value, i) => value * scale * gain[i]);
  };
  const turn = (x: Vector, position: number): Vector => {
    const half = headDim / 2;
    return x.map((value, i) => {
      const d = i % headDim;
      const angle = position / theta ** ((2 * (d % half)) / headDim);
      const partner = d < half ? -x[i + half] : x[i - half];
      return value * Math.cos(angle) + partner * Math.sin(angle);
    });
  };
  return { row, product, norm, turn };
}

/**
 * A decoder layer over all rows: residual + attention(input), then the feed-forward. Of a window every row sees so many rows up to its
 * own; 0 is none.
 */
export function layerOf(
  tensors: Tensors,
  layer: string,
  rows: readonly { readonly input: Vector; readonly residual: Vector }[],
  { window = 0, ...shape }: Shape & { readonly window?: number },
): Matrix {
  const { product, norm, turn } = mathOf(tensors, shape);
  const { heads, kvHeads, headDim } = shape;
  const projected = rows.map(({ input }, position) => {
    const project = (name: string) => {
      const bias = tensors.get(`${layer}.self_attn.${name}_proj.bias`)?.data;
      const made = product(`${layer}.self_attn.${name}_proj.weight`, input);
      return made.map((value, i) => value + (bias?.[i] ?? 0));
    };
    return { q: turn(project('q'), position), k: turn(project('k'), position), v: project('v') };
  });
  return rows.map(({ residual }, at) => {
    const visible = projected.filter((_, j) => j <= at && (window === 0 || j > at - window));
    const seen = Array.from({ length: heads }, (_, h) => {
      const part = (x: Vector, index: number) => x.slice(index * headDim, (index + 1) * headDim);
      const group = Math.floor((h * kvHeads) / heads);
      const scores = visible.map(
        ({ k }) => dot(part(projected[at].q, h), part(k, group)) / Math.sqrt(headDim),
      );
      const most = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - most));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      return Array.from({ length: headDim }, (_, d) =>
        weights.reduce(
          (sum, weight, j) => sum + (weight / total) * part(visible[j].v, group)[d],
          0,
        ),
      );
    }).flat();
    const attended = product(`${layer}.self_attn.o_proj.weight`, seen);
    const y = residual.map((value, i) => value + attended[i]);
    const x = norm(y, `${layer}.post_attention_layernorm.weight`);
    const gate = product(`${layer}.mlp.gate_proj.weight`, x);
    const up = product(`${layer}.mlp.up_proj.weight`, x);
    const down = product(
      `${layer}.mlp.down_proj.weight`,
      gate.map((value, i) => (value / (1 + Math.exp(-value))) * up[i]),
    );
    return y.map((value, i) => value + down[i]);
  });
}

/** Multi-token prediction over all its pairs, with the target's embedding and head; the state after every pair, and its logits. */
export function mtpPasses(
  tensors: Tensors,
  pairs: readonly Pair[],
  shape: Shape,
  names: { readonly embed: string; readonly head: string },
): readonly { readonly state: Vector; readonly logits: Vector }[] {
  const { row, product, norm } = mathOf(tensors, shape);
  const layer = 'mtp_layers.0';
  const rows = pairs.map(({ token, state }) => {
    const x = product(`${layer}.input_proj.weight`, [
      ...norm(row(names.embed, token), `${layer}.token_layernorm.weight`),
      ...norm(state, `${layer}.hidden_layernorm.weight`),
    ]);
    return { input: norm(x, `${layer}.input_layernorm.weight`), residual: x };
  });
  return layerOf(tensors, layer, rows, shape).map((out) => {
    const state = norm(out, `${layer}.final_layernorm.weight`);
    return { state, logits: product(names.head, state) };
  });
}

/**
 * DFlash's block after states of the target (fused and normed): state and logits of every place. Places see all states and each other; in
 * a layer with a window (0 is none) as many states as it has, and places up to their own unless `nonCausal`. q and k are normed
 * per head.
 */
export function dflashPasses(
  tensors: Tensors,
  {
    states,
    tokens,
    windows,
    nonCausal = false,
  }: {
    readonly states: Matrix;
    readonly tokens: Vector;
    /** One per layer. */
    readonly windows: Vector;
    readonly nonCausal?: boolean;
  },
  shape: Shape,
): readonly { readonly state: Vector; readonly logits: Vector }[] {
  const { row, product, norm, turn } = mathOf(tensors, shape);
  const { heads, kvHeads, headDim } = shape;
  const part = (x: Vector, index: number) => x.slice(index * headDim, (index + 1) * headDim);
  const perHead = (x: Vector, count: number, name: string) =>
    Array.from({ length: count }, (_, index) => norm(part(x, index), name)).flat();
  let stream: Matrix = tokens.map((token) => row('embed_tokens.weight', token));
  for (const [l, window] of windows.entries()) {
    const at = (name: string) => `layers.${l}.${name}.weight`;
    const sees = (place: number, position: number) =>
      window === 0 ||
      (position < states.length
        ? position >= states.length - window
        : nonCausal || position - states.length <= place);
    const inputs = stream.map((x) => norm(x, at('input_layernorm')));
    const memory = [...states, ...inputs];
    const keys = memory.map((x, position) =>
      turn(perHead(product(at('self_attn.k_proj'), x), kvHeads, at('self_attn.k_norm')), position),
    );
    const values = memory.map((x) => product(at('self_attn.v_proj'), x));
    stream = stream.map((x, place) => {
      const q = turn(
        perHead(product(at('self_attn.q_proj'), inputs[place]), heads, at('self_attn.q_norm')),
        states.length + place,
      );
      const seen = Array.from({ length: heads }, (_, h) => {
        const group = Math.floor((h * kvHeads) / heads);
        const weights = keys.map((k, position) =>
          sees(place, position)
            ? Math.exp(dot(part(q, h), part(k, group)) / Math.sqrt(headDim))
            : 0,
        );
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        return Array.from({ length: headDim }, (_, d) =>
          weights.reduce((sum, weight, j) => sum + (weight / total) * part(values[j], group)[d], 0),
        );
      }).flat();
      const y = product(at('self_attn.o_proj'), seen).map((value, i) => value + x[i]);
      const middle = norm(y, at('post_attention_layernorm'));
      const gate = product(at('mlp.gate_proj'), middle);
      const up = product(at('mlp.up_proj'), middle);
      const hidden = gate.map((value, i) => (value / (1 + Math.exp(-value))) * up[i]);
      return product(at('mlp.down_proj'), hidden).map((value, i) => value + y[i]);
    });
  }
  return stream.map((x) => {
    const state = norm(x, 'norm.weight');
    return { state, logits: product('lm_head.weight', state) };
  });
}

/** DSpark's steps over the places of a block: logits with what the token before adds, the token, and the confidence. */
export function dsparkChain(
  tensors: Tensors,
  places: readonly { readonly state: Vector; readonly logits: Vector }[],
  {
    anchor,
    type,
    silent,
  }: {
    readonly anchor: number;
    readonly type: 'vanilla' | 'gated' | 'rnn';
    readonly silent: number;
  },
): readonly { readonly logits: Vector; readonly token: number; readonly confidence: number }[] {
  const { row, product } = mathOf(tensors, { heads: 1, kvHeads: 1, headDim: 2, eps: 0, theta: 1 });
  const affine = (name: string, x: Vector) =>
    product(`${name}.weight`, x).map((value, i) => value + tensors.get(`${name}.bias`)!.data[i]);
  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
  const rank = tensors.get('markov_head.markov_w1.weight')!.shape[1];
  let previous = anchor;
  let memory: Vector = Array.from({ length: rank }, () => 0);
  return places.flatMap(({ state, logits }, place) => {
    const token = row('markov_head.markov_w1.weight', previous);
    let mixed = token;
    if (type === 'gated') {
      const gate = affine('markov_head.gate_proj', [...state, ...token]);
      mixed = token.map((value, i) => value * sigmoid(gate[i]));
    }
    if (type === 'rnn') {
      const joint = affine('markov_head.joint_proj', [...memory, ...token, ...state]);
      memory = memory.map((value, i) => {
        const gate = sigmoid(joint[i]);
        return gate * value + (1 - gate) * Math.tanh(joint[rank + i]);
      });
      mixed = joint.slice(2 * rank).map(Math.tanh);
    }
    if (place < silent) return [];
    const bias = product('markov_head.markov_w2.weight', mixed);
    const biased = logits.map((value, i) => value + bias[i]);
    const confidence = sigmoid(affine('confidence_head.proj', [...state, ...token])[0]);
    previous = biased.indexOf(Math.max(...biased));
    return [{ logits: biased, token: previous, confidence }];
  });
}

/** RMS(fc(states)), as DFlash fuses them. */
export function fuseNormed(tensors: Tensors, states: Vector, shape: Shape): Vector {
  const { product, norm } = mathOf(tensors, shape);
  return norm(product('fc.weight', states), 'hidden_norm.weight');
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
