// A speculator from its folder: config.json and safetensors as `speculators` writes them, for a target that is loaded.
import type { Backend } from '../../kernels/backend.ts';
import { isBlocked } from '../../kernels/blocks.ts';
import { FormatError, UnsupportedError } from '../../kernels/errors.ts';
import type { WeightSpec } from '../../models/architecture.ts';
import type { DecoderConfig } from '../../models/config.ts';
import type { Decoder } from '../../models/decoder.ts';
import { parse } from '../../models/schema.ts';
import {
  checkTensors,
  loadTensors,
  type WeightDType,
  type WeightOptions,
} from '../../models/weights.ts';
import { openCheckpoint, type TensorData, writeSafetensors } from '../../tensor/safetensors.ts';
import {
  type FolderSource,
  memorySource,
  openFolder,
  parseJson,
  writeFolder,
} from '../../tensor/source.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { Drafter } from '../drafter.ts';
import { dflash } from '../drafters/dflash.ts';
import { dspark } from '../drafters/dspark.ts';
import { eagle } from '../drafters/eagle.ts';
import { eagle3 } from '../drafters/eagle3.ts';
import { type DraftHeadOptions, draftHead } from '../drafters/head.ts';
import { medusa } from '../drafters/medusa.ts';
import { mlp } from '../drafters/mlp.ts';
import { mtp } from '../drafters/mtp.ts';
import { peagle } from '../drafters/peagle.ts';
import type { HeadAlgorithm } from './algorithm.ts';
import { openSpeculatorConfig, readLayerConfig, type SpeculatorConfig } from './config.ts';
import { createDepthHead } from './depth-head.ts';
import { createDecoderHead, type Head, type HeadOptions } from './head.ts';
import { notesOn, type Proposal, type ProposalName, planFor } from './proposal.ts';
import { readVocabulary, vocabularyNames, writeVocabulary } from './vocabulary.ts';

/** The algorithms that run, by `speculators_model_type`. A program adds its own by the option `algorithms`. */
export const ALGORITHMS: Readonly<Record<string, HeadAlgorithm<unknown>>> = {
  eagle,
  eagle3,
  peagle,
  mtp,
  dflash,
  dspark,
  mlp,
  medusa,
};

/** Options of `Speculator.fromPretrained`. */
export interface SpeculatorOptions extends Partial<Omit<WeightOptions, 'dtype'>> {
  /** The target that it drafts for; the head runs on its backend, and may not outlive it. */
  readonly verifier: Decoder;
  /** Element type of the matrices; default `auto`, as in the file. */
  readonly dtype?: WeightDType;
  /** Algorithms beside `ALGORITHMS`, by name. */
  readonly algorithms?: Readonly<Record<string, HeadAlgorithm<unknown>>>;
}

/** A loaded speculator. */
export interface Speculator {
  readonly config: SpeculatorConfig;
  readonly head: Head;
  /** What a user should know. */
  readonly notes: readonly string[];
  /** A drafter with a cache of its own. */
  drafter(options?: Omit<DraftHeadOptions, 'name'>): Drafter;
  /**
   * One of the proposal methods of its config, by default the one that the config names, as options of `generate`; `paths` is the
   * tree of an MLP speculator that says how many candidates it proposes. Throws an OptionError for a method that it does not have.
   */
  proposal(type?: ProposalName): Proposal;
  /**
   * The files of its folder: the config as it was read, unknown keys included, and the weights as they are kept. Throws an
   * UnsupportedError for weights in blocks, which the format does not have.
   */
  files(): Promise<Readonly<Record<'config.json' | 'model.safetensors', string | Uint8Array>>>;
  /** Writes `files()` into a folder, made if need be. Throws a FormatError for one that cannot be written. */
  savePretrained(folder: string): Promise<void>;
  dispose(): void;
  [Symbol.dispose](): void;
}

/** Loads speculators. */
export const Speculator = {
  /** Whether a folder holds a speculator: a config.json that says so. */
  async isIn(from: string): Promise<boolean> {
    const source = await openFolder(from);
    try {
      if (!(await source.has('config.json'))) return false;
      const json = parseJson(await source.text('config.json'), `${from}/config.json`);
      return typeof json === 'object' && json !== null && 'speculators_model_type' in json;
    } finally {
      await source.close();
    }
  },

  /** Makes one of a config and weights in memory; as `fromPretrained` of a folder with them. */
  async fromConfig(
    config: Readonly<Record<string, unknown>>,
    weights: Iterable<TensorData>,
    options: SpeculatorOptions,
  ): Promise<Speculator> {
    const files = {
      'config.json': JSON.stringify(config),
      'model.safetensors': writeSafetensors(weights),
    };
    return loadFrom(memorySource(files, 'config'), options);
  },

  /**
   * Loads a folder in the format of `speculators`. Throws FormatError for broken files and for heads of another target,
   * UnsupportedError for what this version does not run.
   */
  async fromPretrained(
    from: string | FolderSource,
    options: SpeculatorOptions,
  ): Promise<Speculator> {
    if (typeof from !== 'string') return loadFrom(from, options);
    const source = await openFolder(from);
    try {
      return await loadFrom(source, options);
    } finally {
      await source.close();
    }
  },
};

