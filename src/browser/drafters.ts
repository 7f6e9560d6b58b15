// Who drafts in the worker, by what the page says. The last drafters are kept beside what they belong to and used again for the same choice.
import * as z from 'zod';
import { OptionError } from '../kernels/errors.ts';
import type { LoadedModel } from '../models/load.ts';
import type { Drafter } from '../speculate/drafter.ts';
import { draftModel } from '../speculate/drafters/model.ts';
import { ngram } from '../speculate/drafters/ngram.ts';
import { none } from '../speculate/drafters/none.ts';
import { prediction } from '../speculate/drafters/prediction.ts';
import type { ShapeOptions } from '../speculate/drafters/shapes.ts';
import { sharedVocabulary } from '../speculate/drafters/shared-vocabulary.ts';
import { suffix } from '../speculate/drafters/suffix.ts';
import type { Speculator } from '../speculate/speculators/load.ts';
import type { Proposal } from '../speculate/speculators/proposal.ts';
import type { DrafterChoice, ShapeChoice, SpeculatorChoice } from './protocol.ts';

/** A drafter and, where a proposal method says them, how far it drafts and who judges. */
export interface Drafting extends Partial<Proposal> {
  readonly drafter: Drafter;
}

/** A drafter in use, until its generation has ended. */
export interface Taken extends Drafting {
  giveBack(): void;
}

/** Drafters by choice. */
export interface Drafters<Choice> {
  /** The one of a choice; what it has learnt about a text stays. */
  take(choice: Choice): Taken;
  /** Lets go of all, or of those of some choices. Nobody may use them. */
  dispose(which?: (choice: Choice) => boolean): void;
}

/** Drafters that wait for their choice to come again; a page with a slider asks for hundreds, and each may have a cache. */
const SPARE = 4;

/**
 * Makes drafters and keeps them: those in use, and of the others the ones that were used last. One that is not `shared` serves one
 * text at a time: a second text gets one of its own.
 */
export function createDrafters<Choice extends DrafterChoice>(
  make: (choice: Choice) => Drafting,
  { shared }: { readonly shared: boolean },
): Drafters<Choice> {
  /** In the order in which they were taken last. */
  const kept: {
    readonly key: string;
    readonly choice: Choice;
    readonly drafting: Drafting;
    users: number;
  }[] = [];
  const drop = (some: readonly (typeof kept)[number][]) => {
    for (const each of some) {
      kept.splice(kept.indexOf(each), 1);
      each.drafting.drafter.dispose?.();
    }
  };
  return {
    take(choice) {
      const key = JSON.stringify(choice);
      const at = kept.findIndex((each) => each.key === key && (shared || each.users === 0));
      const [taken] =
        at < 0 ? [{ key, choice, drafting: make(choice), users: 0 }] : kept.splice(at, 1);
      kept.push(taken);
      taken.users += 1;
      return {
        ...taken.drafting,
        giveBack() {
          taken.users -= 1;
          drop(kept.filter(({ users }) => users === 0).slice(0, -SPARE));
        },
      };
    },
    dispose: (which = () => true) => drop(kept.filter(({ choice }) => which(choice))),
  };
}

/** What can be sent of a shape; its numbers are checked by who drafts. */
const shape = {
  branching: z.array(z.number()).optional(),
  best: z.union([z.literal(true), z.strictObject({ width: z.number().optional() })]).optional(),
  dynamic: z
    .strictObject({ expansion: z.number(), levels: z.number(), tokens: z.number() })
    .optional(),
  paths: z.strictObject({ expansion: z.array(z.number()), kept: z.number() }).optional(),
  minProbability: z.number().optional(),
};
const NoneSchema = z.strictObject({ kind: z.literal('none') });
const ModelSchema = z.strictObject({ kind: z.literal('model'), model: z.int(), ...shape });
const SpeculatorSchema = z.strictObject({
  kind: z.literal('speculator'),
  speculator: z.int(),
  proposal: z.string().optional(),
  confidence: z.number().optional(),
  ...shape,
});

/** Choices that need no speculator. */
export type WithoutSpeculator = Exclude<DrafterChoice, SpeculatorChoice>;

/** A drafter that needs no speculator; throws an OptionError for a choice that is none. */
export function draftingOf(
  choice: WithoutSpeculator,
  target: LoadedModel,
  find: (model: number) => LoadedModel,
): Drafting {
  switch (choice.kind) {
    case 'none':
      checked(NoneSchema, choice);
      return { drafter: none() };
    case 'ngram': {
      const { kind: _, ...options } = choice;
      return { drafter: ngram(options) };
    }
    case 'suffix': {
      const { kind: _, ...options } = choice;
      return { drafter: suffix(options) };
    }
    case 'prediction': {
      const { kind: _, ...options } = choice;
      return { drafter: prediction(options) };
    }
    case 'model': {
      const { kind: _, model, ...shape } = checked(ModelSchema, choice);
      const draft = find(model);
      const vocabulary = sharedVocabulary(draft, target);
      return { drafter: draftModel(draft.model, { ...shapeOf(shape, target), vocabulary }) };
    }
    default: {
      const { kind } = choice as { readonly kind: unknown };
      throw new OptionError(
        `generate: drafter: expected none, ngram, suffix, prediction, model or speculator, got ${JSON.stringify(kind)}`,
      );
    }
  }
}

/** A drafter of a speculator: one of its proposal methods, unless a shape is asked for. */
export function speculatorDrafting(
  choice: SpeculatorChoice,
  speculator: Speculator,
  target: LoadedModel,
): Drafting {
  const { kind: _, speculator: __, proposal, ...rest } = checked(SpeculatorSchema, choice);
  const asked = Object.entries(rest).flatMap(([key, value]) => (value === undefined ? [] : [key]));
  if (asked.length === 0) return speculator.proposal(proposal);
  if (proposal !== undefined)
    throw new OptionError(
      `generate: drafter: expected a proposal or a shape, got ${['proposal', ...asked].join(' and ')}`,
    );
  const { confidence, ...shape } = rest;
  return { drafter: speculator.drafter({ ...shapeOf(shape, target), confidence }) };
}

function checked<Choice>(schema: z.ZodType, choice: Choice): Choice {
  const parsed = schema.safeParse(choice);
  if (!parsed.success) throw new OptionError(`generate: drafter: ${z.prettifyError(parsed.error)}`);
  return choice;
}

/** The shape with the ladder that `best` reads. */
function shapeOf({ best, ...rest }: ShapeChoice, { model: { ladder } }: LoadedModel): ShapeOptions {
  if (best === undefined) return rest;
  return { ...rest, best: { ladder, ...(best !== true && best) } };
}
