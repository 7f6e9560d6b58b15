// A second implementation of multi-token prediction with a layer of Qwen3-Next or Qwen3.5, in float64 loops over plain arrays,
// written from the description of the format and sharing nothing with the first: all pairs are computed anew for every call.
import type { Pair, readTensors } from './float64.ts';

type Vector = readonly number[];
type Tensors = Awaited<ReturnType<typeof readTensors>>;

/** Numbers of the layer. */
export interface GatedShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Columns of a head that turn. */
  readonly turning: number;
  readonly theta: number;
  readonly eps: number;
  /** Experts of a row, and whether their shares are made to sum to 1; absent for a dense feed-forward. */
  readonly routing?: { readonly perRow: number; readonly normalised: boolean };
}

/** Over all pairs, with the target's embedding and head: the state after every pair, and its logits. */
export function gatedPasses(
  tensors: Tensors,
  pairs: readonly Pair[],
  shape: GatedShape,
  names: { readonly embed: string; readonly head: string },
): { state: number[]; logits: number[] }[] {
  const { heads, kvHeads, headDim, turning, theta, eps, routing } = shape;
  const at = (name: string) => `mtp_layers.0.${name}`;
  /** Rows [from, from + count) of a tensor, whatever its rank, times x. */
  const rowsTimes = (name: string, x: Vector, from = 0, count?: number): number[] => {
    const { shape: sizes, data } = tensors.get(name)!;
    const columns = sizes[sizes.length - 1];
    const rows = count ?? data.length / columns;
    const y: number[] = [];
    for (let r = from; r < from + rows; r++) {
      let sum = 0;
      for (let c = 0; c < columns; c++) sum += data[r * columns + c] * x[c];
      y.push(sum);
    }
    return y;
  };
  const projected = (name: string, x: Vector): number[] => {
    const bias = tensors.get(at(`self_attn.${name}.bias`))?.data;
    return rowsTimes(at(`self_attn.${name}.weight`), x).map((v, i) => v + (bias?.[i] ?? 0));
  };
  const norm = (x: Vector, name: string): number[] => {
    const w = tensors.get(at(`${name}.weight`))!.data;
    let squares = 0;
    for (const v of x) squares += v * v;
    const root = Math.sqrt(squares / x.length + eps);
    return x.map((v, i) => (v / root) * (1 + w[i]));
  };
  const sigmoid = (v: number) => 1 / (1 + Math.exp(-v));
  const turn = (x: Vector, position: number): number[] => {
    const y = [...x];
    const half = turning / 2;
    for (let d = 0; d < half; d++) {
      const angle = position * theta ** ((-2 * d) / turning);
      y[d] = x[d] * Math.cos(angle) - x[d + half] * Math.sin(angle);
      y[d + half] = x[d + half] * Math.cos(angle) + x[d] * Math.sin(angle);
    }
    return y;
  };
  const unit = (gate: Vector, up: Vector) => gate.map((g, i) => g * sigmoid(g) * up[i]);
  const dense = (prefix: string, x: Vector) => {
    const gate = rowsTimes(at(`${prefix}.gate_proj.weight`), x);
    const up = rowsTimes(at(`${prefix}.up_proj.weight`), x);
    return rowsTimes(at(`${prefix}.down_proj.weight`), unit(gate, up));
  };
  const sparse = (x: Vector, { perRow, normalised }: NonNullable<typeof routing>): number[] => {
    const logits = rowsTimes(at('mlp.gate.weight'), x);
    const powers = logits.map((logit) => Math.exp(logit));
    const whole = powers.reduce((sum, power) => sum + power, 0);
    const best = logits
      .map((logit, e) => ({ logit, e }))
      .toSorted((a, b) => b.logit - a.logit || a.e - b.e)
      .slice(0, perRow)
      .map(({ e }) => e);
    const chosen = best.reduce((sum, e) => sum + powers[e], 0);
    const width = x.length;
    const inner = tensors.get(at('mlp.experts.down_proj'))!.shape[2];
    const gate = sigmoid(rowsTimes(at('mlp.shared_expert_gate.weight'), x)[0]);
    const y = dense('mlp.shared_expert', x).map((v) => v * gate);
    for (const e of best) {
      const both = rowsTimes(at('mlp.experts.gate_up_proj'), x, 2 * inner * e, 2 * inner);
      const hidden = unit(both.slice(0, inner), both.slice(inner));
      const out = rowsTimes(at('mlp.experts.down_proj'), hidden, width * e, width);
      const share = powers[e] / (normalised ? chosen : whole);
      for (let c = 0; c < width; c++) y[c] += share * out[c];
    }
    return y;
  };

  const keys: number[][][] = [];
  const values: number[][] = [];
  const cut = (x: Vector, from: number) => x.slice(from, from + headDim);
  return pairs.map(({ token, state }, position) => {
    const { shape: sizes, data } = tensors.get(names.embed)!;
    const embedded = data.slice(token * sizes[1], (token + 1) * sizes[1]);
    const joined = [...norm(embedded, 'token_layernorm'), ...norm(state, 'hidden_layernorm')];
    const x = rowsTimes(at('input_proj.weight'), joined);
    const input = norm(x, 'input_layernorm');
    const k = projected('k_proj', input);
    values.push(projected('v_proj', input));
    keys.push(
      Array.from({ length: kvHeads }, (_, g) =>
        turn(norm(cut(k, g * headDim), 'self_attn.k_norm'), position),
      ),
    );
    const both = projected('q_proj', input);
    const seen: number[] = [];
    for (let h = 0; h < heads; h++) {
      const q = turn(norm(cut(both, 2 * h * headDim), 'self_attn.q_norm'), position);
      const gate = cut(both, (2 * h + 1) * headDim);
      const g = Math.floor(h / (heads / kvHeads));
      const scores = keys.map((key) => {
        let dot = 0;
        for (let d = 0; d < headDim; d++) dot += q[d] * key[g][d];
        return Math.exp(dot / Math.sqrt(headDim));
      });
      const total = scores.reduce((sum, score) => sum + score, 0);
      for (let d = 0; d < headDim; d++) {
        let sum = 0;
        for (let j = 0; j < scores.length; j++) sum += scores[j] * values[j][g * headDim + d];
        seen.push((sum / total) * sigmoid(gate[d]));
      }
    }
    const y = projected('o_proj', seen).map((v, i) => v + x[i]);
    const middle = norm(y, 'post_attention_layernorm');
    const made = routing === undefined ? dense('mlp', middle) : sparse(middle, routing);
    const out = norm(
      made.map((v, i) => v + y[i]),
      'final_layernorm',
    );
    return { state: out, logits: rowsTimes(names.head, out) };
  });
}
