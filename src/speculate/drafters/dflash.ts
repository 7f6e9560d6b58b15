// DFlash (arXiv 2602.06036): a block of places that is filled in at once. Its layers attend from the places to the target's
// states, fused, and to each other; the states are never rows of the stream. A window is counted from the first place, as in
// training. Fields and tensor names are those of `dflash` in speculators.
import * as z from 'zod';
import { FormatError } from '../../kernels/errors.ts';
import { weight } from '../../models/layers.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { DecoderAlgorithm } from '../speculators/algorithm.ts';
import { checkLayerIds, checkMaskToken } from './head-fields.ts';
import { headLayer, layerSpecs, need } from './head-layer.ts';

/** Fields of `dflash`, which `dspark` has too. */
export const dflashSchema = z.looseObject({
  draft_vocab_size: z.int().positive().default(32_000),
  block_size: z.int().min(2).default(8),
  aux_hidden_state_layer_ids: z.array(z.int().nonnegative()).min(1),
  mask_token_id: z.int().nonnegative().nullish(),
  sample_from_anchor: z.boolean().default(false),
  sliding_window_non_causal: z.boolean().default(false),
});

export type DflashFields = z.output<typeof dflashSchema>;

/** The algorithm `dflash`. */
export const dflash: DecoderAlgorithm<DflashFields> = {
  name: 'dflash',
  schema: dflashSchema,
  draftVocab: ({ fields }) => fields.draft_vocab_size,
  weights({ fields, layer, target }, has) {
    const { width } = layer;
    const taps = fields.aux_hidden_state_layer_ids;
    checkLayerIds('dflash: aux_hidden_state_layer_ids', taps, target);
    const optional = [
      weight('embed_tokens.weight', target.vocab, width),
      weight('lm_head.weight', fields.draft_vocab_size, width),
    ].filter(({ name }) => has(name));
    if (!has('lm_head.weight') && fields.draft_vocab_size !== target.vocab)
      throw new FormatError(
        `dflash: expected lm_head.weight for a vocabulary of ${fields.draft_vocab_size}, got none`,
      );
    return [
      ...optional,
      weight('fc.weight', width, taps.length * target.width),
      weight('hidden_norm.weight', width),
      ...Array.from({ length: layer.layers }, (_, l) => [
        weight(`layers.${l}.input_layernorm.weight`, width),
        ...layerSpecs(`layers.${l}`, layer, width),
      ]).flat(),
      weight('norm.weight', width),
    ];
  },
  taps: ({ fields }) => fields.aux_hidden_state_layer_ids,
  block({ fields, target }) {
    const { block_size: size, mask_token_id: token, sample_from_anchor: fromAnchor } = fields;
    const windows = fields.sliding_window_non_causal ? 'mutual' : 'causal';
    return { size, maskToken: checkMaskToken('dflash', token, target), fromAnchor, windows };
  },
  fuse: (ops, { config, weights }, states) =>
    ops.rmsNorm(
      ops.linear(states, need(weights, 'fc.weight')),
      need(weights, 'hidden_norm.weight'),
      config.layer.normEps,
    ),
  forward(ops, context) {
    const { config, weights, lent, rows, states } = context;
    const { width, layers, normEps } = config.layer;
    const norm = (x: Tensor, name: string) =>
      ops.rmsNorm(x, need(weights, `${name}.weight`), normEps);
    const memory = ops.slice(states!, 1, 0, width); // [T, C]: of a state of the target; of a place zeros
    const isPlace = ops.slice(states!, 1, width, width + 1); // [T, 1]
    let x = ops.gather(weights.get('embed_tokens.weight') ?? lent.embed, rows.tokens); // [T, C]
    for (let l = 0; l < layers; l++) {
      const input = norm(x, `layers.${l}.input_layernorm`);
      x = headLayer(ops, context, {
        l,
        prefix: `layers.${l}`,
        input,
        // The same states in every layer, as they are; of a place what its query is made of.
        memory: ops.add(memory, ops.mul(input, isPlace)),
        residual: x,
      });
    }
    const state = norm(ops.gather(x, rows.keep), 'norm'); // [K, C]
    const head = weights.get('lm_head.weight') ?? lent.head;
    return { logits: ops.linear(state, head), state };
  },
};
