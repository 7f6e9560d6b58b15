// EAGLE-1 and EAGLE-2 (Li et al., 2024) and HASS (arXiv 2408.15766): one decoder layer that continues the target's last state, read
// after its final norm, with the token that was drawn from it. Embedding and head are the target's.
// Fields and tensor names are those of `eagle` in speculators 0.1.
import * as z from 'zod';
import { UnsupportedError } from '../../kernels/errors.ts';
import { weight } from '../../models/layers.ts';
import type { DecoderAlgorithm } from '../speculators/algorithm.ts';
import { headLayer, layerSpecs, need } from './head-layer.ts';

const schema = z.looseObject({
  layernorms: z.boolean().default(false),
  fusion_bias: z.boolean().default(false),
});

const LAYER = 'transformer';

/** The algorithm `eagle`. */
export const eagle: DecoderAlgorithm<z.output<typeof schema>> = {
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
      ...(fields.layernorms
        ? ['embedding_layernorm', `${LAYER}.input_layernorm`, 'pre_lm_head_layernorm'].map((name) =>
            weight(`${name}.weight`, width),
          )
        : []),
      ...layerSpecs(LAYER, layer, width),
    ];
  },
  taps: ({ target }) => [target.layers],
  fuse: (ops, { config, lent }, states) => ops.rmsNorm(states, lent.norm, config.target.normEps),
  forward(ops, context) {
    const { config, weights, lent, rows, states } = context;
    const { fields, layer } = config;
    const norm = (x: typeof states, name: string) =>
      fields.layernorms ? ops.rmsNorm(x!, need(weights, `${name}.weight`), layer.normEps) : x!;
    const token = norm(ops.gather(lent.embed, rows.tokens), 'embedding_layernorm'); // [T, C]
    const bias = fields.fusion_bias ? need(weights, 'fusion_fc.bias') : undefined;
    const fused = ops.linear(
      ops.concat([token, states!], 1),
      need(weights, 'fusion_fc.weight'),
      bias,
    ); // [T, C]
    const input = norm(fused, `${LAYER}.input_layernorm`);
    const y = headLayer(ops, context, { l: 0, prefix: LAYER, input, residual: fused });
    const state = ops.gather(y, rows.keep); // [K, C]
    return { logits: ops.linear(norm(state, 'pre_lm_head_layernorm'), lent.head), state };
  },
};
