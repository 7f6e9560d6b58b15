// What was migrated, looked at as loading would: every tensor that the config asks for is there, in its shape.
import { UnsupportedError } from '../../kernels/errors.ts';
import { openModelFolder } from '../../models/folder.ts';
import { checkWeights } from '../../models/weights.ts';
import type { Checkpoint } from '../../tensor/checkpoint.ts';
import type { FolderSource } from '../../tensor/source.ts';
import type { HeadAlgorithm } from './algorithm.ts';
import {
  decoderOf,
  type Json,
  readDraftConfig,
  readSpeculatorConfig,
  type SpeculatorConfig,
} from './config.ts';
import { fitHead, targetOf, targetOfSize } from './fit.ts';
import { ALGORITHMS } from './load.ts';

/** No head reads a state from beyond so many layers. */
const MOST_LAYERS = 1024;

/**
 * The tensors against the config and the target; where there is none, one of the head's own sizes stands for it. Returns what a user
 * should know. Throws a FormatError for tensors that are not those of the config.
 */
export async function checkMigrated(
  source: FolderSource,
  parts: {
    readonly config: Json;
    readonly checkpoint: Checkpoint;
    readonly verifier: { readonly config: Json; readonly name: string } | undefined;
  },
): Promise<readonly string[]> {
  const { config, checkpoint, verifier } = parts;
  const { name } = source;
  const file = `${name}/config.json`;
  const read = readSpeculatorConfig(config, file);
  try {
    if (read.algorithm === 'independent') {
      const files = { ...(await openModelFolder(source)), checkpoint };
      checkWeights(files, files.architecture.weights(files.config));
      return [];
    }
    const algorithm = ALGORITHMS[read.algorithm];
    if (verifier !== undefined) {
      const { decoder, note } = targetOf(decoderOf(verifier.config), verifier.name);
      await fitHead(algorithm, { name, config: read, checkpoint, target: decoder });
      return [`it fits ${verifier.name}`, ...(note === null ? [] : [note])];
    }
    const { vocab, width } = sizesOf(algorithm, read, file);
    const sizes = { vocab_size: vocab, hidden_size: width, num_hidden_layers: MOST_LAYERS };
    const target = targetOfSize(sizes, file);
    await fitHead(algorithm, { name, config: read, checkpoint, target });
    return [];
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    return [`its tensors were not checked: this version does not run it: ${error.message}`];
  }
}

/** The sizes that a head has in common with its target. */
function sizesOf(algorithm: HeadAlgorithm<unknown>, config: SpeculatorConfig, file: string) {
  const own = config.raw;
  if (algorithm.forward === undefined)
    return { vocab: own['vocab_size'], width: own['hidden_size'] };
  const { vocab, width } = readDraftConfig(config, file);
  return { vocab, width: own['target_hidden_size'] ?? width };
}
