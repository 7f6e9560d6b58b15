// z-lab's DFlash, and Laguna's and Inkling's of that kind, which have queries, keys and values in one matrix, gates that the format
// does not have, and states that it does not read. Layer ids are one less than in the format; embedding and head are the target's.
import { FormatError, UnsupportedError } from '../../../kernels/errors.ts';
import type { TensorParts } from '../../../tensor/parts.ts';
import { type Json, layerJson } from '../config.ts';
import { flatRope } from '../rope.ts';
import type { ResearchFormat } from './format.ts';
import { isInLayer, layerNames } from './names.ts';
import { columns, rowsJoined, rowsSplit } from './rows.ts';

const IDS = 'aux_hidden_state_layer_ids';
/** A key beside those of the format: to be one matrix again on the way back. */
const FUSED = 'qkv_was_fused';
const OUTSIDE = [
  'architectures',
  'auto_map',
  'block_size',
  'dflash_config',
  'num_target_layers',
  IDS,
  FUSED,
];
const HEAD = ['fc.weight', 'hidden_norm.weight', 'norm.weight'];
const LAYER = /^layers\.\d+\.(.+)$/;
const QKV = /^(layers\.\d+\.self_attn)\.qkv_proj\.(weight|bias)$/;
const PARTS = ['q_proj', 'k_proj', 'v_proj'];
const UNREAD = 'the format does not read the state after the last layer';
const LENT = ['embed_tokens.weight', 'lm_head.weight'];

const isKnown = (name: string) =>
  HEAD.includes(name) || QKV.test(name) || isInLayer(LAYER.exec(name)?.[1] ?? '');

/** DFlash. */
export const dflash: ResearchFormat = {
  algorithm: 'dflash',
  matches: (own, names) =>
    'dflash_config' in own ||
    [own['architectures']].flat().some((name) => String(name).includes('DFlash')) ||
    (HEAD.every((name) => names.has(name)) &&
      [...names].some((name) => /^layers\.0\.self_attn\.q(kv)?_proj/.test(name))),
  choices: [IDS],
  lent: LENT,
  fate(name) {
    if (isKnown(name)) return { name };
    if (/\.g_proj\./.test(name))
      return { dropped: 'a gate of attention; the format has none, so the head will agree less' };
    if (name.startsWith('aux_hidden_norms.'))
      return {
        dropped: 'a norm of target states; the format has none, so the head will agree less',
      };
    return undefined;
  },
  reason: (name) => (LENT.includes(name) ? 'the layout takes it from the target' : undefined),
  back: (name) => (isKnown(name) ? name : undefined),
  needs(config) {
    const { num_hidden_layers: count, model_type: type } = layerJson(config);
    const layers = Array.from({ length: Number(count) }, (_, l) => layerNames(`layers.${l}`, type));
    return [...HEAD, ...layers.flat()];
  },
  draftLength: (config) => Number(config['block_size']) - 1,
  fields({ own, shapes, verifier }) {
    const layer = Object.fromEntries(Object.entries(own).filter(([key]) => !OUTSIDE.includes(key)));
    for (const [key, name] of SHARED) checkShared(key, own[name], verifier[key]);
    const isFused = [...shapes.keys()].some((name) => QKV.test(name));
    const { kept, left } = layerIds(own, verifier);
    if (left.length > 0 && !isFused)
      throw new UnsupportedError(
        `dflash_config.target_layer_ids: expected layers before the last, got ${left.join()}, whose state is read after the final norm there`,
      );
    return {
      architectures: ['DFlashSpeculator'],
      draft_vocab_size: verifier['vocab_size'],
      block_size: blockOf(own),
      [IDS]: kept,
      mask_token_id: inner(own)['mask_token_id'],
      sliding_window_non_causal: false,
      sample_from_anchor: false,
      tie_word_embeddings: false,
      transformer_layer_config: flatRope({ model_type: 'qwen3', ...layer }),
      ...(isFused && { [FUSED]: true }),
    };
  },
  ownConfig: (config) => ({
    architectures: ['DFlashDraftModel'],
    ...layerJson(config),
    block_size: config['block_size'],
    dflash_config: {
      mask_token_id: config['mask_token_id'],
      target_layer_ids: (config[IDS] as readonly number[]).map((id) => id - 1),
    },
  }),
  arrange(tensors, { own, verifier }) {
    const fused = tensors.filter(({ name }) => QKV.test(name));
    if (fused.length === 0) return { tensors, changes: [] };
    const { kept, left } = layerIds(own, verifier);
    const changes: string[] = [];
    const lost: [string, string][] = [];
    const arranged = tensors.flatMap((tensor) => {
      if (QKV.test(tensor.name)) {
        changes.push(`took ${tensor.name} apart into q_proj, k_proj and v_proj`);
        return splitQkv(tensor, own, tensors);
      }
      if (tensor.name !== 'fc.weight' || left.length === 0) return [tensor];
      const width = kept.length * Number(own['hidden_size']);
      changes.push(
        `kept the first ${width} of the ${tensor.shape[1]} columns of fc.weight: ${UNREAD}, which the others are for`,
      );
      lost.push([`fc.weight from column ${width} on`, UNREAD]);
      return [columns(tensor, width)];
    });
    return { tensors: arranged, changes, lost };
  },
  restore(tensors, config) {
    if (config[FUSED] !== true) return { tensors, changes: [] };
    const changes: string[] = [];
    const restored = tensors.flatMap((tensor) => {
      const [, at, projection, end] = /^(.+)\.([qkv]_proj)\.(\w+)$/.exec(tensor.name) ?? [];
      if (projection === undefined) return [tensor];
      const parts = PARTS.map((part) =>
        tensors.find(({ name }) => name === `${at}.${part}.${end}`),
      );
      const missing = PARTS.find((_, index) => parts[index] === undefined);
      if (missing !== undefined)
        throw new FormatError(
          `${tensor.name}: expected ${at}.${missing}.${end} beside it, got none`,
        );
      if (projection !== PARTS[0]) return [];
      changes.push(`joined q_proj, k_proj and v_proj to ${at}.qkv_proj.${end}`);
      return [rowsJoined(`${at}.qkv_proj.${end}`, parts as TensorParts[])];
    });
    return { tensors: restored, changes };
  },
};

