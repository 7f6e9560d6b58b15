// A second implementation of multi-token prediction with a layer of DeepSeek-V3, in float64 loops over plain arrays, written from the
// description of the model and sharing nothing with the first: all pairs are computed anew for every call, pairs of columns turn where
// they lie, and a row asks every group and every expert.
import type { Pair, readTensors } from './float64.ts';

/** A row. */
export type Vector = readonly number[];
/** Tensors by name. */
export type Tensors = Awaited<ReturnType<typeof readTensors>>;

/** What a mixture does with a row. */
export interface Routing {
  readonly perRow: number;
  readonly groups: number;
  readonly kept: number;
  readonly normalised: boolean;
  readonly factor: number;
}

/** Numbers of the layer. */
export interface LatentShape {
  readonly heads: number;
  /** Columns of a key that do not turn, that turn, and columns of a value. */
  readonly still: number;
  readonly turning: number;
  readonly value: number;
  /** Numbers that keys and values are made of. */
  readonly rank: number;
  readonly isInterleaved: boolean;
  /** Angle per position of every pair, and what cosines and sines are multiplied with. */
  readonly angles: Vector;
  readonly stretch: number;
  /** What scores are multiplied with, beside 1 / √(still + turning). */
  readonly scale: number;
  readonly eps: number;
  /** Absent for a dense feed-forward. */
  readonly routing?: Routing;
}

/** Products, norms and units over the tensors of a head by name. */
export function mathOf(tensors: Tensors) {
  const dataOf = (name: string) => tensors.get(name)?.data;
  /** Rows [from, from + count) of a tensor, whatever its rank, times x. */
  const rowsTimes = (name: string, x: Vector, from = 0, count?: number): number[] => {
    const data = dataOf(`${name}.weight`) ?? dataOf(name)!;
    const bias = dataOf(`${name}.bias`);
    const columns = x.length;
    const rows = count ?? data.length / columns;
    const y: number[] = [];
    for (let r = from; r < from + rows; r++) {
      let sum = bias?.[r] ?? 0;
      for (let c = 0; c < columns; c++) sum += data[r * columns + c] * x[c];
      y.push(sum);
    }
    return y;
  };
  const norm = (x: Vector, name: string, eps: number): number[] => {
    const w = dataOf(`${name}.weight`)!;
    const root = Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / x.length + eps);
    return x.map((v, i) => (v / root) * w[i]);
  };
  return { dataOf, rowsTimes, norm };
}

const sigmoid = (v: number) => 1 / (1 + Math.exp(-v));
const unit = (gate: Vector, up: Vector) => gate.map((g, i) => g * sigmoid(g) * up[i]);
/** a + b */
export const plus = (a: Vector, b: Vector) => a.map((v, i) => v + b[i]);

/** Which experts a row goes to, and its shares of them, from its scores. */
function sharesOf(scores: Vector, bias: Vector, routing: Routing): Map<number, number> {
  const { perRow, groups, kept, normalised, factor } = routing;
  const size = scores.length / groups;
  const worth = scores.map((score, e) => score + bias[e]);
  const byValue = (a: { value: number; at: number }, b: { value: number; at: number }) =>
    b.value - a.value || a.at - b.at;
  const open = new Set(
    Array.from({ length: groups }, (_, at) => {
      const best = worth.slice(at * size, (at + 1) * size).toSorted((a, b) => b - a);
      return { at, value: groups === 1 ? 0 : best[0] + best[1] };
    })
      .toSorted(byValue)
      .slice(0, kept)
      .map(({ at }) => at),
  );
  const best = worth
    .map((value, at) => ({ value, at }))
    .filter(({ at }) => open.has(Math.floor(at / size)))
    .toSorted(byValue)
    .slice(0, perRow);
  const sum = best.reduce((total, { at }) => total + scores[at], 0);
  return new Map(best.map(({ at }) => [at, (scores[at] / (normalised ? sum : 1)) * factor]));
}

