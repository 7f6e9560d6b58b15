// The layer for multi-token prediction that comes in the checkpoint of a model (Qwen3-Next, Qwen3.5, Qwen3): `mtp.*` beside the
// tensors of the target. Only those are read. The columns of its projection are the token's, then the state's, as in the format.
import { FormatError } from '../../../kernels/errors.ts';
import { decoderOf, layerJson } from '../config.ts';
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
const NEEDS = [
  'input_proj',
  'token_layernorm',
  'hidden_layernorm',
  'input_layernorm',
  'post_attention_layernorm',
  'final_layernorm',
].map((name) => `${LAYER}.${name}.weight`);

/** A key beside those of the format. */
const FUSED = 'experts_were_fused';

/** What all layouts of multi-token prediction have in common. */
export const mtpCommon = {
  algorithm: 'mtp',
  reason: (name) => (SCALES.test(name) ? 'a part of quantised weights' : undefined),
  needs: () => NEEDS,
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
