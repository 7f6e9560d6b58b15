// The feed-forward of a mixture of experts: a router that gives every row to some of them, and an expert with a gate that all rows go
// to (DeepSeek-AI, "DeepSeekMoE", 2024; as Qwen2-MoE, Qwen3-Next and Qwen3.5 have it). Only the experts of a row are computed.
import type { WeightSpec } from '../../models/architecture.ts';
import { feedForward, weight } from '../../models/layers.ts';
import type { Recorder } from '../../tensor/record.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { Mixture } from './gated-config.ts';

/** The weights of a mixture in a stream of `width` columns. */
export function mixtureSpecs(prefix: string, width: number, mixture: Mixture): WeightSpec[] {
  const { experts, width: inner, sharedWidth } = mixture;
  const at = (name: string) => `${prefix}.${name}`;
  return [
    weight(at('gate.weight'), experts, width),
    weight(at('experts.gate_up_proj'), experts, 2 * inner, width),
    weight(at('experts.down_proj'), experts, width, inner),
    weight(at('shared_expert.gate_proj.weight'), sharedWidth, width),
    weight(at('shared_expert.up_proj.weight'), sharedWidth, width),
    weight(at('shared_expert.down_proj.weight'), width, sharedWidth),
    weight(at('shared_expert_gate.weight'), 1, width),
  ];
}

/** Σ share · expert(x) + sigmoid(gate(x)) · shared(x). f32 [T, C] -> f32 [T, C] */
export function mixture(
  ops: Recorder,
  x: Tensor,
  parts: { readonly get: (name: string) => Tensor; readonly mixture: Mixture },
): Tensor {
  const { get } = parts;
  const { count, normalised } = parts.mixture;
  const logits = ops.linear(x, get('gate.weight')); // [T, E]
  const shares = ops.route(logits, { count, normalised }); // [T, E]
  const weights = { gateUp: get('experts.gate_up_proj'), down: get('experts.down_proj') };
  const routed = ops.experts(x, shares, weights, { count }); // [T, C]
  const shared = feedForward(ops, x, {
    gate: get('shared_expert.gate_proj.weight'),
    up: get('shared_expert.up_proj.weight'),
    down: get('shared_expert.down_proj.weight'),
  }); // [T, C]
  const gate = ops.sigmoid(ops.linear(x, get('shared_expert_gate.weight'))); // [T, 1]
  return ops.add(routed, ops.mul(shared, gate));
}
