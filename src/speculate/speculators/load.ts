// A speculator from its folder: config.json and safetensors as `speculators` writes them, for a target that is loaded.
import { isBlocked } from '../../kernels/blocks.ts';
import { OptionError, UnsupportedError } from '../../kernels/errors.ts';
import type { Decoder } from '../../models/decoder.ts';
import { loadTensors, type WeightDType, type WeightOptions } from '../../models/weights.ts';
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
import { mtp } from '../drafters/mtp.ts';
import { peagle } from '../drafters/peagle.ts';
import type { HeadAlgorithm } from './algorithm.ts';
import { openSpeculatorConfig, type ProposalMethod, type SpeculatorConfig } from './config.ts';
import { type HeadFiles, headFiles } from './files.ts';
import { fitHead, place } from './fit.ts';
import { createHead, type Head } from './head.ts';
import { notesOn, type Proposal, planOf } from './proposal.ts';
import { readUntrained, untrainedNote } from './untrained.ts';
import { writeVocabulary } from './vocabulary.ts';

/** The algorithms that run, by `speculators_model_type`. A program adds its own by the option `algorithms`. */
export const ALGORITHMS: Readonly<Record<string, HeadAlgorithm<unknown>>> = {
  eagle,
  eagle3,
  peagle,
  mtp,
  dflash,
  dspark,
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
   * One of the proposal methods of its config, by default the one that the config names, as options of `generate`. Throws an
   * OptionError for a method that it does not have.
   */
  proposal(type?: ProposalMethod['proposal_type']): Proposal;
  /**
   * The files of its folder: the config as it was read, unknown keys included, and the weights as they are kept. Throws an
   * UnsupportedError for weights in blocks, which the format does not have.
   */
  files(): Promise<HeadFiles>;
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
  const config = await openSpeculatorConfig(source);
  const checkpoint = await openCheckpoint(source);
  const fit = await fitHead({
    name: source.name,
    config,
    checkpoint,
    target: verifier.config,
    algorithms: { ...ALGORITHMS, ...algorithms },
  });
  const { algorithm, headConfig, specs, targetIds } = fit;
  const untrained = await readUntrained(checkpoint);
  const loaded = await loadTensors({ checkpoint, place }, specs, verifier.backend, {
    dtype,
    onProgress,
    signal,
  });
  const weights = new Map(specs.map((spec) => [spec.name, loaded.tensors.get(spec)!] as const));
  const head = createHead({
    algorithm,
    config: headConfig,
    weights,
    verifier,
    targetIds,
    contextLength: Math.min(headConfig.layer.maxPositions, verifier.contextLength),
    maxRows: verifier.maxRows,
  });
  const dispose = () => head.dispose();
  const drafter: Speculator['drafter'] = (given) =>
    draftHead(head, { ...given, name: config.algorithm });
  const files = () => filesOf(config.raw, weights, head);
  return {
    config,
    head,
    notes: [
      ...config.notes,
      ...fit.notes,
      ...(untrained.length > 0 ? [untrainedNote(untrained)] : []),
      ...loaded.notes,
      ...config.proposals.flatMap(notesOn),
    ],
    drafter,
    files,
    savePretrained: async (folder) => writeFolder(folder, await files()),
    proposal(type = config.defaultProposal) {
      const method = config.proposals.find(({ proposal_type }) => proposal_type === type);
      if (method === undefined)
        throw new OptionError(
          `proposal: expected ${config.proposals.map(({ proposal_type }) => proposal_type).join(', ')}, got ${type}`,
        );
      const { shape, ...rest } = planOf(method);
      return { drafter: drafter(shape), ...rest };
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
}

/** Config and weights as the format has them. */
async function filesOf(
  raw: SpeculatorConfig['raw'],
  weights: ReadonlyMap<string, Tensor>,
  { model: { backend, config }, targetIds }: Head,
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
  if (targetIds !== null) tensors.push(...writeVocabulary(targetIds, config.vocab));
  return headFiles(raw, tensors);
}
