// Heads as research projects publish them, to the format of speculators and back. The layouts are in research/; this is what all
// have in common: reading, the config, the check that the result is one that loads, and a record of what the format has no
// place for, so that the way back gives the same names and the same config.json.
import { FormatError, OptionError, UnsupportedError } from '../../kernels/errors.ts';
import { parse } from '../../models/schema.ts';
import type { Checkpoint } from '../../tensor/checkpoint.ts';
import { type TensorParts, tensorInMemory } from '../../tensor/parts.ts';
import { openCheckpoint, type TensorData } from '../../tensor/safetensors.ts';
import { type FolderSource, folderOnDemand } from '../../tensor/source.ts';
import { version } from '../../version.ts';
import {
  decoderOf,
  FORMAT_VERSION,
  type Json,
  readConfig,
  readSpeculatorConfig,
} from './config.ts';
import { checkConverted } from './converted.ts';
import { type HeadFiles, savable } from './files.ts';
import { ALGORITHMS } from './load.ts';
import { migrate } from './migrate.ts';
import { fillIn, inOrder } from './research/fill.ts';
import type { Arranged, ResearchFormat } from './research/format.ts';
import { CONVERTED, layoutNamed, layoutOf } from './research/layouts.ts';
import { located } from './research/located.ts';
import { originOf, ownConfigOf, readOrigin } from './research/origin.ts';
import { rename, type Taken, take } from './research/take.ts';
import { proposalOf, typeOf } from './written.ts';

/** Options of `convertSpeculator`. */
export interface ConvertOptions {
  /**
   * The target: what its config.json says, where it is, and its folder, to compare what a head repeats of it. Default: the source itself,
   * for heads that lie in their target.
   */
  readonly verifier?:
    | {
        readonly config: Json;
        readonly name: string | null;
        readonly source?: FolderSource | undefined;
      }
    | undefined;
  /** `speculators_model_type`, or `hass`, whose heads are of type `eagle`; by default what config and names of the tensors say. */
  readonly algorithm?: string | undefined;
  /**
   * What no file says, under the names of the format: of eagle3 `norm_before_residual` (default false) and
   * `eagle_aux_hidden_state_layer_ids`, of peagle also `mask_token_id`; of dflash
   * `aux_hidden_state_layer_ids`.
   */
  readonly fields?: Json | undefined;
  /** Tokens of the proposal method; default as the layout says, else 5. */
  readonly speculativeTokens?: number | undefined;
}

/** A conversion, before it is written; its tensors are read from the source, which has to stay open until then unless it is a path. */
export interface Conversion {
  readonly algorithm: string;
  /** The name of the research layout. */
  readonly layout: string;
  readonly config: Json;
  readonly tensors: readonly TensorParts[];
  /** Names that stay. */
  readonly kept: readonly string[];
  /** Names before and after. */
  readonly renamed: Taken['renamed'];
  /** What is left out, and why. */
  readonly dropped: Taken['dropped'];
  /** What was cut or joined, a line each. */
  readonly arranged: readonly string[];
  /** What a user should know. */
  readonly notes: readonly string[];
  /** The files of the folder in memory. Throws an UnsupportedError for a head of 4 GiB or more. */
  files(): Promise<HeadFiles>;
  /** Writes them into a folder, made if need be, in pieces. Throws a FormatError for one that cannot be written. */
  savePretrained(folder: string): Promise<void>;
}

/**
 * Converts a head of a research project. Throws FormatError for tensors without a place in the format and for heads that do not
 * fit their target, UnsupportedError for layouts that are not converted.
 */
export async function convertSpeculator(
  from: string | FolderSource,
  options: ConvertOptions = {},
): Promise<Conversion> {
  const source = await lasting(from);
  const where = source.name;
  const own = await readConfig(source);
  if ('speculators_model_type' in own)
    throw new FormatError(`${where}: expected a research format, got one of speculators`);
  const checkpoint = await openCheckpoint(source);
  const names = new Set(checkpoint.tensors.keys());
  const { name: layout, format: general } = layoutOf(where, { own, names }, options.algorithm);
  const format = located(where, () => general.within?.(own)) ?? general;
  const chosen = { ...own, ...checkFields(options.fields ?? {}, { where, layout, format }) };
  const verifier: ConvertOptions['verifier'] | false =
    options.verifier ?? (format.includes && { config: own, name: where });
  if (verifier === undefined)
    throw new OptionError(`verifier: expected the target of ${where}, got none`);

  const beside = format.includes
    ? checkpoint
    : await weightsOf(format.originals && verifier.source);
  const taken = await take(where, checkpoint, format, { target: beside });
  const target = decoderOf(verifier.config);
  checkVocabulary(where, taken.shapes, target);
  const parts = { own: chosen, shapes: taken.shapes, verifier: target };
  const arranged = located(where, () => format.arrange?.(taken.tensors, parts)) ?? unchanged(taken);
  const { algorithm } = format;
  const particular = located(where, () => format.fields(parts));
  const draftLength = format.draftLength?.(particular) ?? 5;
  const written: Json = {
    speculators_model_type: algorithm,
    speculators_version: FORMAT_VERSION,
    speculators_config: proposalOf(algorithm, {
      verifier,
      speculativeTokens: options.speculativeTokens ?? draftLength,
    }),
    ...typeOf(arranged.tensors),
    ...particular,
    converted_by: `foretoken ${version}`,
  };
  // All that the current version writes out: architectures, defaults, both spellings of rotary positions.
  const { config: fields } = located(where, () => migrate(written, 'config.json'));
  const { names: before, dropped } = taken;
  const lost = [...dropped, ...(arranged.lost ?? [])];
  const origin = originOf({ layout, format, own, config: fields, names: before, dropped: lost });
  const config = { ...fields, converted_from: origin };
  const { tensors, changes } = arranged;
  return conversion(checkpoint.metadata, {
    algorithm,
    layout,
    config,
    tensors,
    kept: staying(tensors, before),
    renamed: taken.renamed,
    dropped,
    arranged: changes,
    notes: [
      ...(format.elsewhere?.(config) ?? []),
      ...(await checkConverted(where, { config, target, tensors, format })),
    ],
  });
}

