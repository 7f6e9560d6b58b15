// config.json of a speculator: what every algorithm has, and the configuration of its decoder layers, which the file gives as a
// difference to the defaults of a class of transformers. Unknown keys stay in `raw`; old quirks are accepted and noted.
import * as z from 'zod';
import { FormatError, UnsupportedError } from '../../kernels/errors.ts';
import { architectureOf, architectures } from '../../models/architectures.ts';
import { parse } from '../../models/schema.ts';
import { type FolderSource, parseJson } from '../../tensor/source.ts';
import { GATED_DEFAULTS, GATED_FIELDS, readGated } from '../drafters/gated-config.ts';
import { GLM_DEFAULTS, GLM_FIELDS, readGlm } from '../drafters/glm-config.ts';
import { LATENT_DEFAULTS, LATENT_FIELDS, readLatent } from '../drafters/latent-config.ts';
import type { LayerConfig } from '../drafters/layer-config.ts';
import { LLAMA_FIELDS, readLlamaLayer } from '../drafters/llama-config.ts';
import { type ProposalMethod, proposalSchema, readMethods } from './methods.ts';
import { flatRope } from './rope.ts';

/** An object of a file. */
export type Json = Readonly<Record<string, unknown>>;

/** The version of the format that is written. */
export const FORMAT_VERSION = '0.8.0';

/** What every config.json has; see `readSpeculatorConfig`. */
export const commonSchema = z.looseObject({
  speculators_model_type: z.string(),
  speculators_version: z.string().nullish(),
  speculators_config: z.looseObject({
    algorithm: z.string(),
    proposal_methods: z.array(proposalSchema),
    default_proposal_method: z.string(),
    verifier: z.looseObject({
      name_or_path: z.string().nullable(),
      architectures: z.array(z.string()),
    }),
  }),
  transformer_layer_config: z.record(z.string(), z.unknown()).optional(),
});

/** What all algorithms share, checked. */
export interface SpeculatorConfig {
  /** `speculators_model_type`. */
  readonly algorithm: string;
  readonly version: string | null;
  readonly proposals: readonly ProposalMethod[];
  /** The `proposal_type` of one of them. */
  readonly defaultProposal: ProposalMethod['proposal_type'];
  readonly verifier: {
    readonly nameOrPath: string | null;
    readonly architectures: readonly string[];
  };
  /** The file's own object, unknown keys included. */
  readonly raw: Readonly<Record<string, unknown>>;
  readonly notes: readonly string[];
}

/** The object in a folder's config.json; throws a FormatError where there is none. */
export async function readConfig(source: FolderSource): Promise<Json> {
  const file = `${source.name}/config.json`;
  if (!(await source.has('config.json')))
    throw new FormatError(`${source.name}: expected a file config.json, got none`);
  const json = parseJson(await source.text('config.json'), file);
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new FormatError(`${file}: expected an object, got ${JSON.stringify(json)}`);
  return json as Json;
}

/** The decoder of a config.json that holds several models. */
export function decoderOf(config: Json): Json {
  const inner = config['text_config'];
  return typeof inner === 'object' && inner !== null ? (inner as Json) : config;
}

/** The object with the configuration of the decoder layers; throws a FormatError where there is none. */
export function layerJson(config: Json, file = 'config.json'): Json {
  const layer = config['transformer_layer_config'];
  if (typeof layer !== 'object' || layer === null)
    throw new FormatError(
      `${file}: transformer_layer_config: expected the configuration of the decoder layers, got none`,
    );
  return layer as Json;
}

/** Reads the config.json of a speculator's folder; throws as `readSpeculatorConfig`. */
export async function openSpeculatorConfig(source: FolderSource): Promise<SpeculatorConfig> {
  const file = `${source.name}/config.json`;
  return readSpeculatorConfig(parseJson(await source.text('config.json'), file), file);
}

/** Reads a config.json; throws a FormatError that names every wrong key. */
export function readSpeculatorConfig(json: unknown, file: string): SpeculatorConfig {
  if (typeof json === 'object' && json !== null && !('speculators_model_type' in json))
    throw new FormatError(
      `${file}: speculators_model_type: expected a speculator, got a config without it`,
    );
  const fields = parse(commonSchema, json, file);
  const { algorithm, verifier } = fields.speculators_config;
  const notes: string[] = [];
  if (algorithm !== fields.speculators_model_type)
    notes.push(
      `speculators_config.algorithm is ${algorithm}, speculators_model_type is ${fields.speculators_model_type}, which counts`,
    );
  const version = fields.speculators_version ?? null;
  const methods = readMethods(fields.speculators_config, {
    file,
    isChecked: !isBefore(version, 0, 6),
  });
  return {
    algorithm: fields.speculators_model_type,
    version,
    proposals: methods.proposals,
    defaultProposal: methods.defaultProposal,
    verifier: { nameOrPath: verifier.name_or_path, architectures: verifier.architectures },
    raw: json as Record<string, unknown>,
    notes: [...notes, ...methods.notes],
  };
}

