// The format as JSON Schema, for editors and for programs in other languages.
import * as z from 'zod';
import { architectures } from '../../models/architectures.ts';
import { decoderFields } from '../../models/schema.ts';
import type { HeadAlgorithm } from './algorithm.ts';
import { commonSchema } from './config.ts';

/**
 * JSON Schema (draft 2020-12) of the config.json of an algorithm, or of an `independent` draft model, what all share included. It
 * holds what is read before the target is known; keys beside it are allowed and kept.
 */
export function jsonSchemaOf(
  algorithm: HeadAlgorithm<unknown> | 'independent',
): Record<string, unknown> {
  const name = algorithm === 'independent' ? algorithm : algorithm.name;
  const typed = commonSchema.extend({ speculators_model_type: z.literal(name) });
  const schema =
    algorithm === 'independent'
      ? // A whole model, whose keys stand beside those of the format.
        typed.omit({ transformer_layer_config: true }).extend({
          ...decoderFields,
          model_type: z.enum(Object.keys(architectures)),
        })
      : z.intersection(
          algorithm.forward === undefined
            ? typed.omit({ transformer_layer_config: true })
            : typed.extend({ transformer_layer_config: z.record(z.string(), z.unknown()) }),
          algorithm.schema,
        );
  return {
    title: `config.json of a speculator of type ${name}`,
    ...z.toJSONSchema(schema, { io: 'input' }),
  };
}
