// A second implementation of multi-token prediction with a layer of GLM-4.5, in float64 loops over plain arrays, written from the
// description of the model and sharing nothing with the first: grouped-query attention of which the first columns of a head turn, and
// the feed-forward of DeepSeek-V3.
import type { Pair } from './float64.ts';
import { fed, mathOf, plus, type Routing, type Tensors, type Vector } from './latent-head.ts';

/** Numbers of the layer. */
export interface GlmShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly turning: number;
  readonly theta: number;
  readonly eps: number;
  /** Absent for a dense feed-forward. */
  readonly routing?: Routing;
}

/** Over all pairs, with the target's embedding and head: the state after every pair, and its logits. */
export function glmPasses(
  tensors: Tensors,
  pairs: readonly Pair[],
  shape: GlmShape,
  names: { readonly embed: string; readonly head: string },
): { state: number[]; logits: number[] }[] {
  const { heads, kvHeads, headDim, turning, theta, eps, routing } = shape;
  const { dataOf, rowsTimes, norm } = mathOf(tensors);
  const at = (name: string) => `mtp_layers.0.${name}`;
  const own = (name: string) => at(`self_attn.${name}`);
  const turn = (x: Vector, position: number): number[] => {
    const y = [...x];
    for (let a = 0, b = turning / 2; b < turning; a++, b++) {
      const angle = position / theta ** ((2 * a) / turning);
      y[a] = x[a] * Math.cos(angle) - x[b] * Math.sin(angle);
      y[b] = x[b] * Math.cos(angle) + x[a] * Math.sin(angle);
    }
    return y;
  };
  /** The heads of a projection, normed where there is a norm. */
  const split = (name: 'q' | 'k' | 'v', x: Vector, count: number): number[][] => {
    const all = rowsTimes(own(`${name}_proj`), x);
    return Array.from({ length: count }, (_, h) => {
      const head = all.slice(h * headDim, (h + 1) * headDim);
      return dataOf(own(`${name}_norm.weight`)) ? norm(head, own(`${name}_norm`), eps) : head;
    });
  };
  const keys: number[][][] = [];
  const values: number[][][] = [];
  return pairs.map(({ token, state }, position) => {
    const width = state.length;
    const embedded = dataOf(names.embed)!.slice(token * width, (token + 1) * width);
    const x = rowsTimes(at('input_proj'), [
      ...norm(embedded, at('token_layernorm'), eps),
      ...norm(state, at('hidden_layernorm'), eps),
    ]);
    const input = norm(x, at('input_layernorm'), eps);
    keys.push(split('k', input, kvHeads).map((key) => turn(key, position)));
    values.push(split('v', input, kvHeads));
    const seen = split('q', input, heads).flatMap((query, h) => {
      const g = Math.floor((h * kvHeads) / heads);
      const turned = turn(query, position);
      const powers = keys.map((key) =>
        Math.exp(turned.reduce((sum, v, d) => sum + v * key[g][d], 0) / Math.sqrt(headDim)),
      );
      const total = powers.reduce((sum, power) => sum + power, 0);
      return query.map((_, d) =>
        powers.reduce((sum, power, j) => sum + (power / total) * values[j][g][d], 0),
      );
    });
    const y = plus(rowsTimes(own('o_proj'), seen), x);
    const middle = norm(y, at('post_attention_layernorm'), eps);
    const out = norm(plus(fed(tensors, middle, routing), y), at('final_layernorm'), eps);
    return { state: out, logits: rowsTimes(names.head, out) };
  });
}
