// A speculator of an older version of the format (0.1 to 0.7) as one of the current version. What a version took for granted is
// written out, because defaults changed: the class of the layers was Llama's before 0.7 and is Qwen3's since, a missing
// norm_before_residual is false here and true in vLLM. Keys that are not known stay. Tensors keep their bytes, and have to be those
// that the config asks for.
import { FormatError, OptionError, UnsupportedError } from '../../kernels/errors.ts';
import { parse } from '../../models/schema.ts';
import type { TensorParts } from '../../tensor/parts.ts';
import { openCheckpoint } from '../../tensor/safetensors.ts';
import type { FolderSource } from '../../tensor/source.ts';
import { brokenNotes } from './broken.ts';
import {
  commonSchema,
  FORMAT_VERSION,
  isBefore,
  type Json,
  layerTypeOf,
  readConfig,
} from './config.ts';
import { savable } from './files.ts';
import { textsOf } from './independent.ts';
import { ALGORITHMS, type SpeculatorFiles } from './load.ts';
import { readMethods, repeatsIn } from './methods.ts';
import { checkMigrated } from './migrated.ts';
import { take } from './research/take.ts';
import { bothRopes, flatRope } from './rope.ts';
import { initialSizeOf, readUntrained, untrainedNote } from './untrained.ts';

/** A config.json of the current version. */
export interface Migration {
  readonly config: Json;
  /** Every difference, a line each; none for a config that is current. */
  readonly changes: readonly string[];
  /** What stays as it was although it is old. */
  readonly notes: readonly string[];
}

/** Options of `migrateSpeculator`. */
export interface MigrateOptions {
  /** What no file says: of eagle3 and peagle `norm_before_residual`. Default: as in the file, else false. */
  readonly fields?: Json | undefined;
  /** The target that the head is held against: its config.json, and where it is. Default: the sizes that the head says itself. */
  readonly verifier?: { readonly config: Json; readonly name: string } | undefined;
}

/** A folder of the current version, before it is written; its tensors are read from the source, which has to stay open until then. */
export interface MigratedSpeculator extends Migration {
  readonly algorithm: string;
  readonly tensors: readonly TensorParts[];
  /** What is left out, and why. */
  readonly dropped: readonly (readonly [string, string])[];
  /** The files of the folder in memory. Throws an UnsupportedError for weights of 4 GiB or more. */
  files(): Promise<SpeculatorFiles>;
  /** Writes them into a folder, made if need be, in pieces. Throws a FormatError for one that cannot be written. */
  savePretrained(folder: string): Promise<void>;
}

/** Algorithms of the current version, with what it writes beside the fields that are read here. */
const CURRENT: Readonly<Record<string, Json>> = {
  eagle3: {
    architectures: ['Eagle3Speculator'],
    target_hidden_size: null,
    eagle_aux_hidden_state_layer_ids: null,
    embed_requires_grad: false,
  },
  peagle: {
    architectures: ['PEagleSpeculator'],
    target_hidden_size: null,
    eagle_aux_hidden_state_layer_ids: null,
    embed_requires_grad: true,
  },
  dflash: { architectures: ['DFlashSpeculator'], sliding_window_non_causal: false },
  dspark: { architectures: ['DSparkSpeculator'], sliding_window_non_causal: false },
  mtp: { architectures: ['MTPDraftModel'] },
};

/** The algorithms that the format ever had, and those of ours. */
const KNOWN: readonly string[] = [...Object.keys(ALGORITHMS), 'independent'];

const NORM = 'norm_before_residual';

/** Whether the algorithm has a field that no tensor shows, with one default here and another in vLLM. */
const isOpen = (algorithm: string) => algorithm === 'eagle3' || algorithm === 'peagle';

function checkChoices(choices: Json, algorithm: string, file: string): Json {
  const wrong = Object.keys(choices).find((key) => !isOpen(algorithm) || key !== NORM);
  if (wrong !== undefined)
    throw new OptionError(
      `fields: expected ${isOpen(algorithm) ? NORM : 'none'} of the ${algorithm} in ${file}, got ${wrong}`,
    );
  return choices;
}

/** Keys that old versions of transformers left behind. */
const LEFTOVERS = ['auto_map', 'has_no_defaults_at_init'];

/**
 * Migrates a config.json, named `file` in messages; `choices` is what no file says (`norm_before_residual` of eagle3 and peagle).
 * Throws FormatErrors for what is wrong in any version, OptionErrors for other choices.
 */
export function migrate(config: Json, file = 'config.json', choices: Json = {}): Migration {
  const fields = parse(commonSchema, config, file);
  const { speculators_model_type: algorithm, speculators_version: version = null } = fields;
  if (!KNOWN.includes(algorithm))
    throw new UnsupportedError(
      `${file}: speculators_model_type: expected ${KNOWN.join(', ')}, got ${algorithm}`,
    );
  const [major, minor] = FORMAT_VERSION.split('.').map(Number);
  if (version !== null && !isBefore(version, major, minor + 1))
    throw new UnsupportedError(
      `${file}: speculators_version: expected at most ${FORMAT_VERSION}, got ${version}`,
    );
  const notes: string[] = [];
  const next: Record<string, unknown> = { ...config, ...checkChoices(choices, algorithm, file) };
  if (isOpen(algorithm) && next[NORM] === undefined)
    notes.push(
      `${NORM}: the file does not say; false is written, as speculators reads it, where vLLM took true`,
    );
  for (const key of LEFTOVERS) delete next[key];
  next['speculators_config'] = proposalsOf(fields, { file, notes });
  const layer = config['transformer_layer_config'];
  if (typeof layer === 'object' && layer !== null)
    next['transformer_layer_config'] = layerOf(layer as Json, { algorithm, version, file });
  const own = Object.hasOwn(CURRENT, algorithm) ? CURRENT[algorithm] : undefined;
  if (own === undefined)
    notes.push(
      `the current version of the format has no ${algorithm}; it stays at ${version ?? 'none'}`,
    );
  else {
    rename(next, 'torch_dtype', 'dtype', file);
    if (isBefore(version, major, minor)) next['speculators_version'] = FORMAT_VERSION;
    for (const [key, value] of Object.entries({ tie_word_embeddings: false, ...own }))
      if (next[key] === undefined) next[key] = value;
  }
  const written = { ...next, ...defaultsOf(algorithm, next, file) };
  return { config: written, changes: changesOf(config, written), notes };
}

