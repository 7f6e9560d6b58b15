// The layer for multi-token prediction that comes in the checkpoint of a model (Qwen3-Next, Qwen3.5, Qwen3): `mtp.*` beside the
// tensors of the target. Only those are read. The columns of its projection are the token's, then the state's, as in the format.
import { FormatError } from '../../../kernels/errors.ts';
import { decoderOf, type Json, layerJson } from '../config.ts';
import { fuseExperts, separateExperts } from './experts.ts';
import type { ResearchFormat } from './format.ts';
import { renames } from './names.ts';

/** The layer in the format. */
export const LAYER = 'mtp_layers.0';

const NAMES = renames(
  {
    'mtp.pre_fc_norm_embedding.': `${LAYER}.token_layernorm.`,
    'mtp.pre_fc_norm_hidden.': `${LAYER}.hidden_layernorm.`,
    'mtp.layers.0.': `${LAYER}.`,
  },
  {
    'mtp.fc.weight': `${LAYER}.input_proj.weight`,
    'mtp.norm.weight': `${LAYER}.final_layernorm.weight`,
  },
);
/** Tensors that only mean something together with quantised weights. */
const SCALES = /\.(weight_scale(_inv)?|input_scale|scales|qweight|qzeros|g_idx)$/;
const NORMS = [
  'input_proj',
  'token_layernorm',
  'hidden_layernorm',
  'input_layernorm',
  'post_attention_layernorm',
  'final_layernorm',
];
const [QUERY, KEY, VALUE, OUT] = ['q', 'k', 'v', 'o'].map((each) => `self_attn.${each}_proj`);
const MLP = ['mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj'];

/** Latent attention has one matrix down and one up for keys and values, and the same for queries or not; the config says. */
function needs(config: Json, names: ReadonlySet<string>): string[] {
  const layer = layerJson(config);
  const latent = ['self_attn.kv_a_proj_with_mqa', 'self_attn.kv_b_proj'];
  const latentQuery = ['self_attn.q_a_proj', 'self_attn.q_b_proj'];
  const attention =
    layer['kv_lora_rank'] == null
      ? [QUERY, KEY, VALUE]
      : [...(layer['q_lora_rank'] == null ? [QUERY] : latentQuery), ...latent];
  const experts = `${LAYER}.mlp.experts.`;
  const says = ['num_experts', 'n_routed_experts'].some((key) => Number(layer[key] ?? 0) > 0);
  const isMixture =
    [...names].some((name) => name.startsWith(experts)) ||
    (says && !names.has(`${LAYER}.mlp.gate_proj.weight`));
  const mlp = isMixture ? ['mlp.gate'] : MLP;
  return [
    ...[...NORMS, ...attention, OUT, ...mlp].map((name) => `${LAYER}.${name}.weight`),
    ...(isMixture ? [`${experts}gate_up_proj`, `${experts}down_proj`] : []),
  ];
}

/** A key beside those of the format. */
const FUSED = 'experts_were_fused';

/** What all layouts of multi-token prediction have in common. */
export const mtpCommon = {
  algorithm: 'mtp',
  reason: (name) => (SCALES.test(name) ? 'a part of quantised weights' : undefined),
  needs,
  draftLength: () => 3,
  fields({ own, shapes, verifier }) {
    const layer = decoderOf(own);
    if (layer['hidden_size'] !== verifier['hidden_size'])
      throw new FormatError(
        `hidden_size: expected the target's ${verifier['hidden_size']}, got ${layer['hidden_size']}`,
      );
    const fused = [...shapes.keys()].some((name) => name.endsWith('.experts.gate_up_proj'));
    return {
      architectures: ['MTPDraftModel'],
      num_nextn_predict_layers: 1,
      transformer_layer_config: layer,
      // Said so that they are not taken apart on the way back.
      ...(fused && { [FUSED]: true }),
    };
  },
  ownConfig: (config) => layerJson(config),
  arrange: fuseExperts,
  restore: (tensors, config) =>
    config[FUSED] === true ? { tensors, changes: [] } : separateExperts(tensors),
  lent: ['embed_tokens.weight', 'lm_head.weight', 'verifier_lm_head.weight'],
} as const satisfies Partial<ResearchFormat>;

/** Whether a name is of weights as they are. */
export const isPlain = (name: string) => !SCALES.test(name);

/** Multi-token prediction of the Qwen models. */
export const mtp: ResearchFormat = {
  ...mtpCommon,
  matches: (_, names) => [...names].some((name) => name.startsWith('mtp.')),
  includes: (name) => name.startsWith('mtp.'),
  fate(name) {
    const to = isPlain(name) ? NAMES.to(name) : undefined;
    return to === undefined ? undefined : { name: to };
  },
  back: NAMES.back,
};
