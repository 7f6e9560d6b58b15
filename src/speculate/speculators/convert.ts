// Heads as research projects publish them (SafeAILab's EAGLE, HASS) to the format of speculators and back. Tensors keep their
// bytes and get other names; every one is renamed, kept or left out by name, and none is made up.
import { FormatError, OptionError, UnsupportedError } from '../../kernels/errors.ts';
import type { Checkpoint } from '../../tensor/checkpoint.ts';
import { openCheckpoint, type TensorData, writeSafetensors } from '../../tensor/safetensors.ts';
import type { FolderSource } from '../../tensor/source.ts';
import { version } from '../../version.ts';
import { type Json, readConfig } from './config.ts';

/** What a source tensor becomes. */
type Fate = { readonly name: string } | { readonly dropped: string };

/** How the tensors of a research format are named in ours. */
interface Rules {
  /** What `architectures` of the format says. */
  readonly architecture: string;
  /** What becomes of a tensor; undefined for one that is not of the research format. */
  fate(name: string): Fate | undefined;
  /** The name in the research format, or undefined for a tensor that is not of it. */
  back(name: string): string | undefined;
  /** Fields of the config from the names of the tensors. */
  fields(has: (name: string) => boolean): Json;
}

const PLACED = 'the target has it';

/** A prefix that becomes another, and names that become others. */
function renames(
  prefixes: Readonly<Record<string, string>>,
  names: Readonly<Record<string, string>>,
) {
  const rename = (
    name: string,
    exact: Readonly<Record<string, string>>,
    starts: readonly (readonly [string, string])[],
  ) => {
    if (Object.hasOwn(exact, name)) return exact[name];
    const start = starts.find(([from]) => name.startsWith(from));
    return start && start[1] + name.slice(start[0].length);
  };
  const swap = (record: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.entries(record).map(([from, to]) => [to, from]));
  return {
    to: (name: string) => rename(name, names, Object.entries(prefixes)),
    back: (name: string) => rename(name, swap(names), Object.entries(swap(prefixes))),
  };
}

const EAGLE = renames(
  { 'layers.0.': 'transformer.' },
  { 'fc.weight': 'fusion_fc.weight', 'fc.bias': 'fusion_fc.bias' },
);
const EAGLE3 = renames(
  { 'midlayer.': 'layers.0.' },
  Object.fromEntries(
    ['fc.weight', 'norm.weight', 'lm_head.weight', 'embed_tokens.weight', 'd2t', 't2d'].map(
      (name) => [name, name],
    ),
  ),
);

const RULES: Readonly<Record<'eagle' | 'eagle3', Rules>> = {
  eagle: {
    architecture: 'EagleSpeculator',
    fate(name) {
      if (name === 'embed_tokens.weight' || name === 'lm_head.weight') return { dropped: PLACED };
      const to = EAGLE.to(name);
      return to === undefined ? undefined : { name: to };
    },
    back: EAGLE.back,
    fields: (has) => ({
      transformer_layer_architecture: 'LlamaDecoderLayer',
      layernorms: false,
      fusion_bias: has('fc.bias'),
    }),
  },
  eagle3: {
    architecture: 'Eagle3Speculator',
    fate(name) {
      const to = EAGLE3.to(name);
      return to === undefined ? undefined : { name: to };
    },
    back: EAGLE3.back,
    fields: () => ({}),
  },
};

/** Formats that are converted. */
export type ConvertedAlgorithm = keyof typeof RULES;

/** Options of `convertSpeculator`. */
export interface ConvertOptions {
  /** The target: what its config.json says, and where it is. */
  readonly verifier: { readonly config: Json; readonly name: string | null };
  /** By default what the names of the tensors say. */
  readonly algorithm?: ConvertedAlgorithm;
  /** EAGLE-3: whether the residual of the first layer is the normed state. No file says so; default false. */
  readonly normBeforeResidual?: boolean;
  /** Tokens of the proposal method; default 5. */
  readonly speculativeTokens?: number;
}

/** A conversion, before it is written. */
export interface Conversion {
  readonly algorithm: ConvertedAlgorithm;
  readonly config: Json;
  readonly tensors: readonly TensorData[];
  /** Names before and after. */
  readonly renamed: readonly (readonly [string, string])[];
  /** What is left out, and why. */
  readonly dropped: readonly (readonly [string, string])[];
  /** The files of the folder. */
  files(): Readonly<Record<'config.json' | 'model.safetensors', string | Uint8Array>>;
}

