// A draft head from its folder: looked at as a whole, then its weights.
import { loadTensors } from '../../models/weights.ts';
import { openCheckpoint } from '../../tensor/safetensors.ts';
import { draftHead } from '../drafters/head.ts';
import type { HeadAlgorithm } from './algorithm.ts';
import { fitHead, place } from './fit.ts';
import type { Loader } from './loaded.ts';
import { readUntrained, untrainedNote } from './untrained.ts';
import { writeVocabulary } from './vocabulary.ts';

/** The loader of a head's algorithm. */
export const headLoader =
  (algorithm: HeadAlgorithm<unknown>): Loader =>
  async (source, config, { verifier, dtype = 'auto', onProgress, signal }) => {
    const checkpoint = await openCheckpoint(source);
    const fit = await fitHead(algorithm, {
      name: source.name,
      config,
      checkpoint,
      target: verifier.config,
    });
    const { specs, targetIds, vocabulary } = fit;
    const untrained = await readUntrained(checkpoint);
    const options = { dtype, onProgress, signal };
    const loaded = await loadTensors({ checkpoint, place }, specs, verifier.backend, options);
    const weights = new Map(specs.map((spec) => [spec.name, loaded.tensors.get(spec)!] as const));
    const head = fit.create({ weights, verifier, targetIds });
    return {
      model: head.model ?? null,
      head,
      notes: [
        ...fit.notes,
        ...(untrained.length > 0 ? [untrainedNote(untrained)] : []),
        ...loaded.notes,
      ],
      weights,
      vocabulary: targetIds === null ? [] : writeVocabulary(targetIds, vocabulary),
      texts: {},
      drafter: (shape) => draftHead(head, { ...shape, name: config.algorithm }),
      dispose: () => head.dispose(),
    };
  };
