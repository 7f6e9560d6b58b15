// What a layout asks of the target's config.json.
import { FormatError } from '../../../kernels/errors.ts';
import type { Json } from '../config.ts';

/** Throws a FormatError where a field is not the target's. */
export function checkTarget(where: string, value: number, verifier: Json, key: string): void {
  if (verifier[key] !== value)
    throw new FormatError(`${where}: expected the target's ${key} ${verifier[key]}, got ${value}`);
}
