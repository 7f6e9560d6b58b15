// Medusa heads for tests: random weights from a seed, and their logits in float64 loops that share nothing with the first implementation.
import type { TensorData } from '../../../src/tensor/safetensors.ts';
import type { FolderSource } from '../../../src/tensor/source.ts';
import {
  folderOf,
  product,
  randomTensors,
  type Tensors,
  type Vector,
  VOCAB,
  WIDTH,
} from './depth-heads.ts';

export const HEADS = 3;
/** Some of the target's tokens, in no order. */
export const MAP = Array.from({ length: 40 }, (_, token) => (token * 27 + 11) % VOCAB);

export interface Variant {
  readonly num_hidden_layers: number;
  readonly medusa_fc_bias: boolean;
  readonly original_lm_head: boolean;
  /** Whether the original head is in the file. */
  readonly stored: boolean;
  readonly truncated: boolean;
}
export const PLAIN: Variant = {
  num_hidden_layers: 1,
  medusa_fc_bias: false,
  original_lm_head: false,
  stored: true,
  truncated: false,
};
export const VARIANTS: readonly Variant[] = [
  PLAIN,
  { ...PLAIN, num_hidden_layers: 2, medusa_fc_bias: true },
  { ...PLAIN, truncated: true, medusa_fc_bias: true },
  { ...PLAIN, original_lm_head: true },
  { ...PLAIN, original_lm_head: true, stored: false },
  { ...PLAIN, original_lm_head: true, truncated: true, num_hidden_layers: 0 },
];

export const mapTensor = (ids: readonly number[]): TensorData => ({
  name: 'token_map',
  dtype: 'I64',
  shape: [ids.length],
  data: new Uint8Array(BigInt64Array.from(ids, BigInt).buffer),
});

export function tensorsOf(variant: Variant): TensorData[] {
  const drafted = variant.truncated ? MAP.length : VOCAB;
  const matrices = variant.original_lm_head ? [0] : [0, 1, 2];
  const layers = Array.from({ length: variant.num_hidden_layers }, (_, layer) => layer);
  return [
    ...randomTensors(
      [
        ...[0, 1, 2].flatMap((head) =>
          layers.flatMap((layer) => [
            [`blocks.${head}.layers.${layer}.weight`, [WIDTH, WIDTH]] as const,
            ...(variant.medusa_fc_bias
              ? [[`blocks.${head}.layers.${layer}.bias`, [WIDTH]] as const]
              : []),
          ]),
        ),
        ...(variant.stored
          ? matrices.map((head) => [`lm_heads.${head}.weight`, [drafted, WIDTH]] as const)
          : []),
      ],
      500,
    ),
    ...(variant.truncated ? [mapTensor(MAP)] : []),
  ];
}

export function makeHead(
  variant: Variant,
  change: object = {},
  tensors: readonly TensorData[] = tensorsOf(variant),
): FolderSource {
  const { stored: _, truncated, ...fields } = variant;
  const own = {
    hidden_size: WIDTH,
    vocab_size: VOCAB,
    num_heads: HEADS,
    ...(truncated && { truncated_vocab_size: MAP.length }),
    ...fields,
  };
  return folderOf('medusa', { ...own, ...change }, tensors);
}

/** Logits of a head over its own vocabulary. */
export function logitsOf(tensors: Tensors, state: Vector, head: number, variant: Variant): Vector {
  let x = state;
  for (let layer = 0; layer < variant.num_hidden_layers; layer++) {
    const at = `blocks.${head}.layers.${layer}`;
    const bias = tensors.get(`${at}.bias`)?.data;
    const y = product(tensors, `${at}.weight`, x).map((value, i) => value + (bias?.[i] ?? 0));
    x = x.map((value, i) => value + y[i] / (1 + Math.exp(-y[i])));
  }
  const matrix = variant.stored
    ? `lm_heads.${variant.original_lm_head ? 0 : head}.weight`
    : 'lm_head.weight';
  return product(tensors, matrix, x);
}
