// SafeAILab's EAGLE-3 and what others made of it: several layers, norms of queries and keys, norms before the fusion (EAGLE-3.1);
// with a mask of its own a P-EAGLE head. The tensors say what is there; what no tensor shows is taken from the config.json.
import { FormatError } from '../../../kernels/errors.ts';
import { type Json, layerJson } from '../config.ts';
import type { ResearchFormat } from './format.ts';
import { isInLayer, kept, layerNames, renames } from './names.ts';

const NAMES = renames(
  { 'midlayer.': 'layers.0.' },
  kept([
    'fc.weight',
    'input_norm.weight',
    'norm.weight',
    'lm_head.weight',
    'embed_tokens.weight',
    'd2t',
    't2d',
  ]),
);
const FC_NORM = /^fc_norm\.\d+\.weight$/;
const LAYER = /^(?:midlayer|layers\.\d+)\.(.+)$/;
const HIDDEN_NORM = 'hidden_norm.weight';
const MASK = 'mask_hidden';
const LAYER_IDS = 'eagle_aux_hidden_state_layer_ids';

/** Keys of a config.json that are the head's, not its layers'. */
const HEAD_KEYS = [
  'draft_vocab_size',
  'norm_before_residual',
  'norm_before_fc',
  'fc_norm',
  'norm_output',
  'target_hidden_size',
  LAYER_IDS,
] as const;
const MASK_TOKEN = 'mask_token_id';

/** Whether a name is of the layout, here or there. */
function isKnown(name: string): boolean {
  const inLayer = LAYER.exec(name)?.[1];
  if (inLayer !== undefined) return inLayer === HIDDEN_NORM || isInLayer(inLayer);
  return FC_NORM.test(name) || NAMES.to(name) !== undefined;
}

type Shapes = ReadonlyMap<string, readonly number[]>;

/** EAGLE-3. */
export const eagle3: ResearchFormat = {
  algorithm: 'eagle3',
  matches: (_, names) =>
    [...names].some((name) => name.startsWith('midlayer.')) ||
    names.has('layers.0.hidden_norm.weight'),
  choices: ['norm_before_residual', LAYER_IDS],
  fate: (name) => (isKnown(name) ? { name: NAMES.to(name) ?? name } : undefined),
  back: (name) => (isKnown(name) ? (NAMES.back(name) ?? name) : undefined),
  needs(config) {
    const { num_hidden_layers: count, model_type: type } = layerJson(config);
    const layers = Array.from({ length: Number(count) }, (_, l) => layerNames(`layers.${l}`, type));
    const others = ['fc.weight', `layers.0.${HIDDEN_NORM}`, 'norm.weight', 'lm_head.weight'];
    return [...others, ...layers.flat()];
  },
  fields: ({ own, shapes, verifier }) => ({
    draft_vocab_size: own['draft_vocab_size'] ?? shapes.get('d2t')?.[0] ?? verifier['vocab_size'],
    norm_before_residual: own['norm_before_residual'] ?? false,
    norm_before_fc: own['norm_before_fc'] === true || shapes.has('input_norm.weight'),
    fc_norm: own['fc_norm'] === true || shapes.has('fc_norm.0.weight'),
    norm_output: own['norm_output'] ?? false,
    target_hidden_size: own['target_hidden_size'] ?? null,
    [LAYER_IDS]: own[LAYER_IDS] ?? (own['eagle_config'] as Json | undefined)?.[LAYER_IDS] ?? null,
    tie_word_embeddings: false,
    transformer_layer_config: layerOf(own, shapes, verifier['vocab_size']),
  }),
  ownConfig: (config) => ({
    ...layerJson(config),
    ...Object.fromEntries(HEAD_KEYS.map((key) => [key, config[key]])),
  }),
};

/** P-EAGLE: the same with the state of places that are not known yet. */
export const peagle: ResearchFormat = {
  ...eagle3,
  algorithm: 'peagle',
  matches: (_, names) => names.has(MASK),
  choices: [...eagle3.choices!, MASK_TOKEN],
  fate: (name) => (name === MASK ? { name } : eagle3.fate(name)),
  back: (name) => (name === MASK ? name : eagle3.back(name)),
  fields({ own, ...parts }) {
    if (!parts.shapes.has(MASK))
      throw new FormatError(`expected a P-EAGLE head with ${MASK}, got an EAGLE-3 head without it`);
    const { [MASK_TOKEN]: mask, ...rest } = own;
    // The second is vLLM's name for it.
    return { ...eagle3.fields({ own: rest, ...parts }), [MASK_TOKEN]: mask ?? own['pard_token'] };
  },
  ownConfig: (config) => ({ ...eagle3.ownConfig(config), [MASK_TOKEN]: config[MASK_TOKEN] }),
};

/** The decoder layers: Qwen3's where queries and keys are normed, else Llama's, whatever the file calls them. */
function layerOf(own: Json, shapes: Shapes, vocab: unknown): Json {
  const layer = Object.fromEntries(
    Object.entries(own).filter(([key]) => !HEAD_KEYS.some((each) => each === key)),
  );
  const first = (name: string) =>
    shapes.get(`midlayer.self_attn.${name}.weight`) ??
    shapes.get(`layers.0.self_attn.${name}.weight`);
  const type = first('q_norm') ? 'qwen3' : 'llama';
  const [heads, width] = [Number(own['num_attention_heads']), Number(own['hidden_size'])];
  const headDim = (first('o_proj')?.[1] ?? Number.NaN) / heads;
  // Written out where the class would take another.
  const hasOwn = own['head_dim'] != null || !Number.isInteger(headDim);
  const isDefault = type === 'llama' && headDim === width / heads;
  return {
    num_hidden_layers: 1,
    ...layer,
    model_type: type,
    ...(!hasOwn && !isDefault && { head_dim: headDim }),
    vocab_size: vocab,
  };
}
