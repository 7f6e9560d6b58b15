// What the format has no place for, recorded in its config.json under `converted_from`, so that the way back is exact whatever the
// layout: names that are not the usual ones, and the difference between the research config and what follows from ours.
import * as z from 'zod';
import { parse } from '../../../models/schema.ts';
import type { Json } from '../config.ts';
import type { ResearchFormat } from './format.ts';

const originSchema = z.looseObject({
  /** Name of the layout. */
  layout: z.string().optional(),
  /** Research names that are not the usual ones, by names in the format. */
  names: z.record(z.string(), z.string()).default({}),
  /** Tensors that were left out, and why. */
  dropped: z.record(z.string(), z.string()).default({}),
  /** Fields of the research config that do not follow from ours: what it has, and what would follow; either may be missing. */
  fields: z
    .record(z.string(), z.object({ own: z.unknown().optional(), follows: z.unknown().optional() }))
    .default({}),
});

/** The record. */
export type Origin = z.output<typeof originSchema>;

/** The record in a config of the format; an empty one where there is none. Throws a FormatError for another object there. */
export const readOrigin = (config: Json, file: string): Origin =>
  parse(originSchema, config['converted_from'] ?? {}, `${file}: converted_from`);

/** The record of a conversion. */
export function originOf(parts: {
  readonly layout: string;
  readonly format: ResearchFormat;
  readonly own: Json;
  /** In the format. */
  readonly config: Json;
  /** Research names by names in the format, before tensors are joined or cut. */
  readonly names: ReadonlyMap<string, string>;
  /** Research names, and why they were left out. */
  readonly dropped: readonly (readonly [string, string])[];
}): Json {
  const { layout, format, own, config, names, dropped } = parts;
  const derived = format.ownConfig(config);
  const unusual = [...names].filter(([name, before]) => format.back(name) !== before);
  const keys = [...new Set([...Object.keys(own), ...Object.keys(derived)])];
  const other = keys.filter((key) => !isSame(derived[key], own[key]));
  const fields = other.map((key) => [key, { own: own[key], follows: derived[key] }]);
  return {
    layout,
    ...(unusual.length > 0 && { names: Object.fromEntries(unusual) }),
    ...(dropped.length > 0 && { dropped: Object.fromEntries(dropped) }),
    ...(fields.length > 0 && { fields: Object.fromEntries(fields) }),
  };
}

/** The research config of a config in the format; what has changed since the conversion counts. */
export function ownConfigOf(
  format: ResearchFormat,
  config: Json,
  { fields }: Pick<Origin, 'fields'>,
): Json {
  const derived = format.ownConfig(config);
  const was = Object.entries(fields)
    .filter(([key, { follows }]) => isSame(derived[key], follows))
    .map(([key, { own }]) => [key, own]);
  const own = { ...derived, ...Object.fromEntries(was) };
  return Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined));
}

/** Of values from JSON; objects with their keys in another order are not the same. */
const isSame = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