/** Fields that have to be the target's. */
const SHARED = [
  ['hidden_size', 'hidden_size'],
  ['vocab_size', 'vocab_size'],
  ['num_hidden_layers', 'num_target_layers'],
] as const;

function checkShared(key: string, got: unknown, expected: unknown): void {
  if (got !== undefined && got !== expected)
    throw new FormatError(`${key}: expected a target with ${got}, got one with ${expected}`);
}

const inner = (own: Json) => (own['dflash_config'] ?? {}) as Json;

function blockOf(own: Json): number {
  const block = own['block_size'] ?? inner(own)['block_size'];
  if (typeof block !== 'number')
    throw new FormatError(`block_size: expected the places of a block, got ${block}`);
  return block;
}

/** Layers in the numbers of the format, and those that it does not read, in the research project's. */
function layerIds(own: Json, verifier: Json): { readonly kept: number[]; readonly left: number[] } {
  if (Array.isArray(own[IDS])) return { kept: own[IDS] as number[], left: [] };
  const ids = inner(own)['target_layer_ids'];
  if (!Array.isArray(ids))
    throw new FormatError(
      `dflash_config.target_layer_ids: expected layers of the target, or ${IDS} from the caller, got ${ids}`,
    );
  const isLast = (id: number) => id + 1 === verifier['num_hidden_layers'];
  const first = ids.findIndex(isLast);
  const count = first === -1 ? ids.length : first;
  // Columns can only be left out behind those that are kept.
  const left = ids.slice(count);
  if (!left.every(isLast))
    throw new UnsupportedError(
      `dflash_config.target_layer_ids: expected the last layer at the end, got ${ids.join()}`,
    );
  return { kept: ids.slice(0, count).map((id) => id + 1), left };
}

/** Queries, keys and values of one matrix. */
function splitQkv(tensor: TensorParts, own: Json, all: readonly TensorParts[]): TensorParts[] {
  const [, at, end] = QKV.exec(tensor.name)!;
  const names = PARTS.map((part) => `${at}.${part}.${end}`);
  const other = all.find(({ name }) => names.includes(name));
  if (other !== undefined)
    throw new FormatError(`${tensor.name}: expected it or ${other.name}, got both`);
  const heads = Number(own['num_attention_heads']);
  const width = Number(own['head_dim'] ?? Number(own['hidden_size']) / heads);
  const keys = Number(own['num_key_value_heads'] ?? heads) * width;
  return rowsSplit(tensor, names, [heads * width, keys, keys]);
}
