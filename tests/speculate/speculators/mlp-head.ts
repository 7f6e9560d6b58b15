// An MLP speculator for tests: random weights from a seed, and its steps in float64 loops that share nothing with the first
// implementation, over whole paths from the text.
import type { TensorData } from '../../../src/tensor/safetensors.ts';
import type { FolderSource } from '../../../src/tensor/source.ts';
import {
  finalNorm,
  folderOf,
  gelu,
  product,
  randomTensors,
  type Shapes,
  type Tensors,
  unit,
  type Vector,
  VOCAB,
  WIDTH,
} from './depth-heads.ts';

export const [INNER, STEPS] = [24, 3];

export interface Variant {
  readonly tie_weights: boolean;
  readonly inputs_hidden_states_normalized: boolean;
  readonly scale_input: boolean;
}
export const IBM: Variant = {
  tie_weights: false,
  inputs_hidden_states_normalized: true,
  scale_input: true,
};
export const VARIANTS: readonly Variant[] = [
  IBM,
  { ...IBM, tie_weights: true },
  { ...IBM, scale_input: false },
  { tie_weights: true, inputs_hidden_states_normalized: false, scale_input: false },
];

function shapesOf({ tie_weights }: Variant): Shapes {
  const sets = tie_weights ? [0] : [0, 1, 2];
  return [
    ...sets.flatMap((i) => [
      [`emb.${i}.weight`, [VOCAB, INNER]] as const,
      [`head.${i}.weight`, [VOCAB, INNER]] as const,
      [`ln.${i}.weight`, [INNER]] as const,
      [`ln.${i}.bias`, [INNER]] as const,
    ]),
    ...(tie_weights ? [0, 1] : [0, 1, 2]).map(
      (i) => [`proj.${i}.weight`, [INNER, i === 0 ? WIDTH : INNER]] as const,
    ),
  ];
}

export const tensorsOf = (variant: Variant) => randomTensors(shapesOf(variant), 300);

export const makeHead = (
  variant: Variant,
  change: object = {},
  tensors: readonly TensorData[] = tensorsOf(variant),
): FolderSource =>
  folderOf(
    'mlp',
    {
      hidden_size: WIDTH,
      intermediate_size: INNER,
      vocab_size: VOCAB,
      num_layers: STEPS,
      ...variant,
      ...change,
    },
    tensors,
  );

/** The state before a path: the last one of the target, prepared. */
export function firstState(tensors: Tensors, hidden: Vector, variant: Variant): Vector {
  const normed = variant.inputs_hidden_states_normalized ? finalNorm(tensors, hidden) : hidden;
  return variant.scale_input ? unit(normed, 1e-6).map((value) => value / Math.SQRT2) : normed;
}

/** State and logits after a path of tokens, of which the first is the last of the text. */
export function after(
  tensors: Tensors,
  first: Vector,
  path: readonly number[],
  { tie_weights }: Variant,
) {
  const keep = 0.5 ** (0.5 / STEPS);
  const gain = Math.sqrt((1 - keep * keep) * (INNER / 2)) / keep;
  let state = first;
  let logits: Vector = [];
  for (const [depth, token] of path.entries()) {
    const own = tie_weights ? 0 : depth;
    const proj = tie_weights && depth > 1 ? 1 : depth;
    const embedding = tensors
      .get(`emb.${own}.weight`)!
      .data.slice(token * INNER, (token + 1) * INNER);
    const sum = product(tensors, `proj.${proj}.weight`, state).map(
      (value, i) => value + gain * embedding[i],
    );
    const [scale, shift] = ['weight', 'bias'].map((name) => tensors.get(`ln.${own}.${name}`)!.data);
    state = unit(sum, 1e-6).map((value, i) => gelu(value * scale[i] + shift[i]));
    logits = product(tensors, `head.${own}.weight`, state);
  }
  return { state, logits };
}
