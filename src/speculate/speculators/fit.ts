// A head's config and tensors against each other and against its target, before a weight is read: what loading and converting
// both ask first.
import * as z from 'zod';
import { FormatError, UnsupportedError } from '../../kernels/errors.ts';
import type { WeightSpec } from '../../models/architecture.ts';
import { architectureOf } from '../../models/architectures.ts';
import type { DecoderConfig } from '../../models/config.ts';
import { llama } from '../../models/llama.ts';
import { parse, size } from '../../models/schema.ts';
import { checkTensors } from '../../models/weights.ts';
import type { Checkpoint } from '../../tensor/checkpoint.ts';
import type { HeadAlgorithm } from './algorithm.ts';
import { type Json, readDraftConfig, type SpeculatorConfig } from './config.ts';
import { createDepthHead } from './depth-head.ts';
import { createDecoderHead, type Head, type HeadOptions } from './head.ts';
import { readVocabulary, type VocabularyParts, vocabularyNames } from './vocabulary.ts';

/** What is looked at. */
export interface FitParts {
  /** The folder, for messages. */
  readonly name: string;
  readonly config: SpeculatorConfig;
  readonly checkpoint: Pick<Checkpoint, 'tensors' | 'readInto'>;
  readonly target: DecoderConfig;
}

/** A head whose tensors are those that its config asks for. */
export interface Fit {
  readonly specs: readonly WeightSpec[];
  readonly targetIds: Int32Array | null;
  readonly vocabulary: VocabularyParts;
  readonly notes: readonly string[];
  create(options: HeadOptions): Head;
}

/** Throws FormatError for what does not fit, UnsupportedError for what this version does not run. */
export async function fitHead(algorithm: HeadAlgorithm<unknown>, parts: FitParts): Promise<Fit> {
  const { name, config, checkpoint, target } = parts;
  const { draftVocab, weights, create } = bind(algorithm, config, `${name}/config.json`, target);
  const specs = weights((each) => checkpoint.tensors.has(each));
  // Those of its vocabulary are read apart.
  const apart = vocabularyNames(algorithm.tokenMap);
  const tensors = new Map([...checkpoint.tensors].filter(([each]) => !apart.includes(each)));
  const surplus = (each: string) => SURPLUS[each] ?? null;
  const given = { name, checkpoint: { tensors }, place, surplus };
  const notes = checkTensors(given, specs, config.algorithm);
  const vocabulary = { file: name, draftVocab, vocab: target.vocab, map: algorithm.tokenMap };
  const targetIds = await readVocabulary(checkpoint, vocabulary);
  return { specs, targetIds, vocabulary, notes, create };
}

/** Tensors have the names of the weights. */
export const place = (name: string) => ({ name });

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

/**
 * A target of which only the sizes are known: all that a head is held against before it runs. `json` has them under the keys of
 * transformers.
 */
export function targetOfSize(json: Json, file: string): DecoderConfig {
  const sizes = parse(sizesSchema, json, file);
  const layer = { intermediate_size: 1, num_attention_heads: 1, head_dim: 2 };
  return llama.readConfig({ ...layer, ...sizes, model_type: 'llama' }, file);
}

/** The target; of one that this version does not run, the sizes, which say whether a head fits. */
export function targetOf(
  json: Json,
  file: string,
): { readonly decoder: DecoderConfig; readonly note: string | null } {
  try {
    return { decoder: architectureOf(json, file).readConfig(json, file), note: null };
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    const note = `this version does not run its target: ${error.message}`;
    return { decoder: targetOfSize(json, file), note };
  }
}

const sizesSchema = z.object({
  vocab_size: size,
  hidden_size: size,
  num_hidden_layers: size,
});

/** Tensors that old writers left behind. */
const SURPLUS: Readonly<Record<string, string>> = {
  'verifier_lm_head.weight': 'the head of the target',
};
