// Rotary parameters of layers in which a part of every head turns: transformers 4 has them in `rope_scaling`, 5 in `rope_parameters`,
// and the share that turns there or beside them.
import * as z from 'zod';
import { FormatError } from '../../kernels/errors.ts';
import { parse, ropeGiven } from '../../models/schema.ts';

type Parameters = Readonly<Record<string, unknown>> | null | undefined;

/** Where a config describes rotary positions. */
interface RopeFields {
  readonly rope_scaling?: Parameters;
  readonly rope_parameters?: Parameters;
  readonly partial_rotary_factor?: number | null | undefined;
}

const PARTIAL = 'partial_rotary_factor';
const factorSchema = z.number().positive().max(1).nullish();

/**
 * The share of a head that turns, `usual` where nothing says it, and the rotary parameters without it. Sections for positions in
 * pictures are left out too: those of text are one number.
 */
export function splitRope(
  fields: RopeFields,
  file: string,
  usual: number,
): { readonly factor: number; readonly rest: Readonly<Record<string, unknown>> } {
  const given = ropeGiven(fields)?.[PARTIAL] ?? fields[PARTIAL];
  const factor = parse(factorSchema, given, `${file}: ${PARTIAL}`) ?? usual;
  const without = (parameters: Parameters) => {
    if (parameters == null) return parameters;
    const { [PARTIAL]: _, mrope_section: _s, mrope_interleaved: _i, ...rest } = parameters;
    return rest;
  };
  const { rope_scaling: old, rope_parameters: fresh } = fields;
  const rest = { [PARTIAL]: null, rope_scaling: without(old), rope_parameters: without(fresh) };
  return { factor, rest };
}

/** How many columns of a head that is. */
export function turningColumns(headDim: number, factor: number, file: string): number {
  const columns = Math.trunc(headDim * factor);
  if (columns < 2 || columns % 2 !== 0)
    throw new FormatError(
      `${file}: ${PARTIAL}: expected an even number of columns of ${headDim}, got ${factor}, which are ${columns}`,
    );
  return columns;
}
