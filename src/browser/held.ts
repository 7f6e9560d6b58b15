// What a worker holds by number: models, and the speculators that draft for them and go when they go. Nothing is freed while
// something runs on it: whoever disposes ends that first.
import { OptionError } from '../kernels/errors.ts';
import type { LoadedModel } from '../models/load.ts';
import type { Speculator } from '../speculate/speculators/load.ts';
import {
  createDrafters,
  type Drafters,
  type Drafting,
  draftingOf,
  speculatorDrafting,
  type Taken,
  type WithoutSpeculator,
} from './drafters.ts';
import type { DrafterChoice, SpeculatorChoice } from './protocol.ts';

/** What a run is given. */
export interface Parts {
  readonly loaded: LoadedModel;
  /** Of the choice. */
  readonly drafting: Drafting | undefined;
  /** Aborted when one of them is disposed. */
  readonly gone: AbortSignal;
}

/** Models and speculators. What has been disposed, by whoever asks for it or while it runs, throws one Error that says so. */
export interface Held {
  /** Keeps a model; `end` is called when it has been freed. */
  addModel(loaded: LoadedModel, end: () => void): number;
  /** Keeps a speculator of that model; frees it where the model has been disposed. */
  addSpeculator(speculator: Speculator, model: number): number;
  model(model: number): LoadedModel;
  /** Runs something on a model and what drafts for it; throws an OptionError for a drafter that it cannot have. */
  run<Result>(
    model: number,
    choice: DrafterChoice | undefined,
    body: (parts: Parts) => Promise<Result>,
  ): Promise<Result>;
  /** Ends what runs on a model, and frees it and its speculators. */
  disposeModel(model: number): Promise<void>;
  /** Ends what runs on a speculator, and frees it. */
  disposeSpeculator(speculator: number): Promise<void>;
}

interface HeldModel {
  readonly loaded: LoadedModel;
  readonly drafters: Drafters<WithoutSpeculator>;
  end(): void;
}

interface HeldSpeculator {
  readonly speculator: Speculator;
  readonly target: number;
  readonly drafters: Drafters<SpeculatorChoice>;
}

/** Something that runs on models and speculators, by their numbers. */
interface Run {
  readonly on: readonly number[];
  readonly gone: AbortController;
  readonly ended: Promise<unknown>;
}

const disposedModel = () =>
  new Error('engine: expected a loaded model, got one that has been disposed');
const disposedSpeculator = () =>
  new Error(
    'engine: expected a loaded speculator, got one that has been disposed, or whose model has',
  );

/** Holds nothing yet. */
export function createHeld(): Held {
  const models = new Map<number, HeldModel>();
  const speculators = new Map<number, HeldSpeculator>();
  const runs = new Set<Run>();
  let last = 0;

  const find = (model: number): HeldModel => {
    const found = models.get(model);
    if (found === undefined) throw disposedModel();
    return found;
  };
  const take = (model: number, choice: DrafterChoice): Taken => {
    const { drafters } = find(model);
    if (choice.kind === 'model') find(choice.model);
    if (choice.kind !== 'speculator') return drafters.take(choice);
    const found = speculators.get(choice.speculator);
    if (found === undefined) throw disposedSpeculator();
    if (found.target !== model)
      throw new OptionError(
        'generate: drafter: expected a speculator that was loaded for this model, got one of another',
      );
    return found.drafters.take(choice);
  };
  /** Ends all runs on something. */
  const stop = async (number: number, why: Error) => {
    const found = [...runs].filter(({ on }) => on.includes(number));
    for (const { gone } of found) gone.abort(why);
    await Promise.all(found.map(({ ended }) => ended));
  };
  const free = ({ drafters, speculator }: HeldSpeculator) => {
    drafters.dispose();
    speculator.dispose();
  };

  return {
    addModel(loaded, end) {
      const modelOf = (model: number) => find(model).loaded;
      const make = (choice: WithoutSpeculator) => draftingOf(choice, loaded, modelOf);
      models.set(++last, { loaded, drafters: createDrafters(make, { shared: true }), end });
      return last;
    },
    addSpeculator(speculator, target) {
      const model = models.get(target);
      if (model === undefined) {
        speculator.dispose();
        throw disposedModel();
      }
      const make = (choice: SpeculatorChoice) =>
        speculatorDrafting(choice, speculator, model.loaded);
      const drafters = createDrafters(make, { shared: false });
      speculators.set(++last, { speculator, target, drafters });
      return last;
    },
    model: (model) => find(model).loaded,
    async run(model, choice, body) {
      const { loaded } = find(model);
      const taken = choice && take(model, choice);
      const gone = new AbortController();
      const result = body({ loaded, drafting: taken, gone: gone.signal });
      const run = { on: [model, ...usedBy(choice)], gone, ended: result.catch(() => {}) };
      runs.add(run);
      try {
        return await result;
      } finally {
        taken?.giveBack();
        runs.delete(run);
        // Whatever came of it: an abort may also return what there is.
        gone.signal.throwIfAborted();
      }
    },
    async disposeModel(model) {
      const found = models.get(model);
      if (found === undefined) return;
      models.delete(model);
      const own = [...speculators].filter(([, { target }]) => target === model);
      for (const [number] of own) speculators.delete(number);
      await stop(model, disposedModel());
      found.drafters.dispose();
      // Those of other models have caches of it.
      for (const { drafters } of models.values())
        drafters.dispose((choice) => choice.kind === 'model' && choice.model === model);
      for (const [, speculator] of own) free(speculator);
      found.loaded.dispose();
      found.end();
    },
    async disposeSpeculator(number) {
      const found = speculators.get(number);
      if (found === undefined) return;
      speculators.delete(number);
      await stop(number, disposedSpeculator());
      free(found);
    },
  };
}

/** Numbers that a choice names. */
function usedBy(choice: DrafterChoice | undefined): readonly number[] {
  if (choice?.kind === 'model') return [choice.model];
  return choice?.kind === 'speculator' ? [choice.speculator] : [];
}