async function loadFrom(source: FolderSource, options: SpeculatorOptions): Promise<Speculator> {
  const { verifier, dtype = 'auto', algorithms = {}, onProgress, signal } = options;
  const file = `${source.name}/config.json`;
  const config = await openSpeculatorConfig(source);
  const known = { ...ALGORITHMS, ...algorithms };
  const algorithm = Object.hasOwn(known, config.algorithm) ? known[config.algorithm] : undefined;
  if (algorithm === undefined)
    throw new UnsupportedError(
      `${file}: speculators_model_type: expected ${Object.keys(known).join(', ')}, got ${config.algorithm}`,
    );
  const bound = bind(algorithm, config, file, verifier.config);

  const checkpoint = await openCheckpoint(source);
  const specs = bound.weights((name) => checkpoint.tensors.has(name));
  const given = {
    name: source.name,
    checkpoint,
    place: (name: string) => ({ name }),
    surplus: (name: string) =>
      vocabularyNames(algorithm.tokenMap).includes(name) ? VOCABULARY : (SURPLUS[name] ?? null),
  };
  const notes = [...config.notes, ...checkTensors(given, specs, config.algorithm)];
  const vocabulary = {
    file: source.name,
    draftVocab: bound.draftVocab,
    vocab: verifier.config.vocab,
    map: algorithm.tokenMap,
  };
  const targetIds = await readVocabulary(checkpoint, vocabulary);
  const loaded = await loadTensors(given, specs, verifier.backend, { dtype, onProgress, signal });
  const weights = new Map(specs.map((spec) => [spec.name, loaded.tensors.get(spec)!] as const));
  const head = bound.create({ weights, verifier, targetIds });
  const dispose = () => head.dispose();
  const drafter: Speculator['drafter'] = (given) =>
    draftHead(head, { ...given, name: config.algorithm });
  const files = () =>
    filesOf(config.raw, weights, {
      backend: verifier.backend,
      vocabulary: targetIds === null ? [] : writeVocabulary(targetIds, vocabulary),
    });
  return {
    config,
    head,
    notes: [
      ...notes,
      ...loaded.notes,
      ...config.proposals.flatMap((method) => notesOn(method, head.steps)),
    ],
    drafter,
    files,
    savePretrained: async (folder) => writeFolder(folder, await files()),
    proposal(type = config.defaultProposal) {
      const { shape, ...rest } = planFor(type, config.proposals, head.paths ?? null);
      return { drafter: drafter(shape), ...rest };
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
}

/** An algorithm with the config of a head, whichever kind of algorithm it is. */
interface Bound {
  readonly draftVocab: number;
  weights(has: (name: string) => boolean): readonly WeightSpec[];
  create(options: HeadOptions): Head;
}

function bind(
  algorithm: HeadAlgorithm<unknown>,
  config: SpeculatorConfig,
  file: string,
  target: DecoderConfig,
): Bound {
  const fields = parse(algorithm.schema, config.raw, file);
  if (algorithm.forward === undefined) {
    const own = { fields, target };
    return {
      draftVocab: algorithm.draftVocab(own),
      weights: (has) => algorithm.weights(own, has),
      create: (options) => createDepthHead(algorithm, own, options),
    };
  }
  const layer = readLayerConfig(config, file);
  if (layer.vocab !== target.vocab)
    throw new FormatError(
      `${file}: transformer_layer_config.vocab_size: expected the target's ${target.vocab}, got ${layer.vocab}`,
    );
  const own = { fields, layer, target };
  // What it says of masks and blocks is looked at before a weight is read.
  algorithm.mask?.(own);
  algorithm.block?.(own);
  return {
    draftVocab: algorithm.draftVocab(own),
    weights: (has) => algorithm.weights(own, has),
    create: (options) => createDecoderHead(algorithm, own, options),
  };
}

/** Config and weights as the format has them. */
async function filesOf(
  raw: SpeculatorConfig['raw'],
  weights: ReadonlyMap<string, Tensor>,
  {
    backend,
    vocabulary,
  }: { readonly backend: Backend; readonly vocabulary: readonly TensorData[] },
) {
  const tensors: TensorData[] = [];
  for (const [name, { value }] of weights) {
    if (!('buffer' in value)) throw new Error('internal: a weight without a buffer');
    const { buffer, dtype, shape } = value;
    if (isBlocked(dtype))
      throw new UnsupportedError(
        `files: expected weights that safetensors hold, got ${name} in ${dtype}`,
      );
    tensors.push({ name, dtype, shape, data: await backend.read(buffer) });
  }
  return {
    'config.json': `${JSON.stringify(raw, null, 2)}\n`,
    'model.safetensors': writeSafetensors([...tensors, ...vocabulary]),
  };
}

const VOCABULARY = 'the vocabulary of the head';

/** Tensors that old writers left behind. */
const SURPLUS: Readonly<Record<string, string>> = {
  'verifier_lm_head.weight': 'the head of the target',
};
