// Second implementations of the passes of EAGLE heads, in float64 loops.
import { layerOf, mathOf, type Pair, type Shape, type Tensors, type Vector } from './float64.ts';

/** What a pair gives: the state that goes with the next token, and logits. */
export interface Passed {
  readonly state: Vector;
  readonly logits: Vector;
}

/** EAGLE-3 over all its pairs, states already fused, with a layer for every window (0 is none). */
export function eagle3Passes(
  tensors: Tensors,
  pairs: readonly Pair[],
  windows: readonly number[],
  shape: Shape,
): readonly Passed[] {
  const { row, product, norm } = mathOf(tensors, shape);
  let stream = pairs.map(({ state }) => state);
  for (const [l, window] of windows.entries()) {
    const at = `layers.${l}`;
    const rows = stream.map((residual, i) => ({
      residual,
      input:
        l > 0
          ? norm(residual, `${at}.input_layernorm.weight`)
          : [
              ...norm(row('embed_tokens.weight', pairs[i].token), `${at}.input_layernorm.weight`),
              ...norm(residual, `${at}.hidden_norm.weight`),
            ],
    }));
    stream = layerOf(tensors, at, rows, { ...shape, window }).map((each) => [...each]);
  }
  return stream.map((state) => ({
    state,
    logits: product('lm_head.weight', norm(state, 'norm.weight')),
  }));
}

/**
 * EAGLE-1 and HASS over all their pairs, with the target's embedding and head. Norms are those that there are tensors for: of the token and
 * of the state before they are fused, of what the layer reads, of what the head reads.
 */
export function eaglePasses(
  tensors: Tensors,
  pairs: readonly Pair[],
  { window = 0, ...shape }: Shape & { readonly window?: number },
): readonly Passed[] {
  const { row, product, norm } = mathOf(tensors, shape);
  const normed = (x: Vector, name: string) =>
    tensors.has(`${name}.weight`) ? norm(x, `${name}.weight`) : x;
  const bias = tensors.get('fusion_fc.bias')?.data;
  const rows = pairs.map(({ token, state }) => {
    const fused = product('fusion_fc.weight', [
      ...normed(row('model.embed_tokens.weight', token), 'embedding_layernorm'),
      ...normed(state, 'hidden_layernorm'),
    ]).map((value, i) => value + (bias?.[i] ?? 0));
    return { input: normed(fused, 'transformer.input_layernorm'), residual: fused };
  });
  return layerOf(tensors, 'transformer', rows, { ...shape, window }).map((state) => ({
    state,
    logits: product('lm_head.weight', normed(state, 'pre_lm_head_layernorm')),
  }));
}
