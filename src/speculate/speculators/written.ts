// What a conversion writes beside the fields of a layout: how the head proposes, and the type of its numbers.
import { partsBytes, type TensorParts } from '../../tensor/parts.ts';
import type { Json } from './config.ts';

/** How it proposes, and for which target. */
export const proposalOf = (
  algorithm: string,
  parts: {
    readonly verifier: { readonly config: Json; readonly name: string | null };
    readonly speculativeTokens: number;
  },
): Json => ({
  algorithm,
  default_proposal_method: 'greedy',
  proposal_methods: [
    {
      proposal_type: 'greedy',
      speculative_tokens: parts.speculativeTokens,
      verifier_accept_k: 1,
      accept_tolerance: 0,
    },
  ],
  verifier: {
    name_or_path: parts.verifier.name,
    architectures: parts.verifier.config['architectures'] ?? [],
  },
});

/** What transformers calls the types of tensors. */
const TYPES: Readonly<Record<string, string>> = {
  BF16: 'bfloat16',
  F16: 'float16',
  F32: 'float32',
  F64: 'float64',
};

/** The type that most numbers of a head have, under its key of transformers 4. */
export function typeOf(tensors: readonly TensorParts[]): Json {
  const bytes = Object.keys(TYPES).map((type) => {
    const own = tensors.filter(({ dtype }) => dtype.toUpperCase() === type);
    return { type, size: own.reduce((sum, tensor) => sum + partsBytes(tensor), 0) };
  });
  const [{ type, size }] = bytes.toSorted((a, b) => b.size - a.size);
  return size === 0 ? {} : { torch_dtype: TYPES[type] };
}
