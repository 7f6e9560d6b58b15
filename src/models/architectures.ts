// The models this version knows, by the `model_type` of their config.json. A new one is a file and a line here.
import * as z from 'zod';
import { UnsupportedError } from '../kernels/errors.ts';
import type { Architecture } from './architecture.ts';
import { llama } from './llama.ts';
import { mistral } from './mistral.ts';
import { qwen2 } from './qwen2.ts';
import { qwen3 } from './qwen3.ts';
import { parse } from './schema.ts';

/** Every architecture under its `model_type`. */
export const architectures: Readonly<Record<string, Architecture>> = {
  llama,
  mistral,
  qwen2,
  qwen3,
};

/** The architecture a config.json asks for; an unknown one is refused by name. */
export function architectureOf(json: unknown, file: string): Architecture {
  const { model_type: type } = parse(z.looseObject({ model_type: z.string() }), json, file);
  if (!Object.hasOwn(architectures, type))
    throw new UnsupportedError(
      `${file}: model_type: expected one of ${Object.keys(architectures).join(', ')}, got ${JSON.stringify(type)}`,
    );
  return architectures[type];
}