/**
 * Migrates a folder; tensors that old writers left behind are left out by name. Throws a FormatError for one whose tensors are not
 * those of its config.
 */
export async function migrateSpeculator(
  source: FolderSource,
  options: MigrateOptions = {},
): Promise<MigratedSpeculator> {
  const given = await readConfig(source);
  const { config, changes, notes } = migrate(given, `${source.name}/config.json`, options.fields);
  const algorithm = String(config['speculators_model_type']);
  const checkpoint = await openCheckpoint(source);
  const { tensors, dropped } = await take(source.name, checkpoint, {
    fate: (name) => (name === COPY ? { dropped: 'the target has it' } : { name }),
  });
  const kept = new Map([...checkpoint.tensors].filter(([name]) => name !== COPY));
  const { verifier } = options;
  if (verifier !== undefined && algorithm === 'independent')
    throw new OptionError(
      `verifier: expected with a head, got it with the independent draft model ${source.name}, which fits any target`,
    );
  const checked = await checkMigrated(source, {
    config,
    checkpoint: { ...checkpoint, tensors: kept },
    verifier,
  });
  const untrained = await readUntrained(checkpoint, initialSizeOf(config, source.name));
  const texts = algorithm === 'independent' ? await textsOf(source) : {};
  const content = { config, tensors, metadata: checkpoint.metadata };
  return {
    algorithm,
    config,
    changes,
    notes: [
      ...notes,
      ...checked,
      ...(untrained.length > 0 ? [untrainedNote(untrained)] : []),
      ...(await brokenNotes({ ...checkpoint, tensors: kept })),
    ],
    tensors,
    dropped,
    ...savable(() => content, texts),
  };
}

/** The copy of the target's head that multi-token prediction was saved with, often without numbers. */
const COPY = 'verifier_lm_head.weight';

/** Proposal methods with their defaults, the default one among them. */
function proposalsOf(
  fields: ReturnType<(typeof commonSchema)['parse']>,
  { file, notes }: { readonly file: string; readonly notes: string[] },
): Json {
  const { speculators_config: given, speculators_model_type: algorithm } = fields;
  // A default that is none of them is put right in any version.
  const isEmpty = given.proposal_methods.length === 0;
  const isChecked = isEmpty && !isBefore(fields.speculators_version ?? null, 0, 6);
  const { proposals, defaultProposal } = readMethods(given, { file, isChecked });
  notes.push(...repeatsIn(proposals));
  const old = proposals.map((each) => each.proposal_type).filter((type) => type !== 'greedy');
  if (old.length > 0)
    notes.push(`the format has had no ${old.join(' and ')} since 0.3; it stays, and is run here`);
  return {
    ...given,
    algorithm,
    proposal_methods: proposals,
    default_proposal_method: defaultProposal,
  };
}

/** The layers: their class by name, and their positions both ways. */
function layerOf(
  layer: Json,
  parts: { readonly algorithm: string; readonly version: string | null; readonly file: string },
): Json {
  const { algorithm, file } = parts;
  const where = `${file}: transformer_layer_config`;
  const next: Record<string, unknown> = { ...layer, model_type: layerTypeOf(layer, parts) };
  // The layer of multi-token prediction is the target's own.
  return bothRopes(algorithm === 'mtp' ? next : flatRope(next), where);
}

/** A key under its new name. */
function rename(json: Record<string, unknown>, from: string, to: string, where: string): void {
  if (!(from in json)) return;
  if (to in json && json[to] !== json[from])
    throw new FormatError(
      `${where}: expected ${from} and ${to} that say the same, got ${JSON.stringify(json[from])} and ${JSON.stringify(json[to])}`,
    );
  json[to] = json[from];
  delete json[from];
}

/** Fields that a file leaves to the defaults of its algorithm. */
function defaultsOf(algorithm: string, config: Json, file: string): Json {
  if (!Object.hasOwn(ALGORITHMS, algorithm)) return {};
  const fields = parse(ALGORITHMS[algorithm].schema, config, file) as Json;
  return Object.fromEntries(Object.entries(fields).filter(([key]) => !(key in config)));
}

/** Differences by path. */
function changesOf(before: Json, after: Json, at = ''): string[] {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return keys.flatMap((key) => {
    const path = `${at}${key}`;
    const [old, fresh] = [before[key], after[key]];
    if (JSON.stringify(old) === JSON.stringify(fresh)) return [];
    if (old === undefined) return [`${path}: ${JSON.stringify(fresh)} written out`];
    if (fresh === undefined) return [`${path}: ${JSON.stringify(old)} removed`];
    if (typeof old === 'object' && old !== null && typeof fresh === 'object' && fresh !== null)
      return changesOf(old as Json, fresh as Json, `${path}.`);
    return [`${path}: ${JSON.stringify(old)} becomes ${JSON.stringify(fresh)}`];
  });
}