/** The feed-forward of a layer: dense, or experts in groups and those that all rows go to. */
export function fed(tensors: Tensors, x: Vector, routing: Routing | undefined): number[] {
  const { dataOf, rowsTimes } = mathOf(tensors);
  const mlp = 'mtp_layers.0.mlp';
  const dense = (prefix: string) =>
    rowsTimes(
      `${prefix}.down_proj`,
      unit(rowsTimes(`${prefix}.gate_proj`, x), rowsTimes(`${prefix}.up_proj`, x)),
    );
  if (routing === undefined) return dense(mlp);
  const scores = rowsTimes(`${mlp}.gate`, x).map(sigmoid);
  const shares = sharesOf(scores, dataOf(`${mlp}.gate.e_score_correction_bias`)!, routing);
  const inner = tensors.get(`${mlp}.experts.down_proj`)!.shape[2];
  const y = dense(`${mlp}.shared_experts`);
  for (const [e, share] of shares) {
    const both = rowsTimes(`${mlp}.experts.gate_up_proj`, x, 2 * inner * e, 2 * inner);
    const hidden = unit(both.slice(0, inner), both.slice(inner));
    const out = rowsTimes(`${mlp}.experts.down_proj`, hidden, x.length * e, x.length);
    for (let c = 0; c < x.length; c++) y[c] += share * out[c];
  }
  return y;
}

/** Over all pairs, with the target's embedding and head: the state after every pair, and its logits. */
export function latentPasses(
  tensors: Tensors,
  pairs: readonly Pair[],
  shape: LatentShape,
  names: { readonly embed: string; readonly head: string },
): { state: number[]; logits: number[] }[] {
  const { heads, still, turning, value, rank, eps, routing } = shape;
  const { dataOf, rowsTimes, norm } = mathOf(tensors);
  const at = (name: string) => `mtp_layers.0.${name}`;
  const own = (name: string) => at(`self_attn.${name}`);
  /** Turns x in place of its pairs. */
  const turn = (x: Vector, position: number): number[] => {
    const y = [...x];
    for (const [p, angle] of shape.angles.entries()) {
      const [a, b] = shape.isInterleaved ? [2 * p, 2 * p + 1] : [p, p + turning / 2];
      const [cos, sin] = [Math.cos(position * angle), Math.sin(position * angle)];
      y[a] = (x[a] * cos - x[b] * sin) * shape.stretch;
      y[b] = (x[b] * cos + x[a] * sin) * shape.stretch;
    }
    return y;
  };
  const queriesOf = (x: Vector): number[] => {
    if (dataOf(own('q_proj.weight'))) return rowsTimes(own('q_proj'), x);
    const short = norm(rowsTimes(own('q_a_proj'), x), own('q_a_layernorm'), 1e-6);
    return rowsTimes(own('q_b_proj'), short);
  };

  const keys: number[][][] = [];
  const values: number[][][] = [];
  return pairs.map(({ token, state }, position) => {
    const width = state.length;
    const embedded = dataOf(names.embed)!.slice(token * width, (token + 1) * width);
    const joined = [
      ...norm(embedded, at('token_layernorm'), eps),
      ...norm(state, at('hidden_layernorm'), eps),
    ];
    const x = rowsTimes(at('input_proj'), joined);
    const input = norm(x, at('input_layernorm'), eps);
    const both = rowsTimes(own('kv_a_proj_with_mqa'), input);
    const shared = turn(both.slice(rank), position);
    const made = rowsTimes(
      own('kv_b_proj'),
      norm(both.slice(0, rank), own('kv_a_layernorm'), 1e-6),
    );
    const starts = Array.from({ length: heads }, (_, h) => h * (still + value));
    keys.push(starts.map((from) => [...made.slice(from, from + still), ...shared]));
    values.push(starts.map((from) => made.slice(from + still, from + still + value)));
    const queries = queriesOf(input);
    const seen = starts.flatMap((_, h) => {
      const from = h * (still + turning);
      const q = [
        ...queries.slice(from, from + still),
        ...turn(queries.slice(from + still, from + still + turning), position),
      ];
      const powers = keys.map((key) => {
        const dot = q.reduce((sum, v, d) => sum + v * key[h][d], 0);
        return Math.exp((dot * shape.scale) / Math.sqrt(still + turning));
      });
      const total = powers.reduce((sum, power) => sum + power, 0);
      return Array.from({ length: value }, (_, d) =>
        powers.reduce((sum, power, j) => sum + (power / total) * values[j][h][d], 0),
      );
    });
    const y = plus(rowsTimes(own('o_proj'), seen), x);
    const middle = norm(y, at('post_attention_layernorm'), eps);
    const out = norm(plus(fed(tensors, middle, routing), y), at('final_layernorm'), eps);
    return { state: out, logits: rowsTimes(names.head, out) };
  });
}
