// The two ways in which config.json describes rotary positions: `rope_theta` with `rope_scaling` (transformers 4), and
// `rope_parameters` (5), there also one set for each kind of layer.
import { FormatError } from '../../kernels/errors.ts';

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A layer config with one set of parameters: draft heads use those of sliding layers for all. */
export function flatRope(layer: Json): Json {
  const parameters = layer['rope_parameters'];
  if (!isObject(parameters)) return layer;
  const one = parameters['sliding_attention'] ?? parameters['full_attention'];
  return isObject(one) ? { ...layer, rope_parameters: one } : layer;
}

/** A layer config that says the same both ways, for readers of either; `where` is for the error where the two disagree. */
export function bothRopes(layer: Json, where: string): Json {
  const given = layer['rope_parameters'];
  // One set for each kind of layer can only be said one way.
  if (isObject(given) && Object.values(given).some(isObject)) return layer;
  const [old, fresh] = [partsOf(layer['rope_scaling']), partsOf(given)];
  const thetas = [layer['rope_theta'], old?.theta, fresh?.theta].filter((theta) => theta != null);
  const other = thetas.find((theta) => theta !== thetas[0]);
  if (other !== undefined)
    throw new FormatError(`${where}: expected one rope_theta, got ${thetas[0]} and ${other}`);
  const { type, rest } = old ?? fresh ?? { type: 'default', rest: {} };
  if (old && fresh && JSON.stringify([type, rest]) !== JSON.stringify([fresh.type, fresh.rest]))
    throw new FormatError(
      `${where}: expected rope_scaling and rope_parameters that say the same, got ${JSON.stringify(layer['rope_scaling'])} and ${JSON.stringify(given)}`,
    );
  const theta = thetas[0] ?? 10_000;
  const isPlain = type === 'default' && Object.keys(rest).length === 0;
  return {
    ...layer,
    rope_theta: theta,
    rope_scaling: isPlain ? null : { rope_type: type, ...rest },
    rope_parameters: { rope_type: type, rope_theta: theta, ...rest },
  };
}

/** One description taken apart, its keys in one order; undefined for one that says nothing. */
function partsOf(
  value: unknown,
): { readonly type: unknown; readonly theta: unknown; readonly rest: Json } | undefined {
  if (!isObject(value) || Object.keys(value).length === 0) return undefined;
  const { rope_type: type, type: oldType, rope_theta: theta, ...rest } = value;
  const sorted = Object.entries(rest).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return { type: type ?? oldType ?? 'default', theta, rest: Object.fromEntries(sorted) };
}
