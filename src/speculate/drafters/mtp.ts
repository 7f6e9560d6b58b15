// Multi-token prediction as it comes with a model (DeepSeek-AI, "DeepSeek-V3", 2024; Qwen team): one layer of the model's own kind
// over [token; state], normed each, whose normed result is the next state. Embedding and head are the target's. The layer is that of
// Llama, Mistral, Qwen2 or Qwen3, or one that no target here has: of Qwen3-Next and Qwen3.5 with gated attention, of DeepSeek-V3 with latent
// attention, of GLM-4.5, all with experts. Fields and tensor names are those of `mtp` in speculators, which trains it on the
// state before the target's final norm.
import * as z from 'zod';
import { FormatError, UnsupportedError } from '../../kernels/errors.ts';
import { weight } from '../../models/layers.ts';
import type { Recorder } from '../../tensor/record.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { DecoderAlgorithm, HeadContext } from '../speculators/algorithm.ts';
import { gainOf, gatedConstants, gatedLayer } from './gated-layer.ts';
import { headLayer, layerSpecs, need } from './head-layer.ts';
import { isLatent, latentConstants, latentLayer, latentSpecs } from './latent-layer.ts';
import type { LayerConfig } from './layer-config.ts';

const schema = z.looseObject({ num_nextn_predict_layers: z.literal(1).default(1) });

const LAYER = 'mtp_layers.0';
const NORMS = ['token_layernorm', 'hidden_layernorm', 'input_layernorm', 'final_layernorm'];

function specsOf(layer: LayerConfig) {
  return isLatent(layer) ? latentSpecs(LAYER, layer) : layerSpecs(LAYER, layer, layer.width);
}

function layerOf<Fields>(
  ops: Recorder,
  context: HeadContext<Fields>,
  given: { readonly input: Tensor; readonly residual: Tensor },
): Tensor {
  const { layer } = context.config;
  const at = { prefix: LAYER, ...given };
  if (isLatent(layer)) return latentLayer(ops, context, { layer, ...at });
  return layer.isGated ? gatedLayer(ops, context, at) : headLayer(ops, context, { l: 0, ...at });
}

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
      ...specsOf(layer),
    ];
  },
  constants: ({ layer }) => (isLatent(layer) ? latentConstants(layer) : gatedConstants(layer)),
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
    const layer: LayerConfig = { ...config.layer, windows: [0] };
    const y = layerOf(ops, { ...context, config: { ...config, layer } }, { input, residual: x });
    const state = norm(ops.gather(y, rows.keep), 'final_layernorm'); // [K, C]
    return { logits: ops.linear(state, lent.head), state };
  },
};
