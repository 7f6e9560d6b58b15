// The configuration of a mixture of experts in groups (DeepSeek-AI, "DeepSeek-V3", 2024): scores are sigmoids, a bias keeps the
// experts busy, a row goes to some groups only. Keys are those of DeepseekV3Config and Glm4MoeConfig in transformers.
import * as z from 'zod';
import { FormatError } from '../../kernels/errors.ts';
import { expectValue, parse, size } from '../../models/schema.ts';
import type { Mixture } from './layer-config.ts';

const schema = z.looseObject({
  num_hidden_layers: size,
  first_k_dense_replace: z.int().nonnegative(),
  moe_layer_freq: size.default(1),
  n_routed_experts: size,
  n_shared_experts: size,
  num_experts_per_tok: size,
  moe_intermediate_size: size,
  n_group: size,
  topk_group: size,
  routed_scaling_factor: z.number().positive(),
  norm_topk_prob: z.boolean(),
  topk_method: z.string().default('noaux_tc'),
  scoring_func: z.string().default('sigmoid'),
});

/** The mixture of the layer after the last of its model; null where it would be a dense one. */
export function readGroupedMixture(json: unknown, file: string): Mixture | null {
  const fields = parse(schema, json, file);
  const { num_hidden_layers: l, first_k_dense_replace: first, moe_layer_freq: every } = fields;
  if (l < first || l % every !== 0) return null;
  expectValue(file, 'topk_method', fields.topk_method, 'noaux_tc');
  expectValue(file, 'scoring_func', fields.scoring_func, 'sigmoid');
  const { n_routed_experts: experts, n_group: groups, topk_group: groupsKept } = fields;
  const groupSize = experts / groups;
  if (!Number.isInteger(groupSize) || groupSize < 2)
    throw new FormatError(
      `${file}: n_group: expected groups of two or more that n_routed_experts ${experts} divides into, got ${groups}`,
    );
  if (groupsKept > groups)
    throw new FormatError(
      `${file}: topk_group: expected at most n_group ${groups}, got ${groupsKept}`,
    );
  const { num_experts_per_tok: count, moe_intermediate_size: width } = fields;
  if (count > groupSize * groupsKept)
    throw new FormatError(
      `${file}: num_experts_per_tok: expected at most the ${groupSize * groupsKept} in ${groupsKept} of ${groups} groups, got ${count}`,
    );
  return {
    experts,
    count,
    width,
    scores: 'sigmoid',
    groups,
    groupsKept,
    normalised: fields.norm_topk_prob,
    factor: fields.routed_scaling_factor,
    sharedWidth: width * fields.n_shared_experts,
    sharedName: 'shared_experts',
    sharedGate: false,
  };
}
