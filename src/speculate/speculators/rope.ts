// The two ways in which config.json describes rotary positions: `rope_theta` with `rope_scaling` (transformers 4), and
// `rope_parameters` (5), there also one for each kind of layer.
import type { Json } from './config.ts';

/** Whether parameters are given for each kind of layer. */
const isNested = (parameters: Json) =>
  Object.values(parameters).some((value) => isObject(value)) && !('rope_type' in parameters);

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A layer config with one set of parameters: draft heads use those of sliding layers for all. */
export function flatRope(layer: Json): Json {
  const parameters = layer['rope_parameters'];
  if (!isObject(parameters) || !isNested(parameters)) return layer;
  const one = parameters['sliding_attention'] ?? parameters['full_attention'];
  return isObject(one) ? { ...layer, rope_parameters: one } : layer;
}
