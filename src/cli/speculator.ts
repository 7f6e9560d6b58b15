// A speculator as the drafter of a run: by one of its proposal methods, unless a shape is asked for. What of the method is not
// followed is said, and why.
import { OptionError } from '../kernels/errors.ts';
import type { LoadedModel } from '../models/load.ts';
import type { ShapeOptions } from '../speculate/drafters/shapes.ts';
import { Speculator } from '../speculate/speculators/load.ts';
import { isLossy, type Proposal, type ProposalName } from '../speculate/speculators/proposal.ts';
import type { OpenedDrafter } from './opened.ts';
import { type CliOptions, UsageError } from './options.ts';

/**
 * Opens the speculator of a folder. A method that the config names as its default is followed but for what changes the text, which
 * has to be asked for by name; `shape` takes its place.
 */
export async function openSpeculator(
  path: string,
  options: CliOptions,
  { target, shape }: { readonly target: LoadedModel; readonly shape: ShapeOptions | undefined },
): Promise<OpenedDrafter> {
  const { model: verifier, tokenizer } = target;
  const speculator = await Speculator.fromPretrained(path, { verifier, tokenizer });
  const opened = shape === undefined ? proposed(speculator, options) : inShape(speculator, shape);
  return {
    ...opened,
    notes: [...speculator.notes, ...opened.notes],
    dispose() {
      opened.drafter.dispose?.();
      speculator.dispose();
    },
  };
}

type Drafting = Omit<OpenedDrafter, 'dispose'>;

/** A proposal method, with a note of what it is and one for each thing that is not followed. */
function proposed(speculator: Speculator, options: CliOptions): Drafting {
  const { proposals, defaultProposal } = speculator.config;
  const asked = options.proposal as ProposalName | undefined;
  const name = asked ?? defaultProposal;
  const lossless = asked === undefined || options.verifier !== undefined;
  const { drafter, draftLength, verifier } = proposalOf(speculator, name, lossless);
  const length = options['draft-length'];
  const method = proposals.find(({ proposal_type }) => proposal_type === name);
  const isCut = lossless && method !== undefined && isLossy(method);
  const source = asked === undefined ? 'the default method of its config' : 'as asked for';
  const judge = verifier === undefined ? '' : `, judged by ${verifier.name}`;
  const notes = [
    `drafts by ${name}, ${source}: at most ${draftLength} tokens a round${judge}`,
    ...speculator.notesOn(name, { lossless }),
  ];
  if (isCut && options.verifier === undefined)
    notes.push(`${name}: --proposal ${name} follows it, where a changed text is acceptable`);
  if (length !== undefined && length !== String(draftLength))
    notes.push(`${name}: --draft-length ${length} instead of ${draftLength}`);
  if (verifier && options.verifier !== undefined && options.verifier !== verifier.name)
    notes.push(`${name}: --verifier ${options.verifier} instead of ${verifier.name}`);
  const settings = { draftLength, ...(verifier && { verifier }) };
  return { drafter, proposal: name, settings, notes };
}

function proposalOf(speculator: Speculator, name: ProposalName, lossless: boolean): Proposal {
  try {
    return speculator.proposal(name, { lossless });
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    throw new UsageError(`--${error.message}`);
  }
}

/** A shape of its own, with a note that this is no method of the config. */
function inShape(speculator: Speculator, shape: ShapeOptions): Drafting {
  const { defaultProposal } = speculator.config;
  return {
    drafter: speculator.drafter(shape),
    proposal: null,
    settings: {},
    notes: [
      `${defaultProposal}, the default method of its config, is not followed: --drafter tree has a shape of its own`,
    ],
  };
}
