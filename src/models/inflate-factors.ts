// The factors that make an inflated model about as large as asked for, in the shape of a real model of that size.
import { BLOCK } from '../kernels/blocks.ts';
import { OptionError } from '../kernels/errors.ts';
import { sizeOf } from '../tensor/shape.ts';
import type { WeightMap, WeightSpec } from './architecture.ts';
import type { DecoderConfig, InflationFactors } from './config.ts';
import { EMBED, HEAD, LAYER, NORM, type Role } from './inflate-rules.ts';

/** Everything once: the model as it is. */
export const ONES: InflationFactors = { width: 1, heads: 1, ffn: 1, layers: 1 };

/** Parameters that grow alike. */
export interface Term {
  readonly parameters: number;
  readonly axes: readonly (keyof InflationFactors | null)[];
}

/** The parameters of a model as a polynomial in the factors. */
export function termsOf(map: WeightMap): Term[] {
  const terms = new Map<string, Term>();
  const add = (spec: WeightSpec, ...axes: Term['axes']) => {
    const parameters = (terms.get(axes.join())?.parameters ?? 0) + sizeOf(spec.shape);
    terms.set(axes.join(), { parameters, axes });
  };
  add(map.embed, EMBED.columns!);
  add(map.norm, NORM.rows);
  if (map.head !== map.embed) add(map.head, HEAD.columns!);
  for (const layer of map.layers)
    for (const role of Object.keys(layer) as Role[])
      add(layer[role]!, LAYER[role].rows, LAYER[role].columns ?? null, 'layers');
  return [...terms.values()];
}

export function countParameters(terms: readonly Term[], factors: InflationFactors): number {
  let sum = 0;
  for (const { parameters, axes } of terms)
    sum += axes.reduce(
      (product, axis) => product * (axis === null ? 1 : factors[axis]),
      parameters,
    );
  return sum;
}

/** Width over layers of models from 100M to 10B parameters lies between these. */
const ASPECT = { low: 48, high: 128 };

/** The factors nearest to a size whose shape is that of a real model, with a feed-forward of whole blocks to quantise. */
export function factorsFor(
  wanted: number,
  config: DecoderConfig,
  terms: readonly Term[],
): InflationFactors {
  const own = countParameters(terms, ONES);
  if (wanted < own)
    throw new OptionError(
      `inflate: parameters: expected at least the ${own} the model has, got ${wanted}`,
    );
  const wide = (width: number) =>
    countParameters(terms, { width, heads: width, ffn: width, layers: 1 });
  let best = ONES;
  let least = Number.POSITIVE_INFINITY;
  for (let width = 1; wide(width) <= 2 * wanted; width++)
    for (let ffn = width; ffn <= 2 * width; ffn++) {
      const shape = { width, heads: width, ffn };
      const outside = countParameters(terms, { ...shape, layers: 0 });
      const inside = countParameters(terms, { ...shape, layers: 1 }) - outside;
      const depth = Math.max(1, Math.floor((wanted - outside) / inside));
      for (const layers of [depth, depth + 1]) {
        const cost =
          8 * Math.abs(Math.log2((outside + layers * inside) / wanted)) +
          aspectCost((config.width * width) / (config.layers * layers)) +
          Math.log2(ffn / width) +
          ((ffn * config.ffnWidth) % BLOCK === 0 ? 0 : 1);
        if (cost < least) [best, least] = [{ ...shape, layers }, cost];
      }
    }
  return best;
}

function aspectCost(aspect: number): number {
  return Math.abs(Math.log2(aspect / Math.min(ASPECT.high, Math.max(ASPECT.low, aspect))));
}