/** Converts a head of a research project. Throws FormatError for tensors that it does not know, UnsupportedError for layouts. */
export async function convertSpeculator(
  source: FolderSource,
  options: ConvertOptions,
): Promise<Conversion> {
  const { verifier, normBeforeResidual = false, speculativeTokens = 5 } = options;
  const own = await readConfig(source);
  if ('speculators_model_type' in own)
    throw new FormatError(`${source.name}: expected a research format, got one of speculators`);
  const checkpoint = await openCheckpoint(source);
  const names = [...checkpoint.tensors.keys()];
  const has = (name: string) => checkpoint.tensors.has(name);
  const algorithm = options.algorithm ?? detect(source.name, names);
  const rules = RULES[algorithm];
  const found = await take(source.name, checkpoint, rules.fate);
  const vocab = verifier.config['vocab_size'];
  const t2d = checkpoint.tensors.get('t2d');
  const known = t2d?.shape[0] ?? vocab;
  if (typeof vocab !== 'number' || known !== vocab)
    throw new FormatError(
      `${source.name}: expected a target with the vocabulary of t2d, ${known}, got ${vocab}`,
    );
  const { draft_vocab_size: draftVocab, bias: _, ...layer } = own;
  const architectures = verifier.config['architectures'];
  const config: Json = {
    architectures:
      algorithm === 'eagle' ? [rules.architecture, 'LlamaDecoderLayer'] : [rules.architecture],
    speculators_model_type: algorithm,
    speculators_version: algorithm === 'eagle' ? '0.1.0' : '0.8.0',
    speculators_config: {
      algorithm,
      default_proposal_method: 'greedy',
      proposal_methods: [
        {
          proposal_type: 'greedy',
          speculative_tokens: speculativeTokens,
          verifier_accept_k: 1,
          accept_tolerance: 0,
        },
      ],
      verifier: { name_or_path: verifier.name, architectures: architectures ?? [] },
    },
    ...rules.fields(has),
    ...(algorithm === 'eagle3' && {
      draft_vocab_size: draftVocab ?? vocab,
      norm_before_residual: normBeforeResidual,
      norm_before_fc: false,
      fc_norm: false,
      norm_output: false,
    }),
    tie_word_embeddings: false,
    // Kept whole, so that nothing is lost on the way back.
    transformer_layer_config: { model_type: 'llama', ...layer, vocab_size: vocab },
    converted_by: `foretoken ${version}`,
  };
  return conversion(algorithm, config, found);
}

/** A speculator in the layout of its research project; the target's embedding goes with those that have one. */
export async function exportResearch(
  source: FolderSource,
  options: { readonly embedding?: TensorData } = {},
): Promise<Conversion> {
  const own = await readConfig(source);
  const algorithm = own['speculators_model_type'];
  if (algorithm !== 'eagle' && algorithm !== 'eagle3')
    throw new UnsupportedError(
      `${source.name}: speculators_model_type: expected eagle or eagle3, got ${JSON.stringify(algorithm)}`,
    );
  const checkpoint = await openCheckpoint(source);
  const rules = RULES[algorithm];
  const found = await take(source.name, checkpoint, (name) => {
    const back = rules.back(name);
    return back === undefined ? undefined : { name: back };
  });
  const layer = own['transformer_layer_config'] as Json;
  const config = {
    ...layer,
    ...(algorithm === 'eagle'
      ? { bias: own['fusion_bias'] === true }
      : { draft_vocab_size: own['draft_vocab_size'] }),
  };
  const tensors = options.embedding ? [...found.tensors, options.embedding] : found.tensors;
  return conversion(algorithm, config, { ...found, tensors });
}

type Found = Pick<Conversion, 'tensors' | 'renamed' | 'dropped'>;

function conversion(algorithm: ConvertedAlgorithm, config: Json, found: Found): Conversion {
  return {
    algorithm,
    config,
    ...found,
    files: () => ({
      'config.json': `${JSON.stringify(config, null, 2)}\n`,
      'model.safetensors': writeSafetensors(found.tensors),
    }),
  };
}

/** What the names of the tensors say. */
function detect(where: string, names: readonly string[]): ConvertedAlgorithm {
  const has = (name: string) => names.includes(name);
  if (names.some((name) => name.startsWith('midlayer.')) || has('layers.0.hidden_norm.weight'))
    return 'eagle3';
  if (has('fc.weight') && names.some((name) => name.startsWith('layers.0.'))) return 'eagle';
  throw new UnsupportedError(
    `${where}: expected the tensors of an EAGLE head (fc.weight with layers.0 or midlayer), got ${names.slice(0, 5).join(', ')} …`,
  );
}

/** Reads every tensor under its new name; tensors without a fate are all named in one error. */
async function take(where: string, checkpoint: Checkpoint, fate: Rules['fate']): Promise<Found> {
  const unknown: string[] = [];
  const renamed: [string, string][] = [];
  const dropped: [string, string][] = [];
  const tensors: TensorData[] = [];
  for (const [name, { type, shape, from, to }] of checkpoint.tensors) {
    const what = fate(name);
    if (what === undefined) unknown.push(name);
    else if ('dropped' in what) dropped.push([name, what.dropped]);
    else {
      const data = new Uint8Array(to - from);
      await checkpoint.readInto(name, 0, data);
      tensors.push({ name: what.name, dtype: type as Uppercase<string>, shape, data });
      if (what.name !== name) renamed.push([name, what.name]);
    }
  }
  if (unknown.length > 0)
    throw new FormatError(
      `${where}: expected tensors that the format has a place for, got ${unknown.join(', ')}`,
    );
  const twice = tensors.find(
    ({ name }, at) => tensors.findIndex((each) => each.name === name) < at,
  );
  if (twice !== undefined)
    throw new OptionError(`${where}: expected one tensor for ${twice.name}, got two`);
  return { tensors, renamed, dropped };
}
