// The configuration of a Llama layer of a head. Llama itself sees the whole text; heads have a window of `sliding_window` where
// `layer_types` says so, and nowhere else: neither speculators nor vLLM asks `use_sliding_window`.
import * as z from 'zod';
import { llama } from '../../models/llama.ts';
import { parse, readWindows, size } from '../../models/schema.ts';
import type { LayerConfig } from './layer-config.ts';

/** The keys that are read. */
export const LLAMA_FIELDS = llama.fields.extend({ sliding_window: size.nullish() });

const typesSchema = z.looseObject({ layer_types: z.array(z.string()).nullish() });
const windowSchema = z.looseObject({ num_hidden_layers: size, sliding_window: size });

/** Reads the config of such layers; throws FormatError or UnsupportedError by name of the key. */
export function readLlamaLayer(json: Readonly<Record<string, unknown>>, file: string): LayerConfig {
  const { layer_types } = parse(typesSchema, json, file);
  if (!layer_types?.includes('sliding_attention')) return llama.readConfig(json, file);
  const config = llama.readConfig({ ...json, layer_types: null }, file);
  const { sliding_window: window, num_hidden_layers } = parse(windowSchema, json, file);
  const windows = readWindows({ layer_types, num_hidden_layers }, file, { window });
  return { ...config, raw: json, windows };
}
