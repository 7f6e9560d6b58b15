// DSpark (arXiv 2607.05147): DFlash's block, whose places then look at the token before them, one after the other, through a
// matrix of low rank, and whose confidence says how probable it is that a draft is accepted. Fields and tensor names are those
// of `dspark` in speculators.
import * as z from 'zod';
import { FormatError } from '../../kernels/errors.ts';
import { weight } from '../../models/layers.ts';
import type { DecoderAlgorithm } from '../speculators/algorithm.ts';
import { type DflashFields, dflash, dflashSchema } from './dflash.ts';
import { need } from './head-layer.ts';

const own = z.looseObject({
  sample_from_anchor: z.boolean().default(true),
  markov_rank: z.int().min(0).default(256),
  markov_head_type: z.enum(['vanilla', 'gated', 'rnn']).default('vanilla'),
  enable_confidence_head: z.boolean().default(true),
  confidence_head_with_markov: z.boolean().default(true),
});
// The second has another default for the first place.
const schema = z.intersection(dflashSchema.omit({ sample_from_anchor: true }), own);

type Fields = DflashFields & z.output<typeof own>;

/** The algorithm `dspark`. */
export const dspark: DecoderAlgorithm<Fields> = {
  ...dflash,
  name: 'dspark',
  schema,
  weights(config, has) {
    const { fields, layer, target } = config;
    const { markov_rank: rank, markov_head_type: type, draft_vocab_size: vocab } = fields;
    const { width } = layer;
    const seesToken = fields.enable_confidence_head && fields.confidence_head_with_markov;
    if (rank === 0 && seesToken)
      throw new FormatError(
        'dspark: confidence_head_with_markov: expected a markov_rank above 0 with it, got 0',
      );
    return [
      ...dflash.weights(config, has),
      ...(rank > 0
        ? [
            weight('markov_head.markov_w1.weight', target.vocab, rank),
            weight('markov_head.markov_w2.weight', vocab, rank),
          ]
        : []),
      ...(rank > 0 && type === 'gated'
        ? [
            weight('markov_head.gate_proj.weight', rank, width + rank),
            weight('markov_head.gate_proj.bias', rank),
          ]
        : []),
      ...(rank > 0 && type === 'rnn'
        ? [
            weight('markov_head.joint_proj.weight', 3 * rank, 2 * rank + width),
            weight('markov_head.joint_proj.bias', 3 * rank),
          ]
        : []),
      ...(fields.enable_confidence_head
        ? [
            weight('confidence_head.proj.weight', 1, width + (seesToken ? rank : 0)),
            weight('confidence_head.proj.bias', 1),
          ]
        : []),
    ];
  },
  steps({ config: { fields }, weights }) {
    const { markov_rank: rank, markov_head_type: type } = fields;
    // Without its matrix the places do not look at each other, and the confidence is not asked.
    if (rank === 0) return null;
    const get = (name: string) => need(weights, name);
    return {
      memory: rank,
      isConfident: fields.enable_confidence_head,
      step(ops, { previous, state, memory }) {
        const project = (name: string, x: typeof state) =>
          ops.linear(x, get(`${name}.weight`), get(`${name}.bias`));
        const token = ops.gather(get('markov_head.markov_w1.weight'), previous); // [1, r]
        let mixed = token;
        let left = memory;
        if (type === 'gated') {
          const gate = project('markov_head.gate_proj', ops.concat([state, token], 1));
          mixed = ops.mul(ops.sigmoid(gate), token);
        }
        if (type === 'rnn') {
          const joint = project('markov_head.joint_proj', ops.concat([memory, token, state], 1));
          const part = (index: number) => ops.slice(joint, 1, index * rank, (index + 1) * rank);
          const candidate = ops.tanh(part(1));
          // g·s + (1 − g)·c
          const gate = ops.sigmoid(part(0));
          left = ops.add(candidate, ops.mul(gate, ops.sub(memory, candidate)));
          mixed = ops.tanh(part(2));
        }
        const seen = fields.confidence_head_with_markov ? ops.concat([state, token], 1) : state;
        return {
          bias: ops.linear(mixed, get('markov_head.markov_w2.weight')),
          // Zeros, which nothing reads; a result has to be of a step.
          memory: type === 'rnn' ? left : ops.add(memory, memory),
          confidence: fields.enable_confidence_head ? project('confidence_head.proj', seen) : null,
        };
      },
    };
  },
};
