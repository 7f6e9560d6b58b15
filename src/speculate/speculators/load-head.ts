// A draft head from its folder: its own fields, the target it was made for, its vocabulary and weights.
import { FormatError } from '../../kernels/errors.ts';
import type { WeightSpec } from '../../models/architecture.ts';
import type { DecoderConfig } from '../../models/config.ts';
import { parse } from '../../models/schema.ts';
import { checkTensors, loadTensors } from '../../models/weights.ts';
import { openCheckpoint } from '../../tensor/safetensors.ts';
import { draftHead } from '../drafters/head.ts';
import type { HeadAlgorithm } from './algorithm.ts';
import { readDraftConfig, type SpeculatorConfig } from './config.ts';
import { createDepthHead } from './depth-head.ts';
import { createDecoderHead, type Head, type HeadOptions } from './head.ts';
import type { Loader } from './loaded.ts';
import { readVocabulary, vocabularyNames, writeVocabulary } from './vocabulary.ts';

/** The loader of a head's algorithm. */
export const headLoader =
  (algorithm: HeadAlgorithm<unknown>): Loader =>
  async (source, config, { verifier, dtype = 'auto', onProgress, signal }) => {
    const bound = bind(algorithm, config, `${source.name}/config.json`, verifier.config);
    const checkpoint = await openCheckpoint(source);
    const specs = bound.weights((name) => checkpoint.tensors.has(name));
    const given = {
      name: source.name,
      checkpoint,
      place: (name: string) => ({ name }),
      surplus: (name: string) =>
        vocabularyNames(algorithm.tokenMap).includes(name) ? VOCABULARY : (SURPLUS[name] ?? null),
    };
    const notes = checkTensors(given, specs, config.algorithm);
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
    return {
      model: head.model ?? null,
      head,
      notes: [...notes, ...loaded.notes],
      weights,
      vocabulary: targetIds === null ? [] : writeVocabulary(targetIds, vocabulary),
      texts: {},
      drafter: (shape) => draftHead(head, { ...shape, name: config.algorithm }),
      dispose: () => head.dispose(),
    };
  };

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
  const layer = readDraftConfig(config, file);
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

const VOCABULARY = 'the vocabulary of the head';

/** Tensors that old writers left behind. */
const SURPLUS: Readonly<Record<string, string>> = {
  'verifier_lm_head.weight': 'the head of the target',
};
