// What opening a drafter gives a command. Types only.
import type { Drafter } from '../speculate/drafter.ts';
import type { GenerateOptions } from '../speculate/options.ts';
import type { ProposalName } from '../speculate/speculators/proposal.ts';

/** A drafter with what a user should know of it, and how to give back what it needed. */
export interface OpenedDrafter {
  readonly drafter: Drafter;
  /** The proposal method of a speculator that is followed; null where there is none. */
  readonly proposal: ProposalName | null;
  /** What that method says; the options of the command line come before it. */
  readonly settings: Pick<GenerateOptions, 'draftLength' | 'verifier'>;
  readonly notes: readonly string[];
  dispose(): void;
}
