// Multi-token prediction as it comes with a model (DeepSeek-AI, "DeepSeek-V3", 2024; Qwen team): one layer of the model's own kind
// over [token; state], normed each, whose normed result is the next state. Embedding and head are the target's. The layer is that of
// Llama, Qwen3, Qwen3-Next or Qwen3.5; of the last two with gated attention and experts, which no target here has. Fields
// and tensor names are those of `mtp` in speculators, which trains it on the state before the target's final norm.
import * as z from 'zod';
import { FormatError, UnsupportedError } from '../../kernels/errors.ts';
import { weight } from '../../models/layers.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { DecoderAlgorithm } from '../speculators/algorithm.ts';
import { gainOf, gatedConstants, gatedLayer, gatedSpecs } from './gated-layer.ts';
import { headLayer, layerSpecs, need } from './head-layer.ts';

const schema = z.looseObject({ num_nextn_predict_layers: z.literal(1).default(1) });

const LAYER = 'mtp_layers.0';
const NORMS = ['token_layernorm', 'hidden_layernorm', 'input_layernorm', 'final_layernorm'];

/** The algorithm `mtp`. */
export const mtp: DecoderAlgorithm<z.output<typeof schema>> = {
  name: 'mtp',
  schema,
  draftVocab: ({ target }) => target.vocab,
  // The config of its layer is that of the target, with as many layers.
  layers: () => 1,
  weights({ layer, target }) {
    const { width } = layer;
    if (layer.windows.every((window) => window > 0))
      throw new UnsupportedError(
        `mtp: expected a model with a layer of full attention, which its own is, got windows of ${layer.windows[0]}`,
      );
    if (width !== target.width)
      throw new FormatError(
        `mtp: hidden_size: expected the target's ${target.width}, got ${width}`,
      );
    return [
      weight(`${LAYER}.input_proj.weight`, width, 2 * width),
      ...NORMS.map((name) => weight(`${LAYER}.${name}.weight`, width)),
      ...(layer.gated ? gatedSpecs(LAYER, layer) : layerSpecs(LAYER, layer, width)),
    ];
  },
  constants: ({ layer }) => gatedConstants(layer),
  taps: ({ target }) => [target.layers],
  // As they are.
  fuse: (ops, { config }, states) => ops.slice(states, 1, 0, config.target.width),
  forward(ops, context) {
    const { config, weights, lent, rows, states } = context;
    const norm = (x: Tensor, name: string) =>
      ops.rmsNorm(x, gainOf(ops, context, `${LAYER}.${name}.weight`), config.layer.normEps);
    const token = norm(ops.gather(lent.embed, rows.tokens), 'token_layernorm'); // [T, C]
    const hidden = norm(states!, 'hidden_layernorm'); // [T, C]
    const x = ops.linear(
      ops.concat([token, hidden], 1),
      need(weights, `${LAYER}.input_proj.weight`),
    ); // [T, C]
    const input = norm(x, 'input_layernorm');
    // One of full attention, whatever the first layer of the model is.
    const layer = { ...config.layer, windows: [0] };
    const full = { ...context, config: { ...config, layer } };
    const parts = { prefix: LAYER, input, residual: x };
    const y = layer.gated ? gatedLayer(ops, full, parts) : headLayer(ops, full, { l: 0, ...parts });
    const state = norm(ops.gather(y, rows.keep), 'final_layernorm'); // [K, C]
    return { logits: ops.linear(state, lent.head), state };
  },
};