const QWEN = {
  vocab_size: 151_936,
  hidden_size: 4096,
  intermediate_size: 22_016,
  num_hidden_layers: 32,
  num_attention_heads: 32,
};

/** A class of layers. */
interface LayerClass {
  /** What the class of transformers has where a file says nothing; the rest is in `fields`. */
  readonly defaults: Json;
  /** The keys that are read. */
  readonly fields: z.ZodObject;
  read(json: Json, file: string): LayerConfig;
}

/** A class of which models are made, too. */
const ofModels = (type: string, defaults: Json): LayerClass => {
  const { fields, readConfig } = architectures[type];
  return { defaults, fields, read: readConfig };
};

const CLASSES: Readonly<Record<string, LayerClass>> = {
  llama: {
    defaults: {
      vocab_size: 32_000,
      hidden_size: 4096,
      intermediate_size: 11_008,
      num_hidden_layers: 32,
      num_attention_heads: 32,
    },
    fields: LLAMA_FIELDS,
    read: readLlamaLayer,
  },
  mistral: ofModels('mistral', {
    vocab_size: 32_000,
    hidden_size: 4096,
    intermediate_size: 14_336,
    num_hidden_layers: 32,
    num_attention_heads: 32,
  }),
  qwen2: ofModels('qwen2', QWEN),
  qwen3: ofModels('qwen3', QWEN),
};

const classesOf = (
  defaults: Readonly<Record<string, Json>>,
  reader: Omit<LayerClass, 'defaults'>,
): Readonly<Record<string, LayerClass>> =>
  Object.fromEntries(
    Object.entries(defaults).map(([type, own]) => [type, { defaults: own, ...reader }]),
  );

/** With those that no target here has, of which multi-token prediction has a layer. */
const MTP_CLASSES: Readonly<Record<string, LayerClass>> = {
  ...CLASSES,
  ...classesOf(GATED_DEFAULTS, { fields: GATED_FIELDS, read: readGated }),
  ...classesOf(LATENT_DEFAULTS, { fields: LATENT_FIELDS, read: readLatent }),
  ...classesOf(GLM_DEFAULTS, { fields: GLM_FIELDS, read: readGlm }),
};

/**
 * The configuration of what drafts: of the head's decoder layers; of an independent draft model, whose keys are those of the
 * file.
 */
export const readDraftConfig = (config: SpeculatorConfig, file: string): LayerConfig =>
  draftClass(config, file).read();

/** What is known of the class of what drafts before its values are looked at. */
export interface DraftClass {
  /** The keys of the file. */
  readonly own: Json;
  /** What the class has where the file says nothing, beside the defaults of `fields`. */
  readonly defaults: Json;
  /** The keys that are read. */
  readonly fields: z.ZodObject;
  /** Both, checked; throws FormatError or UnsupportedError by name of the key. */
  read(): LayerConfig;
}

/** The class of what drafts; throws an UnsupportedError for one that this version does not have. */
export function draftClass(
  { raw, algorithm, version }: SpeculatorConfig,
  file: string,
): DraftClass {
  if (algorithm === 'independent') {
    const { fields, readConfig } = architectureOf(raw, file);
    return { own: raw, defaults: {}, fields, read: () => readConfig(raw, file) };
  }
  const where = `${file}: transformer_layer_config`;
  const own = layerJson(raw, file);
  const type = layerTypeOf(own, { algorithm, version });
  const classes = algorithm === 'mtp' ? MTP_CLASSES : CLASSES;
  if (typeof type !== 'string' || !Object.hasOwn(classes, type)) {
    const names = Object.keys(classes);
    throw new UnsupportedError(
      `${where}.model_type: expected ${names.slice(0, -1).join(', ')} or ${names.at(-1)}, got ${JSON.stringify(type)}`,
    );
  }
  const { fields, read, ...known } = classes[type];
  const defaults = { ...known.defaults, model_type: type };
  // The layer of multi-token prediction is the target's own.
  const given = algorithm === 'mtp' ? own : flatRope(own);
  const json = { ...defaults, ...given, model_type: type };
  return { own, defaults, fields, read: () => read(json, where) };
}

/** The class of the layers. Without a `model_type` Llama's, since 0.7 Qwen3's, of multi-token prediction Qwen2's. */
export function layerTypeOf(
  layer: Json,
  { algorithm, version }: Pick<SpeculatorConfig, 'algorithm' | 'version'>,
): unknown {
  if (layer['model_type'] != null) return layer['model_type'];
  if (algorithm === 'mtp') return 'qwen2';
  return isBefore(version, 0, 7) ? 'llama' : 'qwen3';
}

/** Whether a version is before another; a file without one is as old as can be. */
export function isBefore(version: string | null, major: number, minor: number): boolean {
  const [, a, b] = /^(\d+)\.(\d+)/.exec(version ?? '') ?? [];
  if (a === undefined) return true;
  return Number(a) < major || (Number(a) === major && Number(b) < minor);
}
