// A draft head from its folder: its own fields, the target it was made for, its vocabulary and weights.
import { FormatError } from '../../kernels/errors.ts';
import { parse } from '../../models/schema.ts';
import { checkTensors, loadTensors } from '../../models/weights.ts';
import { openCheckpoint } from '../../tensor/safetensors.ts';
import { draftHead } from '../drafters/head.ts';
import type { HeadAlgorithm } from './algorithm.ts';
import { readDraftConfig } from './config.ts';
import { createHead } from './head.ts';
import type { Loader } from './loaded.ts';
import { readVocabulary } from './vocabulary.ts';

/** The loader of a head's algorithm. */
export const headLoader =
  (algorithm: HeadAlgorithm<unknown>): Loader =>
  async (source, config, { verifier, dtype = 'auto', onProgress, signal }) => {
    const file = `${source.name}/config.json`;
    const layer = readDraftConfig(config, file);
    const target = verifier.config;
    if (layer.vocab !== target.vocab)
      throw new FormatError(
        `${file}: transformer_layer_config.vocab_size: expected the target's ${target.vocab}, got ${layer.vocab}`,
      );
    const headConfig = { fields: parse(algorithm.schema, config.raw, file), layer, target };

    const checkpoint = await openCheckpoint(source);
    const specs = algorithm.weights(headConfig, (name) => checkpoint.tensors.has(name));
    const given = {
      name: source.name,
      checkpoint,
      place: (name: string) => ({ name }),
      surplus: (name: string) => SURPLUS[name] ?? null,
    };
    const notes = checkTensors(given, specs, config.algorithm);
    const targetIds = await readVocabulary(checkpoint, {
      file: source.name,
      draftVocab: algorithm.draftVocab(headConfig),
      vocab: target.vocab,
    });
    // What it says of masks and blocks is looked at before a weight is read.
    algorithm.mask?.(headConfig);
    algorithm.block?.(headConfig);
    const loaded = await loadTensors(given, specs, verifier.backend, { dtype, onProgress, signal });
    const weights = new Map(specs.map((spec) => [spec.name, loaded.tensors.get(spec)!] as const));
    const head = createHead({
      algorithm,
      config: headConfig,
      weights,
      verifier,
      targetIds,
      contextLength: Math.min(layer.maxPositions, verifier.contextLength),
      maxRows: verifier.maxRows,
    });
    return {
      model: head.model,
      head,
      notes: [...notes, ...loaded.notes],
      weights,
      texts: {},
      drafter: (shape) => draftHead(head, { ...shape, name: config.algorithm }),
      dispose: () => head.dispose(),
    };
  };

/** Tensors that are read elsewhere, or that old writers left behind. */
const SURPLUS: Readonly<Record<string, string>> = {
  d2t: 'the vocabulary of the head',
  t2d: 'the vocabulary of the head',
  'verifier_lm_head.weight': 'the head of the target',
};
