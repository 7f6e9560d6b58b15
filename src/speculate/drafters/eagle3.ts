// EAGLE-3 (Li et al., 2025) and 3.1: states of three target layers fused into one, a first decoder layer that reads the token beside
// it, and a head over a vocabulary of its own. Fields and tensor names are those of `eagle3` in speculators.
import * as z from 'zod';
import { FormatError, UnsupportedError } from '../../kernels/errors.ts';
import { weight } from '../../models/layers.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { DecoderAlgorithm, HeadConfig } from '../speculators/algorithm.ts';
import { checkLayerIds } from './head-fields.ts';
import { headLayer, layerSpecs, need } from './head-layer.ts';

/** Fields of `eagle3`, which `peagle` has too. */
export const eagle3Schema = z
  .looseObject({
    draft_vocab_size: z.int().positive().default(32_000),
    norm_before_residual: z.boolean().default(false),
    norm_before_fc: z.boolean().default(false),
    fc_norm: z.boolean().default(false),
    norm_output: z.boolean().default(false),
    target_hidden_size: z.int().positive().nullish(),
    eagle_aux_hidden_state_layer_ids: z.array(z.int().nonnegative()).min(1).nullish(),
  })
  .refine(({ norm_before_fc, fc_norm }) => !(norm_before_fc && fc_norm), {
    error: 'expected norm_before_fc or fc_norm, got both',
  });

export type Eagle3Fields = z.output<typeof eagle3Schema>;
type Fields = Eagle3Fields;

/** Of a target of so many layers, an early, a middle and a late one. */
export const usualLayerIds = (layers: number): readonly number[] => [
  2,
  Math.floor(layers / 2),
  layers - 3,
];

/** Layers whose input is fused: as the file says, else the usual ones. */
function tapsOf({ fields, target }: HeadConfig<Fields>): readonly number[] {
  const ids = fields.eagle_aux_hidden_state_layer_ids ?? usualLayerIds(target.layers);
  return checkLayerIds('eagle3: eagle_aux_hidden_state_layer_ids', ids, target);
}

/** The algorithm `eagle3`. */
export const eagle3: DecoderAlgorithm<Fields> = {
  name: 'eagle3',
  schema: eagle3Schema,
  draftVocab: ({ fields }) => fields.draft_vocab_size,
  weights(config, has) {
    const { fields, layer, target } = config;
    const { width } = layer;
    const taps = tapsOf(config).length;
    const wide = fields.target_hidden_size ?? target.width;
    if (wide !== target.width)
      throw new FormatError(
        `eagle3: target_hidden_size: expected the target's ${target.width}, got ${wide}`,
      );
    return [
      ...(has('embed_tokens.weight') ? [weight('embed_tokens.weight', target.vocab, width)] : []),
      weight('fc.weight', width, taps * wide),
      ...(fields.norm_before_fc ? [weight('input_norm.weight', taps * wide)] : []),
      ...(fields.fc_norm
        ? Array.from({ length: taps }, (_, j) => weight(`fc_norm.${j}.weight`, wide))
        : []),
      ...Array.from({ length: layer.layers }, (_, l) => [
        weight(`layers.${l}.input_layernorm.weight`, width),
        ...(l === 0 ? [weight('layers.0.hidden_norm.weight', width)] : []),
        ...layerSpecs(`layers.${l}`, layer, l === 0 ? 2 * width : width),
      ]).flat(),
      weight('norm.weight', width),
      weight('lm_head.weight', fields.draft_vocab_size, width),
    ];
  },
  taps: tapsOf,
  fuse(ops, { config, weights }, states) {
    const { fields, layer, target } = config;
    const norm = (x: Tensor, name: string) =>
      ops.rmsNorm(x, need(weights, `${name}.weight`), layer.normEps);
    const parts = () =>
      tapsOf(config).map((_, j) =>
        norm(ops.slice(states, 1, j * target.width, (j + 1) * target.width), `fc_norm.${j}`),
      );
    const normed = fields.norm_before_fc
      ? norm(states, 'input_norm')
      : fields.fc_norm
        ? ops.concat(parts(), 1)
        : states;
    return ops.linear(normed, need(weights, 'fc.weight'));
  },
  forward(ops, context) {
    const { config, weights, lent, rows, states } = context;
    const { fields, layer } = config;
    const { normEps } = layer;
    const norm = (x: Tensor, name: string) =>
      ops.rmsNorm(x, need(weights, `${name}.weight`), normEps);
    const embed = weights.get('embed_tokens.weight') ?? lent.embed;
    if (embed.shape[1] !== layer.width)
      throw new UnsupportedError(
        `eagle3: expected an embedding of width ${layer.width}, got the target's of ${embed.shape[1]}`,
      );
    const token = norm(ops.gather(embed, rows.tokens), 'layers.0.input_layernorm'); // [T, C]
    const hidden = norm(states!, 'layers.0.hidden_norm'); // [T, C]
    let y = headLayer(ops, context, {
      l: 0,
      prefix: 'layers.0',
      input: ops.concat([token, hidden], 1), // [T, 2C]
      residual: fields.norm_before_residual ? hidden : states!,
    });
    for (let l = 1; l < layer.layers; l++)
      y = headLayer(ops, context, {
        l,
        prefix: `layers.${l}`,
        input: norm(y, `layers.${l}.input_layernorm`),
        residual: y,
      });
    const last = ops.gather(y, rows.keep); // [K, C]
    const normed = norm(last, 'norm');
    const logits = ops.linear(normed, need(weights, 'lm_head.weight'));
    return { logits, state: fields.norm_output ? normed : last };
  },
};
