// What the format has no place for, recorded in its config.json under `converted_from`, so that the way back is exact whatever the
// layout: names that are not the usual ones, and the difference between the research config and what follows from ours.
import type { Json } from '../config.ts';
import type { ResearchFormat } from './format.ts';

/** The record. */
export interface Origin {
  /** Name of the layout. */
  readonly layout: string;
  /** Research names that are not the usual ones, by names in the format. */
  readonly names?: Readonly<Record<string, string>>;
  /** Fields of the research config that do not follow from ours, */
  readonly config?: Json;
  /** and fields that would follow and are not there. */
  readonly without?: readonly string[];
}

/** The record of a conversion. */
export function originOf(parts: {
  readonly layout: string;
  readonly format: ResearchFormat;
  readonly own: Json;
  /** In the format. */
  readonly config: Json;
  /** Research names by names in the format, before tensors are joined or cut. */
  readonly names: ReadonlyMap<string, string>;
}): Origin {
  const { layout, format, own, config, names } = parts;
  const derived = format.ownConfig(config);
  const unusual = [...names].filter(([name, before]) => format.back(name) !== before);
  const other = Object.entries(own).filter(([key, value]) => !isSame(derived[key], value));
  const without = Object.keys(derived).filter(
    (key) => derived[key] !== undefined && !Object.hasOwn(own, key),
  );
  return {
    layout,
    ...(unusual.length > 0 && { names: Object.fromEntries(unusual) }),
    ...(other.length > 0 && { config: Object.fromEntries(other) }),
    ...(without.length > 0 && { without }),
  };
}

/** The research config of a config in the format. */
export function ownConfigOf(format: ResearchFormat, config: Json): Json {
  const { config: other = {}, without = [] } = (config['converted_from'] ?? {}) as Partial<Origin>;
  const fields = { ...format.ownConfig(config), ...other };
  return Object.fromEntries(
    Object.entries(fields).filter(([key, value]) => value !== undefined && !without.includes(key)),
  );
}

/** Of values from JSON; objects with their keys in another order are not the same. */
const isSame = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
