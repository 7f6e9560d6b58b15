// Fields that several algorithms have, checked against the target.
import { FormatError } from '../../kernels/errors.ts';
import type { DecoderConfig } from '../../models/config.ts';

/** A token that stands for what is not known yet. */
export function checkMaskToken(
  algorithm: string,
  token: number | null | undefined,
  { vocab }: DecoderConfig,
): number {
  if (token == null || token >= vocab)
    throw new FormatError(
      `${algorithm}: mask_token_id: expected a token below ${vocab}, got ${token}`,
    );
  return token;
}

/** Layers of the target whose states are read; `field` names them in the error. */
export function checkLayerIds(
  field: string,
  ids: readonly number[],
  { layers }: DecoderConfig,
): readonly number[] {
  const wrong = ids.find((id) => id < 0 || id > layers);
  if (wrong !== undefined)
    throw new FormatError(`${field}: expected layers from 0 to ${layers}, got ${wrong}`);
  return ids;
}
