// EAGLE-1 and EAGLE-2 (Li et al., 2024) and HASS (arXiv 2408.15766): one decoder layer that continues the target's last state, read
// after its final norm, with the token that was drawn from it. Embedding and head are the target's.
// Fields and tensor names are those of `eagle` in speculators 0.1, but for `hidden_layernorm`, which is ours: HASS norms the state before
// it is fused, where the format norms what has been fused.
import * as z from 'zod';
import { UnsupportedError } from '../../kernels/errors.ts';
import { weight } from '../../models/layers.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { DecoderAlgorithm } from '../speculators/algorithm.ts';
import { headLayer, layerSpecs, need } from './head-layer.ts';

const schema = z.looseObject({
  layernorms: z.boolean().default(false),
  fusion_bias: z.boolean().default(false),
  hidden_layernorm: z.boolean().optional(),
});

type Fields = z.output<typeof schema>;

const LAYER = 'transformer';
const EMBEDDING_NORM = 'embedding_layernorm';
const STATE_NORM = 'hidden_layernorm';
const INPUT_NORM = `${LAYER}.input_layernorm`;
const HEAD_NORM = 'pre_lm_head_layernorm';

/** The norms that a head has. */
function normsOf({ layernorms, hidden_layernorm: ofState = false }: Fields): readonly string[] {
  const inner = ofState ? [STATE_NORM] : layernorms ? [INPUT_NORM] : [];
  return [...(layernorms ? [EMBEDDING_NORM, HEAD_NORM] : []), ...inner];
}

/** The algorithm `eagle`. */
export const eagle: DecoderAlgorithm<Fields> = {
  name: 'eagle',
  schema,
  draftVocab: ({ target }) => target.vocab,
  weights({ fields, layer, target }) {
    const { width } = layer;
    if (layer.layers !== 1)
      throw new UnsupportedError(`eagle: expected one decoder layer, got ${layer.layers}`);
    if (width !== target.width)
      throw new UnsupportedError(
        `eagle: expected the target's width ${target.width}, got ${width}`,
      );
    return [
      weight('fusion_fc.weight', width, 2 * width),
      ...(fields.fusion_bias ? [weight('fusion_fc.bias', width)] : []),
      ...normsOf(fields).map((name) => weight(`${name}.weight`, width)),
      ...layerSpecs(LAYER, layer, width),
    ];
  },
  taps: ({ target }) => [target.layers],
  fuse: (ops, { config, lent }, states) => ops.rmsNorm(states, lent.norm, config.target.normEps),
  forward(ops, context) {
    const { config, weights, lent, rows, states } = context;
    const { fields, layer } = config;
    const norms = normsOf(fields);
    const norm = (x: Tensor, name: string) =>
      norms.includes(name) ? ops.rmsNorm(x, need(weights, `${name}.weight`), layer.normEps) : x;
    const token = norm(ops.gather(lent.embed, rows.tokens), EMBEDDING_NORM); // [T, C]
    const hidden = norm(states!, STATE_NORM); // [T, C]
    const bias = fields.fusion_bias ? need(weights, 'fusion_fc.bias') : undefined;
    const fused = ops.linear(
      ops.concat([token, hidden], 1),
      need(weights, 'fusion_fc.weight'),
      bias,
    ); // [T, C]
    const input = norm(fused, INPUT_NORM);
    const y = headLayer(ops, context, { l: 0, prefix: LAYER, input, residual: fused });
    const state = ops.gather(y, rows.keep); // [K, C]
    return { logits: ops.linear(norm(state, HEAD_NORM), lent.head), state };
  },
};
