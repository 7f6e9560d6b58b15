// The config.json of a research project inside that of the format, whole, so that nothing is lost on the way back.
import { FormatError } from '../../../kernels/errors.ts';
import type { Json } from '../config.ts';

const KEY = 'source_config';

/** Fields of the format with the config that they come from. */
export const withSource = (fields: Json, own: Json): Json => ({ ...fields, [KEY]: own });

/**
 * The own config of a head: as it was kept where it still means what the format's config says, else what that says (`back`) over
 * what was kept.
 */
export function sourceConfigOf(
  config: Json,
  { base, means, back }: { readonly base: Json; means(own: Json): Json; back(config: Json): Json },
): Json {
  const kept = config[KEY] as Json | undefined;
  const own = back(config);
  if (kept === undefined) return { ...base, ...own };
  const same = Object.entries(means(kept)).every(
    ([key, value]) => JSON.stringify(config[key]) === JSON.stringify(value),
  );
  return same ? kept : { ...kept, ...own };
}

/** Throws a FormatError where a field is not the target's. */
export function checkTarget(where: string, value: number, verifier: Json, key: string): void {
  if (verifier[key] !== value)
    throw new FormatError(`${where}: expected the target's ${key} ${verifier[key]}, got ${value}`);
}
