// MLP speculators as IBM publishes them (`model_type: mlp_speculator`): the format's tensors behind the prefix `speculator.`, and
// other names for the fields.
import * as z from 'zod';
import { UnsupportedError } from '../../../kernels/errors.ts';
import { parse, size } from '../../../models/schema.ts';
import { mlp } from '../../drafters/mlp.ts';
import type { Json } from '../config.ts';
import type { ResearchFormat } from './format.ts';
import { checkTarget } from './target.ts';

const PREFIX = 'speculator.';
const TENSOR = /^(?:(?:emb|proj|head)\.\d+\.weight|ln\.\d+\.(?:weight|bias))$/;
const FILE = 'config.json';

/** IBM's fields and their defaults. */
const schema = z
  .looseObject({
    vocab_size: size.default(32_000),
    emb_dim: size.default(4096),
    /** 0 for that of emb_dim. */
    inner_dim: z.int().min(0).default(0),
    n_predict: size.default(3),
    top_k_tokens_per_head: z.array(size).default([5, 4, 3]),
    n_candidates: size.default(5),
    tie_weights: z.boolean().default(false),
    scale_input: z.boolean().default(false),
  })
  .refine(({ n_predict, top_k_tokens_per_head }) => top_k_tokens_per_head.length === n_predict, {
    error: 'expected as many top_k_tokens_per_head as n_predict',
  });

/** What an own config means in the fields of the format. */
function means(own: Json): Json {
  const fields = parse(schema, own, FILE);
  return {
    inputs: ['input_embeddings', 'hidden_states[-1]'],
    // They are trained on what the head of the target reads.
    inputs_hidden_states_normalized: true,
    hidden_size: fields.emb_dim,
    intermediate_size: fields.inner_dim === 0 ? fields.emb_dim : fields.inner_dim,
    vocab_size: fields.vocab_size,
    num_layers: fields.n_predict,
    tie_weights: fields.tie_weights,
    scale_input: fields.scale_input,
    top_k_tokens_per_head: fields.top_k_tokens_per_head,
    n_candidates: fields.n_candidates,
  };
}

/** IBM's fields of a config of the format. */
function back(config: Json): Json {
  const fields = parse(mlp.schema, config, FILE);
  if (!fields.inputs_hidden_states_normalized)
    throw new UnsupportedError(
      `${FILE}: inputs_hidden_states_normalized: expected true, as IBM's heads read states, got false`,
    );
  const { top_k_tokens_per_head: counts } = fields;
  return {
    vocab_size: fields.vocab_size,
    emb_dim: fields.hidden_size,
    inner_dim: fields.intermediate_size,
    n_predict: fields.num_layers,
    // A head that proposes no tree proposes a chain.
    top_k_tokens_per_head: counts ?? Array.from({ length: fields.num_layers }, () => 1),
    n_candidates: counts ? fields.n_candidates : 1,
    tie_weights: fields.tie_weights,
    scale_input: fields.scale_input,
  };
}

/** IBM's MLP speculators. */
export const mlpFormat: ResearchFormat = {
  algorithm: 'mlp',
  matches(config, names) {
    const has = (name: string) => names.has(name) || names.has(PREFIX + name);
    return (
      config['model_type'] === 'mlp_speculator' ||
      ['emb.0.weight', 'proj.0.weight', 'ln.0.weight', 'head.0.weight'].every(has)
    );
  },
  fate(name) {
    const bare = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name;
    return TENSOR.test(bare) ? { name: bare } : undefined;
  },
  // With the prefix, as IBM writes it, also where a source had none.
  back: (name) => (TENSOR.test(name) ? PREFIX + name : undefined),
  draftLength: (config) => Number(config['num_layers']),
  fields({ own, verifier }) {
    const fields = means(own);
    checkTarget(`${FILE}: emb_dim`, Number(fields['hidden_size']), verifier, 'hidden_size');
    checkTarget(`${FILE}: vocab_size`, Number(fields['vocab_size']), verifier, 'vocab_size');
    const dtype = typeof own['torch_dtype'] === 'string' ? { torch_dtype: own['torch_dtype'] } : {};
    // Later versions of the format do not have it.
    return {
      architectures: ['MLPSpeculator'],
      speculators_version: '0.1.0',
      ...dtype,
      ...fields,
    };
  },
  ownConfig: (config) => ({
    architectures: ['MLPSpeculatorPreTrainedModel'],
    model_type: 'mlp_speculator',
    ...back(config),
  }),
};
