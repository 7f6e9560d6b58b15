// Heads for multi-token prediction by the config of their layer, and the names that DeepSeek and GLM have for their tensors.
import type { LayerConfig } from '../../../src/speculate/drafters/layer-config.ts';
import {
  type Json,
  readDraftConfig,
  readSpeculatorConfig,
} from '../../../src/speculate/speculators/config.ts';
import type { TensorData } from '../../../src/tensor/safetensors.ts';
import type { FolderSource } from '../../../src/tensor/source.ts';
import { headSource, tensorsOf } from './research.ts';

/** The config.json of a head of version 0.7. */
const configOf = (layer: Json, algorithm = 'mtp') => ({
  architectures: ['MTPDraftModel'],
  speculators_model_type: algorithm,
  speculators_version: '0.7.0',
  speculators_config: {
    algorithm,
    default_proposal_method: 'greedy',
    proposal_methods: [{ proposal_type: 'greedy', speculative_tokens: 3 }],
    verifier: { name_or_path: null, architectures: [] },
  },
  transformer_layer_config: layer,
  num_nextn_predict_layers: 1,
});

/** A head with a layer. */
export const mtpSource = (layer: Json, tensors: readonly TensorData[]): FolderSource =>
  headSource(configOf(layer), tensors);

/** What is read of the config of a layer. */
export const readLayer = (layer: Json, algorithm?: string): LayerConfig =>
  readDraftConfig(readSpeculatorConfig(configOf(layer, algorithm), 'head'), 'head');

/** Tensors of a head under the names of a layer of its target, but for what has a name of its own; experts one by one. */
export function nativeTensors(
  tensors: readonly TensorData[],
  layer: string,
  names: Readonly<Record<string, string>>,
): TensorData[] {
  return tensors.flatMap((tensor): TensorData[] => {
    const own = tensor.name.replace('mtp_layers.0.', '');
    const named = names[own.replace(/\.weight$/, '')];
    const [, projection] = /^mlp\.experts\.(\w+)$/.exec(own) ?? [];
    if (projection === undefined)
      return [{ ...tensor, name: named === undefined ? `${layer}.${own}` : `${named}.weight` }];
    const parts = projection === 'down_proj' ? ['down_proj'] : ['gate_proj', 'up_proj'];
    const [experts, rows, columns] = tensor.shape;
    const size = (rows / parts.length) * columns;
    return Array.from({ length: experts * parts.length }, (_, index) => ({
      name: `${layer}.mlp.experts.${Math.floor(index / parts.length)}.${parts[index % parts.length]}.weight`,
      dtype: tensor.dtype,
      shape: [rows / parts.length, columns],
      data: (tensor.data as Float32Array).slice(index * size, (index + 1) * size),
    }));
  });
}

const native = (tensors: readonly TensorData[]) =>
  nativeTensors(tensors, 'model.layers.8', {
    input_proj: 'model.layers.8.eh_proj',
    final_layernorm: 'model.layers.8.shared_head.norm',
    hidden_layernorm: 'model.layers.8.hnorm',
    token_layernorm: 'model.layers.8.enorm',
  });

const OTHERS = { 'model.norm.weight': [32], 'model.embed_tokens.weight': [64, 32] };

/** A checkpoint, in two files, of a target of eight layers with one more, which repeats the embedding. */
export function checkpointOf(layer: Json, tensors: readonly TensorData[]): FolderSource {
  const others = tensorsOf(OTHERS, 1);
  const copy = { ...others[1], name: 'model.layers.8.embed_tokens.weight' };
  const config = { architectures: ['Whole'], ...layer };
  return headSource(config, [...native(tensors), ...others, copy], { shards: 2 });
}

/** Whether a tensor of such a checkpoint is not one of the head. */
export const isOther = (name: string): boolean =>
  Object.hasOwn(OTHERS, name) || name.endsWith('.embed_tokens.weight');
