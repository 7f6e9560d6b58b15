// A head's config and tensors against each other and against its target, before a weight is read: what loading and converting
// both ask first.
import { FormatError, UnsupportedError } from '../../kernels/errors.ts';
import type { WeightSpec } from '../../models/architecture.ts';
import type { DecoderConfig } from '../../models/config.ts';
import { checkTensors } from '../../models/weights.ts';
import type { Checkpoint } from '../../tensor/checkpoint.ts';
import type { HeadAlgorithm, HeadConfig } from './algorithm.ts';
import { readLayerConfig, type SpeculatorConfig } from './config.ts';
import { readVocabulary } from './vocabulary.ts';

/** What is looked at. */
export interface FitParts {
  /** The folder, for messages. */
  readonly name: string;
  readonly config: SpeculatorConfig;
  readonly checkpoint: Pick<Checkpoint, 'tensors' | 'readInto'>;
  readonly target: DecoderConfig;
  readonly algorithms: Readonly<Record<string, HeadAlgorithm<unknown>>>;
}

/** A head whose tensors are those that its config asks for. */
export interface Fit {
  readonly algorithm: HeadAlgorithm<unknown>;
  readonly headConfig: HeadConfig<unknown>;
  readonly specs: readonly WeightSpec[];
  readonly targetIds: Int32Array | null;
  readonly notes: readonly string[];
}

/** Throws FormatError for what does not fit, UnsupportedError for what this version does not run. */
export async function fitHead(parts: FitParts): Promise<Fit> {
  const { name, config, checkpoint, target, algorithms } = parts;
  const file = `${name}/config.json`;
  const { algorithm: type } = config;
  const algorithm = Object.hasOwn(algorithms, type) ? algorithms[type] : undefined;
  if (algorithm === undefined)
    throw new UnsupportedError(
      `${file}: speculators_model_type: expected ${Object.keys(algorithms).join(', ')}, got ${type}`,
    );
  const layer = readLayerConfig(config, file);
  if (layer.vocab !== target.vocab)
    throw new FormatError(
      `${file}: transformer_layer_config.vocab_size: expected the target's ${target.vocab}, got ${layer.vocab}`,
    );
  const fields = algorithm.schema.safeParse(config.raw);
  if (!fields.success) throw new FormatError(`${file}: ${fields.error.message}`);
  const headConfig = { fields: fields.data, layer, target };
  const specs = algorithm.weights(headConfig, (each) => checkpoint.tensors.has(each));
  const notes = checkTensors(
    { name, checkpoint, place, surplus: (each) => SURPLUS[each] ?? null },
    specs,
    type,
  );
  const targetIds = await readVocabulary(checkpoint, {
    file: name,
    draftVocab: algorithm.draftVocab(headConfig),
    vocab: target.vocab,
  });
  algorithm.mask?.(headConfig);
  algorithm.block?.(headConfig);
  return { algorithm, headConfig, specs, targetIds, notes };
}

/** Tensors have the names of the weights. */
export const place = (name: string) => ({ name });

/** Tensors that are read elsewhere, or that old writers left behind. */
const SURPLUS: Readonly<Record<string, string>> = {
  d2t: 'the vocabulary of the head',
  t2d: 'the vocabulary of the head',
  'verifier_lm_head.weight': 'the head of the target',
};
