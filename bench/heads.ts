// Draft heads for the decode bench: the speculator of a folder, and heads of every algorithm with random weights, whose cost is that
// of trained ones of one layer, and whose acceptance means nothing.
import type { DecoderConfig } from '../src/models/config.ts';
import type { Decoder } from '../src/models/decoder.ts';
import type { LoadedModel } from '../src/models/load.ts';
import { readDraftConfig, readSpeculatorConfig } from '../src/speculate/speculators/config.ts';
import { ALGORITHMS, Speculator } from '../src/speculate/speculators/load.ts';
import type { Drafters } from './draft-cost.ts';
import { modelAt } from './host.ts';
import type { BenchDType, BenchOptions } from './measure.ts';
import { randomWeights } from './random-model.ts';

/** Tokens that the heads are asked for in a round. */
const HEAD_DRAFT = 4;

/** Fields of those that draft so many tokens at most: as many as are asked for; DFlash's first place says nothing. */
const DEPTHS: Readonly<Record<string, object>> = {
  dflash: { block_size: HEAD_DRAFT + 1 },
  dspark: { block_size: HEAD_DRAFT },
  mlp: { num_layers: HEAD_DRAFT },
  medusa: { num_heads: HEAD_DRAFT },
};

/** The speculator that was asked for, and a random head of every algorithm, of those whose name the options choose. */
export async function openHeads(
  target: LoadedModel,
  { speculator: folder, drafter: filter, dtype }: BenchOptions,
): Promise<{ readonly given: Drafters; readonly random: Drafters; dispose(): void }> {
  const opened: Speculator[] = [];
  const drafterOf = (speculator: Speculator) => {
    opened.push(speculator);
    return speculator.drafter();
  };
  let given: Drafters = {};
  if (folder !== undefined) {
    const from = modelAt(folder);
    const drafter = drafterOf(
      await Speculator.fromPretrained(from, { verifier: target.model, dtype }),
    );
    given = Object.fromEntries(
      ([HEAD_DRAFT, 'auto'] as const)
        .map(
          (draftLength) => [`${drafter.name}, ${draftLength}`, { drafter, draftLength }] as const,
        )
        .filter(([name]) => name.includes(filter)),
    );
  }
  const random: Record<string, Drafters[string]> = {};
  for (const algorithm of Object.keys(ALGORITHMS)) {
    const name = `random ${algorithm}, ${HEAD_DRAFT}`;
    if (!name.includes(filter)) continue;
    const drafter = drafterOf(await randomHead(algorithm, target.model, { seed: 1, dtype }));
    random[name] = { drafter, draftLength: HEAD_DRAFT };
  }
  const dispose = () => {
    for (const speculator of opened) speculator.dispose();
  };
  return { given, random, dispose };
}

/** A head of an algorithm for a target, of one layer of its shape; weights are a function of the seed. */
export function randomHead(
  algorithm: string,
  verifier: Decoder,
  { seed, dtype }: { readonly seed: number; readonly dtype: BenchDType },
): Promise<Speculator> {
  const { config } = verifier;
  const json = headConfig(algorithm, config);
  const layer = readDraftConfig(readSpeculatorConfig(json, algorithm), algorithm);
  const head = ALGORITHMS[algorithm];
  const own = { fields: head.schema.parse(json), layer, target: config };
  // Embedding and head are borrowed where that may be.
  const specs = head.weights(own, () => false);
  const weights = specs.map(({ name, shape }, index) => ({
    name,
    dtype: 'f32' as const,
    shape,
    data: randomWeights(shape, seed + index),
  }));
  return Speculator.fromConfig(json, weights, { verifier, dtype });
}

/** A config.json with the fields that all algorithms need together; each reads its own. */
function headConfig(algorithm: string, target: DecoderConfig) {
  const { layers } = target;
  const taps = [Math.min(1, layers), layers >> 1, layers - 1];
  return {
    speculators_model_type: algorithm,
    speculators_config: {
      algorithm,
      default_proposal_method: 'greedy',
      proposal_methods: [{ proposal_type: 'greedy', speculative_tokens: HEAD_DRAFT }],
      verifier: { name_or_path: null, architectures: [] },
    },
    transformer_layer_config: {
      model_type: 'llama',
      vocab_size: target.vocab,
      hidden_size: target.width,
      intermediate_size: target.ffnWidth,
      num_hidden_layers: 1,
      num_attention_heads: target.heads,
      num_key_value_heads: target.kvHeads,
      head_dim: target.headDim,
      max_position_embeddings: target.maxPositions,
    },
    draft_vocab_size: target.vocab,
    eagle_aux_hidden_state_layer_ids: taps,
    aux_hidden_state_layer_ids: taps,
    mask_token_id: 0,
    hidden_size: target.width,
    intermediate_size: target.width,
    vocab_size: target.vocab,
    ...DEPTHS[algorithm],
  };
}
