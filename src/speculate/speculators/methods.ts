// Proposal methods of a speculator: every field of every version, and what is made of lists that older versions let pass.
import * as z from 'zod';
import { FormatError } from '../../kernels/errors.ts';

const count = z.int().min(1);

/** How drafts are proposed, as the file says; every field of every version. */
export const proposalSchema = z.discriminatedUnion('proposal_type', [
  z.looseObject({
    proposal_type: z.literal('greedy'),
    speculative_tokens: count.default(5),
    verifier_accept_k: count.default(1),
    accept_tolerance: z.number().min(0).default(0),
  }),
  z.looseObject({
    proposal_type: z.literal('sampling'),
    speculative_tokens: count.default(5),
    accept_lenience: z.number().min(0).max(1).default(1),
  }),
  z.looseObject({
    proposal_type: z.literal('static_tree'),
    initial_branching_factor: count.default(4),
    branching_factor: count.default(2),
    depth: count.default(5),
  }),
  z.looseObject({
    proposal_type: z.literal('dynamic_tree'),
    speculative_tokens: count.default(48),
    expansion_factor: count.default(10),
    depth: count.default(6),
  }),
]);

/** A proposal method with its defaults filled in. */
export type ProposalMethod = z.output<typeof proposalSchema>;

const TYPES = proposalSchema.options.map(({ shape }) => shape.proposal_type.value);

/** What a file says of its methods, checked. */
export interface Methods {
  readonly proposals: readonly ProposalMethod[];
  /** The `proposal_type` of one of them. */
  readonly defaultProposal: ProposalMethod['proposal_type'];
  readonly notes: readonly string[];
}

/**
 * The methods of a file. Before 0.6 nothing held the default against the list, which could be empty: one with the defaults of the format
 * stands for none, and the first for a default that is not there. Where that is not so (`isChecked`) it throws a FormatError.
 */
export function readMethods(
  given: {
    readonly proposal_methods: readonly ProposalMethod[];
    readonly default_proposal_method: string;
  },
  { file, isChecked }: { readonly file: string; readonly isChecked: boolean },
): Methods {
  const { proposal_methods: proposals, default_proposal_method: named } = given;
  const types = proposals.map(({ proposal_type }) => proposal_type);
  const known = TYPES.find((type) => type === named);
  const notes = repeatsIn(proposals);
  if (known !== undefined && types.includes(known))
    return { proposals, defaultProposal: known, notes };
  if (isChecked)
    throw new FormatError(
      `${file}: speculators_config.default_proposal_method: expected one of ${types.join(', ') || 'no methods'}, got ${named}`,
    );
  if (types.length > 0) {
    const note = `speculators_config.default_proposal_method: ${named} is none of ${types.join(', ')}; the first counts`;
    return { proposals, defaultProposal: types[0], notes: [...notes, note] };
  }
  const type = known ?? 'greedy';
  return {
    proposals: [proposalSchema.parse({ proposal_type: type })],
    defaultProposal: type,
    notes: [`speculators_config.proposal_methods: none; ${type} with its defaults stands for them`],
  };
}

/** Methods are asked for by their type, so of several of one type only the first can be: a note for each such type. */
export const repeatsIn = (methods: readonly ProposalMethod[]): string[] =>
  TYPES.flatMap((type) => {
    const { length } = methods.filter(({ proposal_type }) => proposal_type === type);
    return length < 2
      ? []
      : [`speculators_config.proposal_methods: of ${length} of type ${type} the first counts`];
  });
