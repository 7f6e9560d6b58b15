// SafeAILab's EAGLE-1 and EAGLE-2, and HASS: one decoder layer after a projection. Heads with norms of the embedding and before the
// target's head have a place in the format; HASS's norm of the state, before the projection, has one under a key of ours, because the
// format's third norm comes after it.
import { FormatError } from '../../../kernels/errors.ts';
import { type Json, layerJson } from '../config.ts';
import type { ResearchFormat } from './format.ts';
import { isInLayer, layerNames, renames } from './names.ts';

const LAYER = 'layers.0.';
/** HASS's, and the key that says so. */
const STATE_NORM = 'hidden_layernorm.weight';
const STATE_KEY = 'hidden_layernorm';
const NAMES = renames(
  { [LAYER]: 'transformer.' },
  {
    'fc.weight': 'fusion_fc.weight',
    'fc.bias': 'fusion_fc.bias',
    'embed_layernorm.weight': 'embedding_layernorm.weight',
    'lm_head_layernorm.weight': 'pre_lm_head_layernorm.weight',
    [STATE_NORM]: STATE_NORM,
  },
);
const INPUT_NORM = `${LAYER}input_layernorm.weight`;
/** The same norm under another name. */
const POST_EMBEDDING = 'post_embedding_layernorm.weight';
const NORMS = ['embed_layernorm.weight', POST_EMBEDDING, 'lm_head_layernorm.weight'];

/** Copies of the target's, under its names; a head may be tied to the embedding. */
const EMBEDDING = ['model.embed_tokens.weight', 'model.language_model.embed_tokens.weight'];
const COPIES: Readonly<Record<string, readonly string[]>> = {
  'embed_tokens.weight': EMBEDDING,
  'lm_head.weight': ['lm_head.weight', ...EMBEDDING],
};

/** EAGLE-1, EAGLE-2 and HASS. */
export const eagle: ResearchFormat = {
  algorithm: 'eagle',
  matches: (_, names) =>
    names.has('fc.weight') &&
    [...names].some((name) => name.startsWith(LAYER)) &&
    (!names.has(INPUT_NORM) || NORMS.some((name) => names.has(name))),
  fate(name) {
    if (Object.hasOwn(COPIES, name)) return { dropped: 'the target has it' };
    if (name.startsWith(LAYER) && !isInLayer(name.slice(LAYER.length))) return undefined;
    const to = NAMES.to(name === POST_EMBEDDING ? 'embed_layernorm.weight' : name);
    return to === undefined ? undefined : { name: to };
  },
  originals: (name) => (Object.hasOwn(COPIES, name) ? COPIES[name] : []),
  repeats: ['embed_tokens.weight'],
  back: NAMES.back,
  needs: ({ layernorms, [STATE_KEY]: ofState }) => [
    'fusion_fc.weight',
    ...layerNames('transformer', 'llama').filter(
      (name) =>
        (layernorms === true && ofState !== true) || name !== 'transformer.input_layernorm.weight',
    ),
  ],
  elsewhere: ({ [STATE_KEY]: ofState }) =>
    ofState === true
      ? [
          `${STATE_KEY}: a norm of the state before fc, under a key and a name that only foretoken reads; elsewhere the head does not load, or drafts worse`,
        ]
      : [],
  fields({ own, shapes, verifier }) {
    const { bias: _, ...layer } = own;
    for (const name of Object.keys(COPIES)) checkCopied(name, shapes.get(name), verifier);
    return {
      architectures: ['EagleSpeculator', 'LlamaDecoderLayer'],
      // Later versions of the format do not have it.
      speculators_version: '0.1.0',
      transformer_layer_architecture: 'LlamaDecoderLayer',
      layernorms: [...NORMS, INPUT_NORM].some((name) => shapes.has(name)),
      fusion_bias: shapes.has('fc.bias'),
      ...(shapes.has(STATE_NORM) && { [STATE_KEY]: true }),
      tie_word_embeddings: false,
      transformer_layer_config: {
        model_type: 'llama',
        num_hidden_layers: 1,
        ...layer,
        vocab_size: verifier['vocab_size'],
      },
    };
  },
  ownConfig: (config) => ({
    ...layerJson(config),
    bias: config['fusion_bias'] === true,
  }),
};

/** The format has no place for an embedding or a head of fewer tokens. */
function checkCopied(name: string, shape: readonly number[] | undefined, verifier: Json): void {
  const expected = [verifier['vocab_size'], verifier['hidden_size']];
  if (shape !== undefined && shape.join() !== expected.join())
    throw new FormatError(`${name}: expected the target's [${expected}], got [${shape}]`);
}
