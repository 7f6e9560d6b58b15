// Medusa (Cai et al., 2024): heads that guess the tokens after the next one, each from the target's last state alone. speculators has no
// such type; this one is ours, with the fields and tensor names by which vLLM reads Medusa heads.
import * as z from 'zod';
import { FormatError } from '../../kernels/errors.ts';
import { weight } from '../../models/layers.ts';
import { size } from '../../models/schema.ts';
import type { DepthAlgorithm } from '../speculators/algorithm.ts';
import { need } from './head-layer.ts';

const schema = z.looseObject({
  hidden_size: size.default(4096),
  vocab_size: size.default(32_001),
  num_heads: size.default(5),
  num_hidden_layers: z.int().min(0).default(1),
  medusa_fc_bias: z.boolean().default(false),
  original_lm_head: z.boolean().default(false),
  truncated_vocab_size: size.nullish(),
});

type Fields = z.output<typeof schema>;

const draftVocab = ({ truncated_vocab_size, vocab_size }: Fields) =>
  truncated_vocab_size ?? vocab_size;
const blockOf = (head: number, layer: number) => `blocks.${head}.layers.${layer}`;
/** One matrix for all heads where they have the original one. */
const headOf = ({ original_lm_head }: Fields, head: number) =>
  `lm_heads.${original_lm_head ? 0 : head}.weight`;

/** The algorithm `medusa`. */
export const medusa: DepthAlgorithm<Fields> = {
  name: 'medusa',
  schema,
  tokenMap: 'token_map',
  draftVocab: ({ fields }) => draftVocab(fields),
  weights({ fields, target }, has) {
    const { hidden_size: width, vocab_size: vocab, num_heads, num_hidden_layers } = fields;
    if (width !== target.width)
      throw new FormatError(
        `medusa: hidden_size: expected the target's ${target.width}, got ${width}`,
      );
    if (vocab !== target.vocab)
      throw new FormatError(
        `medusa: vocab_size: expected the target's ${target.vocab}, got ${vocab}`,
      );
    const drafted = draftVocab(fields);
    if (drafted > vocab)
      throw new FormatError(
        `medusa: truncated_vocab_size: expected at most ${vocab}, got ${drafted}`,
      );
    const heads = Array.from({ length: num_heads }, (_, head) => head);
    const layers = Array.from({ length: num_hidden_layers }, (_, layer) => layer);
    const matrices = [...new Set(heads.map((head) => headOf(fields, head)))];
    // The original one may be the target's own.
    const borrowed = fields.original_lm_head && drafted === vocab && !has(matrices[0]);
    return [
      ...heads.flatMap((head) =>
        layers.flatMap((layer) => [
          weight(`${blockOf(head, layer)}.weight`, width, width),
          ...(fields.medusa_fc_bias ? [weight(`${blockOf(head, layer)}.bias`, width)] : []),
        ]),
      ),
      ...(borrowed ? [] : matrices.map((name) => weight(name, drafted, width))),
    ];
  },
  taps: ({ target }) => [target.layers],
  depths: ({ fields, target }) => ({
    steps: fields.num_heads,
    width: () => target.width,
    readsTokens: false,
  }),
  fuse: (ops, { config, lent }, states) => ops.rmsNorm(states, lent.norm, config.target.normEps),
  // Residual blocks x + silu(W x + b) over the same state for every head.
  step(ops, { config: { fields }, weights, lent, depth, states }) {
    let x = states; // [T, C]
    for (let layer = 0; layer < fields.num_hidden_layers; layer++) {
      const at = blockOf(depth, layer);
      const bias = fields.medusa_fc_bias ? need(weights, `${at}.bias`) : undefined;
      x = ops.add(x, ops.silu(ops.linear(x, need(weights, `${at}.weight`), bias)));
    }
    const head = weights.get(headOf(fields, depth)) ?? lent.head;
    return { logits: ops.linear(x, head), state: null };
  },
};
