// A speculator from its folder: config.json and safetensors as `speculators` writes them, for a target that is loaded.
import type { Backend } from '../../kernels/backend.ts';
import { isBlocked } from '../../kernels/blocks.ts';
import { convert } from '../../kernels/dtype.ts';
import { UnsupportedError } from '../../kernels/errors.ts';
import type { Buffer } from '../../kernels/plan.ts';
import type { Decoder } from '../../models/decoder.ts';
import { tensorInMemory } from '../../tensor/parts.ts';
import { type TensorData, writeSafetensors } from '../../tensor/safetensors.ts';
import { type FolderSource, inFolder, memorySource } from '../../tensor/source.ts';
import type { Drafter } from '../drafter.ts';
import { dflash } from '../drafters/dflash.ts';
import { dspark } from '../drafters/dspark.ts';
import { eagle } from '../drafters/eagle.ts';
import { eagle3 } from '../drafters/eagle3.ts';
import { medusa } from '../drafters/medusa.ts';
import { mlp } from '../drafters/mlp.ts';
import { mtp } from '../drafters/mtp.ts';
import { peagle } from '../drafters/peagle.ts';
import type { HeadAlgorithm } from './algorithm.ts';
import { openSpeculatorConfig, type SpeculatorConfig } from './config.ts';
import { type HeadContent, type HeadFiles, savable } from './files.ts';
import type { Head } from './head.ts';
import { loadIndependent } from './independent.ts';
import { isSpeculator } from './is-speculator.ts';
import { headLoader } from './load-head.ts';
import type { Loaded, Loader, Shape, SpeculatorOptions } from './loaded.ts';
import {
  notesOn,
  type Proposal,
  type ProposalName,
  type ProposalOptions,
  planFor,
} from './proposal.ts';

export type { SpeculatorOptions } from './loaded.ts';

/**
 * The heads that run, by `speculators_model_type`; beside them `independent` draft models do. A program adds its own by the option
 * `algorithms`.
 */
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

/** The files of a speculator, by name. */
export type SpeculatorFiles = HeadFiles & Readonly<Record<string, string | Uint8Array>>;

/** A loaded speculator. */
export interface Speculator {
  readonly config: SpeculatorConfig;
  /** The decoder that drafts; null for a head that has none. */
  readonly model: Decoder | null;
  /** Null for an independent draft model. */
  readonly head: Head | null;
  /** What a user should know. */
  readonly notes: readonly string[];
  /** What a user of one of its proposal methods should know, as that it is lossy; by default of the one that the config names. */
  notesOn(type?: ProposalName, options?: ProposalOptions): readonly string[];
  /** A drafter with a cache of its own; throws an UnsupportedError for a shape that its algorithm does not have. */
  drafter(shape?: Shape): Drafter;
  /**
   * One of the proposal methods of its config, by default the one that the config names, as options of `generate`; `paths` is the
   * tree of an MLP speculator that says how many candidates it proposes. What changes the text or its law is followed only in a method
   * that is asked for by name.
   * Throws an OptionError for a method that it does not have.
   */
  proposal(type?: ProposalName, options?: ProposalOptions): Proposal;
  /**
   * The files of its folder: the config as it was read, unknown keys included, the weights as they are kept, and what an independent
   * draft model has beside them. Throws an UnsupportedError for weights in blocks, which the format does not have.
   */
  files(): Promise<SpeculatorFiles>;
  /** Writes `files()` into a folder, made if need be. Throws a FormatError for one that cannot be written. */
  savePretrained(folder: string): Promise<void>;
  dispose(): void;
  [Symbol.dispose](): void;
}

/** Loads speculators. */
export const Speculator = {
  /** Whether a folder holds a speculator: a config.json that says so. */
  isIn: isSpeculator,

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
  fromPretrained: (from: string | FolderSource, options: SpeculatorOptions): Promise<Speculator> =>
    inFolder(from, (source) => loadFrom(source, options)),
};

/** What is known, by `speculators_model_type`; a program's own algorithms replace those of the same name. */
function loadersOf(algorithms: SpeculatorOptions['algorithms'] = {}): ReadonlyMap<string, Loader> {
  const ofHeads = (heads: Readonly<Record<string, HeadAlgorithm<unknown>>>) =>
    Object.entries(heads).map(([name, head]) => [name, headLoader(head)] as const);
  return new Map<string, Loader>([
    ...ofHeads(ALGORITHMS),
    ['independent', loadIndependent],
    ...ofHeads(algorithms),
  ]);
}

async function loadFrom(source: FolderSource, options: SpeculatorOptions): Promise<Speculator> {
  if (options.verifier.disposed)
    throw new Error('fromPretrained: expected a model as verifier, got a disposed one');
  const file = `${source.name}/config.json`;
  const config = await openSpeculatorConfig(source);
  const loaders = loadersOf(options.algorithms);
  const load = loaders.get(config.algorithm);
  if (load === undefined)
    throw new UnsupportedError(
      `${file}: speculators_model_type: expected ${[...loaders.keys()].join(', ')}, got ${config.algorithm}`,
    );
  const loaded = await load(source, config, options);
  const { model, head, texts, drafter } = loaded;
  let isDisposed = false;
  const dispose = () => {
    isDisposed = true;
    loaded.dispose();
  };
  // Where its weights were, others may lie by now.
  const read = async (buffer: Buffer) => {
    if (isDisposed) throw new Error('files: expected a speculator, got a disposed one');
    return options.verifier.backend.read(buffer);
  };
  const content = () => contentOf(config.raw, loaded, read);
  return {
    config,
    model,
    head,
    notes: [...config.notes, ...loaded.notes],
    notesOn(type, { lossless = type === undefined } = {}) {
      const name = type ?? config.defaultProposal;
      const method = config.proposals.find(({ proposal_type }) => proposal_type === name);
      return method === undefined ? [] : notesOn(method, head?.steps, { lossless });
    },
    drafter,
    ...savable(content, texts),
    proposal(type, { lossless = type === undefined } = {}) {
      const name = type ?? config.defaultProposal;
      const { shape, ...rest } = planFor(name, config.proposals, head?.paths ?? null, { lossless });
      return { drafter: drafter(shape), ...rest };
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
}

/** Config and weights as the format has them. */
async function contentOf(
  config: SpeculatorConfig['raw'],
  { weights, tensors: given, vocabulary, metadata }: Loaded,
  read: Backend['read'],
): Promise<HeadContent> {
  const tensors: TensorData[] = [];
  for (const [name, { value }] of weights) {
    if (!('buffer' in value)) throw new Error('internal: a weight without a buffer');
    const { buffer, dtype, shape } = value;
    if (isBlocked(dtype))
      throw new UnsupportedError(
        `files: expected weights that safetensors hold, got ${name} in ${dtype}`,
      );
    // Vectors are f32 on a backend, whatever they are in the file.
    const own = shape.length < 2 ? (given.get(name)?.dtype ?? dtype) : dtype;
    const data = convert(await read(buffer), dtype, own);
    tensors.push({ name, dtype: own, shape, data });
  }
  return { config, tensors: [...tensors, ...vocabulary].map(tensorInMemory), metadata };
}
