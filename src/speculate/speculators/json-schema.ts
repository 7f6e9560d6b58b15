// The format as JSON Schema, for editors and for programs in other languages.
import * as z from 'zod';
import type { HeadAlgorithm } from './algorithm.ts';
import { commonSchema } from './config.ts';

/**
 * JSON Schema (draft 2020-12) of the config.json of an algorithm, what all algorithms share included. It holds what is read
 * before the target is known; keys beside it are allowed and kept.
 */
export function jsonSchemaOf({
  name,
  schema,
  forward,
}: HeadAlgorithm<unknown>): Record<string, unknown> {
  const typed = commonSchema.extend({ speculators_model_type: z.literal(name) });
  const common =
    forward === undefined
      ? typed.omit({ transformer_layer_config: true })
      : typed.extend({ transformer_layer_config: z.record(z.string(), z.unknown()) });
  return {
    title: `config.json of a speculator of type ${name}`,
    ...z.toJSONSchema(z.intersection(common, schema), { io: 'input' }),
  };
}
