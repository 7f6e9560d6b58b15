// A draft head from its folder: looked at as a whole, then its weights.
import { loadTensors } from '../../models/weights.ts';
import type { Checkpoint } from '../../tensor/checkpoint.ts';
import { openCheckpoint, type TensorData } from '../../tensor/safetensors.ts';
import { draftHead } from '../drafters/head.ts';
import type { HeadAlgorithm } from './algorithm.ts';
import { type Fit, fitHead, place } from './fit.ts';
import type { Loader } from './loaded.ts';
import { initialSizeOf, readUntrained, untrainedNote } from './untrained.ts';
import { vocabularyNames, writeVocabulary } from './vocabulary.ts';

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
    const { specs, targetIds } = fit;
    const initial = initialSizeOf(config.raw, `${source.name}/config.json`);
    const untrained = await readUntrained(checkpoint, initial);
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
      vocabulary: vocabularyOf(fit, checkpoint),
      tensors: checkpoint.tensors,
      metadata: checkpoint.metadata,
      texts: {},
      drafter: (shape) => draftHead(head, { ...shape, name: config.algorithm }),
      dispose: () => head.dispose(),
    };
  };

/** As it was read, where there is one. */
function vocabularyOf(
  { targetIds, vocabulary }: Fit,
  { tensors }: Pick<Checkpoint, 'tensors'>,
): readonly TensorData[] {
  if (targetIds !== null) return writeVocabulary(targetIds, vocabulary);
  if (!vocabularyNames(vocabulary.map).some((name) => tensors.has(name))) return [];
  const same = Int32Array.from({ length: vocabulary.vocab }, (_, token) => token);
  return writeVocabulary(same, vocabulary);
}
