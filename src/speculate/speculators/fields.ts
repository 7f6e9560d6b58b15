// Which fields of a config.json are the file's own and which are defaults, key by key, whether or not the whole can be run.
import * as z from 'zod';
import type { Json } from './config.ts';

/** A field of a config.json. */
export interface Field {
  readonly name: string;
  /** Null for a field that may be absent and is. */
  readonly value: unknown;
  /** Whose value it is: the file's, the default's, nobody's although there has to be one, or the file's beside the known fields. */
  readonly from: 'file' | 'default' | 'missing' | 'other';
}

/** What a schema reads of an object, with the `defaults` of its class; others of the object come last. */
export function fieldsOf(schema: z.ZodType, own: Json, defaults: Json = {}): readonly Field[] {
  const shape: Readonly<Record<string, z.core.$ZodType>> =
    schema instanceof z.ZodObject ? schema.shape : {};
  const known = [...new Set([...Object.keys(shape), ...Object.keys(defaults)])];
  const read = known.map((name): Field => {
    if (own[name] !== undefined) return { name, value: own[name], from: 'file' };
    if (defaults[name] !== undefined) return { name, value: defaults[name], from: 'default' };
    const parsed = z.safeParse(shape[name], undefined);
    if (!parsed.success) return { name, value: null, from: 'missing' };
    return { name, value: parsed.data ?? null, from: 'default' };
  });
  const others = Object.keys(own).filter((name) => !known.includes(name));
  return [...read, ...others.map((name): Field => ({ name, value: own[name], from: 'other' }))];
}
