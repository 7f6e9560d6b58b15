// The models in use: loaded when a run needs them and kept until it needs others. A worker that ended is replaced.
import {
  connect,
  type Engine,
  type EngineWorker,
  type RemoteModel,
} from '../src/browser/engine.ts';
import type { Origin, RemoteLoadOptions } from '../src/browser/protocol.ts';
import { OptionError } from '../src/kernels/errors.ts';
import type { Settings } from './settings.ts';

/** Parameters that the story model is inflated to: the cost of a real model, where checking several tokens at once pays. */
const INFLATED = 100e6;

/** A model of the user's own: files that were given, or a copy in the browser. */
export interface OwnModel {
  readonly name: string;
  /** Which of those with this name: another folder may be called the same. */
  readonly version: number;
  readonly origin: Origin;
}

/** A target and, where one drafts, its draft model. */
export interface Pair {
  readonly target: RemoteModel;
  readonly draft: RemoteModel | null;
  /** Whether one of them has just been loaded. */
  readonly fresh: boolean;
}

/** How far a load has come, in words and as a share. */
export type Report = (what: string, share: number) => void;

/** A model to load; `what` and `version` tell it from others. */
interface Wanted {
  readonly origin: Origin;
  readonly options: RemoteLoadOptions;
  readonly what: string;
  readonly version: number;
}

interface Slot {
  key: string;
  model: RemoteModel | null;
}

/** Models by what the form says. */
export interface Models {
  /** Own models by the value that the form has for them. */
  readonly own: Map<string, OwnModel>;
  /** The models for these settings, loaded where they are not. */
  ensure(
    settings: Settings,
    options: { readonly report: Report; readonly signal: AbortSignal },
  ): Promise<Pair>;
  engine(): Engine;
  /** Lets go of the models, whose device or memory may be gone; the next run loads them again. */
  reset(): void;
}

/** An engine over the site's worker; both slots are empty. */
export function createModels(): Models {
  let engine: Engine | undefined;
  const slots = { target: emptySlot(), draft: emptySlot() };
  const own = new Map<string, OwnModel>();

  const start = (): Engine => {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), {
      type: 'module',
      name: 'models',
    });
    return connect(worker as unknown as EngineWorker);
  };

  const reset = () => {
    engine?.dispose();
    engine = undefined;
    slots.target = emptySlot();
    slots.draft = emptySlot();
  };

  const fill = async (
    slot: Slot,
    { origin, options, what, version }: Wanted,
    { report, signal }: { readonly report: Report; readonly signal: AbortSignal },
  ): Promise<RemoteModel> => {
    const key = JSON.stringify([what, version, options]);
    if (slot.model !== null && slot.key === key) return slot.model;
    await slot.model?.dispose();
    slot.model = null;
    slot.model = await models.engine().load(origin, {
      ...options,
      signal,
      onProgress: ({ loadedBytes, totalBytes }) =>
        report(`loading ${what}`, loadedBytes / totalBytes),
    });
    slot.key = key;
    return slot.model;
  };

  const models: Models = {
    own,
    reset,
    engine: () => (engine ??= start()),
    async ensure({ backend, target, draft: draftName, dtype, drafter }, line) {
      const options = { backend: { name: backend }, dtype };
      const found = own.get(target);
      const inflate = target === 'inflated' ? { inflate: { parameters: INFLATED } } : {};
      const wanted =
        found === undefined
          ? {
              origin: { url: './target' },
              options: { ...options, ...inflate },
              what: 'stories',
              version: 0,
            }
          : { origin: found.origin, options, what: found.name, version: found.version };
      const ownDraft = own.get(draftName);
      const drafts = drafter === 'model' || drafter === 'tree';
      if (drafts && found !== undefined && ownDraft === undefined)
        throw new OptionError(
          'Drafter: expected a draft model for a target of your own, got none; open one as draft model, or let n-grams draft',
        );
      const wantedDraft = ownDraft
        ? { origin: ownDraft.origin, options, what: ownDraft.name, version: ownDraft.version }
        : {
            origin: { url: './draft' },
            options,
            what: 'the draft model of the stories',
            version: 0,
          };
      const before = [slots.target.model, slots.draft.model, null];
      const model = await fill(slots.target, wanted, line);
      const draft = drafts ? await fill(slots.draft, wantedDraft, line) : null;
      return {
        target: model,
        draft,
        fresh: !before.includes(model) || !before.includes(draft),
      };
    },
  };
  return models;
}

function emptySlot(): Slot {
  return { key: '', model: null };
}
