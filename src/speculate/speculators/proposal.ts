// A proposal method of the format as options of `generate`: who drafts, how far, and which verifier judges.
import { OptionError } from '../../kernels/errors.ts';
import type { Drafter } from '../drafter.ts';
import { nodesOf, type PathTree, pathNodesAt } from '../drafters/branching.ts';
import type { DraftHeadOptions } from '../drafters/head.ts';
import { MAX_DRAFT } from '../limits.ts';
import type { Verifier } from '../verifier.ts';
import { lenient } from '../verifiers/lenient.ts';
import { rejection } from '../verifiers/rejection.ts';
import { tolerant } from '../verifiers/tolerant.ts';
import type { ProposalMethod } from './methods.ts';

/** Options for `generate`; temperature, seed and limits are the caller's. */
export interface Proposal {
  readonly drafter: Drafter;
  readonly draftLength: number;
  /** Absent where the usual one is meant: greedy at temperature 0, else match. */
  readonly verifier?: Verifier;
}

/** What can be asked for: a method of the format, or the tree of an MLP speculator. */
export type ProposalName = ProposalMethod['proposal_type'] | 'paths';

/** How a proposal method is read. */
export interface ProposalOptions {
  /**
   * Whether what changes the text or its law is left out: a `verifier_accept_k` above 1 with an `accept_tolerance`, an
   * `accept_lenience` below 1. Default: unless the method is asked for by name.
   */
  readonly lossless?: boolean | undefined;
}

/** The shape, the length, the verifier. */
interface Plan {
  readonly shape: Pick<DraftHeadOptions, 'branching' | 'dynamic' | 'paths'>;
  readonly draftLength: number;
  readonly verifier?: Verifier;
}

/** The plan of a name. Throws an OptionError where there is no such method. */
export function planFor(
  name: ProposalName,
  methods: readonly ProposalMethod[],
  paths: PathTree | null,
  { lossless = false }: ProposalOptions = {},
): Plan {
  const method = methods.find(({ proposal_type }) => proposal_type === name);
  if (method !== undefined) return planOf(lossless ? withoutLoss(method) : method);
  if (name === 'paths' && paths !== null)
    return {
      shape: { paths },
      draftLength: Math.min(MAX_DRAFT, pathNodesAt(paths, paths.expansion.length)),
    };
  throw new OptionError(
    `proposal: expected ${proposalNames(methods, paths).join(', ')}, got ${name}`,
  );
}

/** All that can be asked for. */
export const proposalNames = (
  methods: readonly ProposalMethod[],
  paths: PathTree | null,
): readonly ProposalName[] => [
  ...methods.map(({ proposal_type }) => proposal_type),
  ...(paths === null ? [] : (['paths'] as const)),
];

function planOf(method: ProposalMethod): Plan {
  switch (method.proposal_type) {
    case 'greedy': {
      const { speculative_tokens, verifier_accept_k, accept_tolerance } = method;
      const exact = verifier_accept_k === 1 || accept_tolerance === 0;
      return {
        shape: {},
        draftLength: Math.min(MAX_DRAFT, speculative_tokens),
        ...(!exact && { verifier: tolerant(verifier_accept_k, accept_tolerance) }),
      };
    }
    case 'sampling': {
      const { speculative_tokens, accept_lenience } = method;
      return {
        shape: {},
        draftLength: Math.min(MAX_DRAFT, speculative_tokens),
        verifier: accept_lenience < 1 ? lenient(accept_lenience) : rejection,
      };
    }
    case 'static_tree': {
      const { initial_branching_factor, branching_factor, depth } = method;
      const branching = Array.from({ length: depth }, (_, level) =>
        level === 0 ? initial_branching_factor : branching_factor,
      );
      return { shape: { branching }, draftLength: Math.min(MAX_DRAFT, nodesOf(branching, depth)) };
    }
    case 'dynamic_tree': {
      const { speculative_tokens, expansion_factor, depth } = method;
      const expansion = Math.min(expansion_factor, widest(depth));
      const dynamic = { expansion, levels: depth, tokens: speculative_tokens };
      return { shape: { dynamic }, draftLength: Math.min(MAX_DRAFT, speculative_tokens) };
    }
  }
}

/** The same method, judged without a loss. */
function withoutLoss(method: ProposalMethod): ProposalMethod {
  if (method.proposal_type === 'greedy') return { ...method, verifier_accept_k: 1 };
  if (method.proposal_type === 'sampling') return { ...method, accept_lenience: 1 };
  return method;
}

/** Whether a method changes the text or its law. */
export const isLossy = (method: ProposalMethod): boolean =>
  planOf(method).verifier?.guarantee === 'lossy';

/** Nodes of a level that a tree of so many may follow. */
const widest = (depth: number): number =>
  Math.max(1, Math.floor(MAX_DRAFT / Math.max(1, depth - 1)));

/** What a reader of the report should know about a method; `steps` is how deep a head drafts. */
export function notesOn(
  method: ProposalMethod,
  steps = Number.POSITIVE_INFINITY,
  { lossless = false }: ProposalOptions = {},
): string[] {
  const asked =
    method.proposal_type === 'static_tree'
      ? nodesOf(
          [
            method.initial_branching_factor,
            ...Array.from({ length: method.depth - 1 }, () => method.branching_factor),
          ],
          method.depth,
        )
      : method.speculative_tokens;
  const notes: string[] = [];
  if (asked > MAX_DRAFT)
    notes.push(
      `${method.proposal_type}: ${MAX_DRAFT} of the ${asked} tokens that it asks for are drafted in a round`,
    );
  if (method.proposal_type === 'dynamic_tree' && method.expansion_factor > widest(method.depth))
    notes.push(
      `dynamic_tree: ${widest(method.depth)} of the expansion_factor of ${method.expansion_factor} nodes are followed in each of ${method.depth} levels`,
    );
  const levels =
    method.proposal_type === 'static_tree' || method.proposal_type === 'dynamic_tree'
      ? method.depth
      : method.speculative_tokens;
  if (levels > steps)
    notes.push(
      `${method.proposal_type}: ${levels} levels are asked for, and the head drafts ${steps}`,
    );
  if (!isLossy(method)) return notes;
  const fate = lossless ? '(lossy), and is not followed' : '(lossy)';
  const verb = lossless ? 'would change' : 'changes';
  if (method.proposal_type === 'greedy')
    notes.push(
      `greedy: verifier_accept_k ${method.verifier_accept_k} with accept_tolerance ${method.accept_tolerance} ${verb} the text ${fate}`,
    );
  if (method.proposal_type === 'sampling')
    notes.push(
      `sampling: accept_lenience ${method.accept_lenience} ${verb} the law of the text ${fate}`,
    );
  return notes;
}