/** Options of `exportResearch`. */
export interface ExportOptions {
  /** The folder of the target, for what heads of the layout repeat of it. Default none: it is left out, with a note. */
  readonly verifier?: string | FolderSource | undefined;
  /** A tensor to put beside those of the head, under its name in the layout; before that of the target. Default none. */
  readonly embedding?: TensorData | undefined;
}

/**
 * A speculator in the layout of its research project: the one that it was converted from, or the usual one of its algorithm. Of
 * paths nothing stays open; sources have to, until it is written.
 */
export async function exportResearch(
  from: string | FolderSource,
  options: ExportOptions = {},
): Promise<Conversion> {
  const source = await lasting(from);
  const where = source.name;
  const file = `${where}/config.json`;
  const given = await readConfig(source);
  const { algorithm } = readSpeculatorConfig(given, file);
  const origin = readOrigin(given, file);
  const found = layoutNamed(origin.layout, algorithm);
  if (found === undefined)
    throw new UnsupportedError(
      `${file}: expected a speculator of ${CONVERTED.join(', ')}, got one of ${algorithm} from ${origin.layout ?? 'no layout'}`,
    );
  // With the defaults of its fields filled in.
  const config = Object.hasOwn(ALGORITHMS, algorithm)
    ? { ...given, ...(parse(ALGORITHMS[algorithm].schema, given, file) as Json) }
    : given;
  const own = located(where, () => ownConfigOf(found.format, config, origin));
  const format = located(where, () => found.format.within?.(own)) ?? found.format;
  const checkpoint = await openCheckpoint(source);
  const whole = await take(where, checkpoint, {
    fate: (name) => (format.lent?.includes(name) ? { dropped: 'the target has it' } : { name }),
  });
  const { tensors, changes } =
    located(where, () => format.restore?.(whole.tensors, config)) ?? unchanged(whole);
  const named = rename(where, tensors, (name) =>
    Object.hasOwn(origin.names, name) ? origin.names[name] : format.back(name),
  );
  const target = options.verifier === undefined ? null : await lasting(options.verifier);
  const { embedding } = options;
  const present = embedding ? inOrder(named.tensors, tensorInMemory(embedding)) : named.tensors;
  const filled = fillIn(present, {
    format,
    origin,
    layer: (config['transformer_layer_config'] ?? config) as Json,
    target: target && { name: target.name, checkpoint: await openCheckpoint(target) },
  });
  return conversion(checkpoint.metadata, {
    algorithm: format.algorithm,
    layout: found.name,
    config: own,
    tensors: filled.tensors,
    kept: staying(named.tensors, named.names),
    renamed: named.renamed,
    dropped: whole.dropped,
    arranged: [...changes, ...filled.changes],
    notes: filled.notes,
  });
}

/** A folder that can be read as long as its caller wants. */
const lasting = async (from: string | FolderSource): Promise<FolderSource> =>
  typeof from === 'string' ? folderOnDemand(from) : from;

/** The tensors of a target; null where there are none, or not all of its files: only config.json is needed. */
async function weightsOf(source: FolderSource | undefined): Promise<Checkpoint | null> {
  if (source === undefined) return null;
  return openCheckpoint(source).catch((error: unknown) => {
    if (error instanceof FormatError) return null;
    throw error;
  });
}

const unchanged = ({ tensors }: Taken): Arranged => ({ tensors, changes: [] });

/** Names that are the same before. */
const staying = (tensors: readonly TensorParts[], before: ReadonlyMap<string, string>) =>
  tensors.map(({ name }) => name).filter((name) => before.get(name) === name);

const conversion = (
  metadata: Checkpoint['metadata'],
  made: Omit<Conversion, 'files' | 'savePretrained'>,
): Conversion => ({
  ...made,
  ...savable(() => ({ ...made, metadata })),
});

/** Fields that a caller may choose. */
function checkFields(
  fields: Json,
  parts: { readonly where: string; readonly layout: string; readonly format: ResearchFormat },
): Json {
  const { where, layout, format } = parts;
  const { choices = [] } = format;
  const wrong = Object.keys(fields).find((key) => !choices.includes(key));
  if (wrong !== undefined)
    throw new OptionError(
      `fields: expected ${choices.join(', ') || 'none'} of the layout ${layout} of ${where}, got ${wrong}`,
    );
  return fields;
}

/** What a head says of the target's vocabulary has to be true of the target. */
function checkVocabulary(where: string, shapes: Taken['shapes'], target: Json): void {
  const vocab = target['vocab_size'];
  if (typeof vocab !== 'number')
    throw new FormatError(`${where}: verifier: vocab_size: expected a number, got ${vocab}`);
  const witness = ['t2d', 'embed_tokens.weight'].find((name) => shapes.has(name));
  const known = witness === undefined ? vocab : shapes.get(witness)![0];
  if (known !== vocab)
    throw new FormatError(
      `${where}: expected a target with the vocabulary of ${witness}, ${known}, got ${vocab}`,
    );
}
