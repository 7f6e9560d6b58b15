// The feed-forward of decoder layers of heads: dense, or a mixture of experts. A router gives every row to some of them, and all rows go
// to one more (DeepSeek-AI, "DeepSeekMoE", 2024): with a gate as in Qwen2-MoE, Qwen3-Next and Qwen3.5, or as in DeepSeek-V3. Only
// the experts of a row are computed.
import type { WeightSpec } from '../../models/architecture.ts';
import { feedForward, weight } from '../../models/layers.ts';
import type { Recorder } from '../../tensor/record.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { LayerConfig, Mixture } from './layer-config.ts';

const PROJECTIONS = ['gate_proj', 'up_proj', 'down_proj'] as const;

/** The weights of the feed-forward of a layer. */
export function feedSpecs(prefix: string, layer: LayerConfig): WeightSpec[] {
  const { width, ffnWidth, mlpBias, mixture } = layer;
  if (mixture !== undefined) return mixtureSpecs(prefix, width, mixture);
  return [
    ...denseSpecs(prefix, width, ffnWidth),
    ...(mlpBias
      ? PROJECTIONS.map((name) =>
          weight(`${prefix}.${name}.bias`, name === 'down_proj' ? width : ffnWidth),
        )
      : []),
  ];
}

const denseSpecs = (prefix: string, width: number, inner: number): WeightSpec[] =>
  PROJECTIONS.map((name) =>
    name === 'down_proj'
      ? weight(`${prefix}.${name}.weight`, width, inner)
      : weight(`${prefix}.${name}.weight`, inner, width),
  );

function mixtureSpecs(prefix: string, width: number, mixture: Mixture): WeightSpec[] {
  const { experts, width: inner, scores, sharedWidth, sharedName, sharedGate } = mixture;
  const at = (name: string) => `${prefix}.${name}`;
  return [
    weight(at('gate.weight'), experts, width),
    ...(scores === 'sigmoid' ? [weight(at(CORRECTION), experts)] : []),
    weight(at('experts.gate_up_proj'), experts, 2 * inner, width),
    weight(at('experts.down_proj'), experts, width, inner),
    ...denseSpecs(at(sharedName), width, sharedWidth),
    ...(sharedGate ? [weight(at('shared_expert_gate.weight'), 1, width)] : []),
  ];
}

const CORRECTION = 'gate.e_score_correction_bias';

/** The feed-forward of a layer, whose weights `get` gives. f32 [T, C] -> f32 [T, C] */
export function feed(
  ops: Recorder,
  x: Tensor,
  parts: { readonly get: (name: string) => Tensor; readonly layer: LayerConfig },
): Tensor {
  const { get, layer } = parts;
  if (layer.mixture !== undefined) return mixed(ops, x, { get, mixture: layer.mixture });
  const bias = (name: string) => (layer.mlpBias ? get(`${name}.bias`) : undefined);
  return feedForward(ops, x, {
    ...projections(get),
    gateBias: bias('gate_proj'),
    upBias: bias('up_proj'),
    downBias: bias('down_proj'),
  });
}

const projections = (get: (name: string) => Tensor, prefix = '') => ({
  gate: get(`${prefix}gate_proj.weight`),
  up: get(`${prefix}up_proj.weight`),
  down: get(`${prefix}down_proj.weight`),
});

/** Σ share · expert(x) + shared(x), the last times sigmoid(gate(x)) where it has one. f32 [T, C] -> f32 [T, C] */
function mixed(
  ops: Recorder,
  x: Tensor,
  parts: { readonly get: (name: string) => Tensor; readonly mixture: Mixture },
): Tensor {
  const { get } = parts;
  const { count, normalised, scores, factor, groups, groupsKept, ...shared } = parts.mixture;
  const logits = ops.linear(x, get('gate.weight')); // [T, E]
  const routing = { count, normalised, scores, factor, groups, groupsKept };
  const bias = scores === 'sigmoid' ? get(CORRECTION) : undefined;
  const shares = ops.route(logits, routing, bias); // [T, E]
  const weights = { gateUp: get('experts.gate_up_proj'), down: get('experts.down_proj') };
  const routed = ops.experts(x, shares, weights, { count }); // [T, C]
  const common = feedForward(ops, x, projections(get, `${shared.sharedName}.`)); // [T, C]
  if (!shared.sharedGate) return ops.add(routed, common);
  const gate = ops.sigmoid(ops.linear(x, get('shared_expert_gate.weight'))); // [T, 1]
  return ops.add(routed, ops.mul(common, gate));
}
