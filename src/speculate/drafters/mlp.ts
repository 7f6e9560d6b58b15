// The MLP speculator (Wertheimer et al., "Accelerating production LLMs with combined token/embedding speculators", 2024): a chain of
// perceptrons, each over the state before and the token that was drawn from it. No attention, no cache. Fields are those of `mlp` in
// speculators 0.1 with three of IBM's (`scale_input`, `top_k_tokens_per_head`, `n_candidates`); tensor names are IBM's.
import * as z from 'zod';
import { FormatError, UnsupportedError } from '../../kernels/errors.ts';
import { weight } from '../../models/layers.ts';
import { size } from '../../models/schema.ts';
import type { DepthAlgorithm } from '../speculators/algorithm.ts';
import { need } from './head-layer.ts';

const INPUTS = ['input_embeddings', 'hidden_states[-1]'];

const schema = z
  .looseObject({
    torch_dtype: z.string().default('bfloat16'),
    inputs: z.array(z.string()).default(INPUTS),
    inputs_hidden_states_normalized: z.boolean().default(false),
    hidden_size: size.default(4096),
    intermediate_size: size.default(4096),
    vocab_size: size.default(128_256),
    num_layers: size.default(5),
    tie_weights: z.boolean().default(true),
    scale_input: z.boolean().default(false),
    top_k_tokens_per_head: z.array(size).min(1).nullish(),
    n_candidates: size.default(5),
  })
  .refine(
    ({ top_k_tokens_per_head: counts, num_layers }) => !counts || counts.length === num_layers,
    { error: 'expected as many top_k_tokens_per_head as num_layers' },
  );

type Fields = z.output<typeof schema>;

const EPS = 1e-6;

/**
 * How much of the sum before a norm is state and how much token, of n steps and d numbers: s = 0.5^(0.5 / n), so that after all steps
 * half of the square of the first state is left, and t = √((1 - s²) d / 2).
 */
export function mixOf(
  steps: number,
  width: number,
): { readonly state: number; readonly token: number } {
  const state = 0.5 ** (0.5 / steps);
  return { state, token: Math.sqrt((1 - state ** 2) * (width / 2)) };
}

/** Which set of weights a step has: tied ones share all but the first projection, which has a width of its own. */
function setOf(
  { tie_weights }: Fields,
  depth: number,
): { readonly own: number; readonly proj: number } {
  return tie_weights ? { own: 0, proj: Math.min(depth, 1) } : { own: depth, proj: depth };
}

/** The algorithm `mlp`. */
export const mlp: DepthAlgorithm<Fields> = {
  name: 'mlp',
  schema,
  draftVocab: ({ target }) => target.vocab,
  weights({ fields, target }) {
    const { hidden_size, intermediate_size: width, vocab_size: vocab, inputs } = fields;
    if (inputs.join() !== INPUTS.join())
      throw new UnsupportedError(
        `mlp: inputs: expected ${INPUTS.join(', ')}, got ${inputs.join(', ')}`,
      );
    if (hidden_size !== target.width)
      throw new FormatError(
        `mlp: hidden_size: expected the target's ${target.width}, got ${hidden_size}`,
      );
    if (vocab !== target.vocab)
      throw new FormatError(`mlp: vocab_size: expected the target's ${target.vocab}, got ${vocab}`);
    const sets = Array.from({ length: fields.num_layers }, (_, depth) => setOf(fields, depth));
    const owns = [...new Set(sets.map(({ own }) => own))];
    const projs = [...new Set(sets.map(({ proj }) => proj))];
    return [
      ...owns.map((i) => weight(`emb.${i}.weight`, vocab, width)),
      ...projs.map((i) => weight(`proj.${i}.weight`, width, i === 0 ? hidden_size : width)),
      ...owns.flatMap((i) => [weight(`ln.${i}.weight`, width), weight(`ln.${i}.bias`, width)]),
      ...owns.map((i) => weight(`head.${i}.weight`, vocab, width)),
    ];
  },
  taps: ({ target }) => [target.layers],
  depths({ fields, target }) {
    const { num_layers: steps, intermediate_size: width } = fields;
    const { top_k_tokens_per_head: expansion, n_candidates: kept } = fields;
    const { state, token } = mixOf(steps, width);
    return {
      steps,
      width: (depth) => (depth === 0 ? target.width : width),
      readsTokens: true,
      constants: {
        token_gain: Float32Array.of(token / state),
        ...(fields.scale_input && {
          input_gain: new Float32Array(target.width).fill(Math.SQRT1_2),
        }),
      },
      paths: expansion ? { expansion, kept } : null,
    };
  },
  fuse(ops, { config: { fields, target }, weights, lent }, states) {
    const normed = fields.inputs_hidden_states_normalized
      ? ops.rmsNorm(states, lent.norm, target.normEps)
      : ops.slice(states, 1, 0, target.width);
    return fields.scale_input ? ops.rmsNorm(normed, need(weights, 'input_gain'), EPS) : normed;
  },
  // gelu(norm(proj(state) + t/s · emb(token)))
  step(ops, { config: { fields }, weights, depth, tokens, states }) {
    const { own, proj } = setOf(fields, depth);
    const get = (name: string) => need(weights, name);
    const token = ops.mul(ops.gather(get(`emb.${own}.weight`), tokens), get('token_gain')); // [T, d]
    const mixed = ops.add(ops.linear(states, get(`proj.${proj}.weight`)), token); // [T, d]
    const normed = ops.rmsNorm(mixed, get(`ln.${own}.weight`), EPS); // [T, d]
    const state = ops.gelu(ops.add(normed, get(`ln.${own}.bias`))); // [T, d]
    return { logits: ops.linear(state, get(`head.${own}.weight`)), state };
  },
};
