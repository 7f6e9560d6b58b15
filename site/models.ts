// The models in use: loaded when a run needs them and kept until it needs others. A worker that ended is replaced.
import {
  connect,
  type Engine,
  type EngineWorker,
  type RemoteModel,
  type RemoteSpeculator,
} from '../src/browser/engine.ts';
import type { Origin, RemoteLoadOptions } from '../src/browser/protocol.ts';
import { OptionError } from '../src/kernels/errors.ts';
import type { Settings } from './settings.ts';

/** Parameters that the story model is inflated to: the cost of a real model, where checking several tokens at once pays. */
const INFLATED = 100e6;

/** A model or a speculator of the user's own: files that were given, or a copy in the browser. */
export interface OwnModel {
  readonly name: string;
  /** Which of those with this name: another folder may be called the same. */
  readonly version: number;
  readonly origin: Origin;
}

/** A target and, where one drafts, its draft model or its speculator. */
export interface Pair {
  readonly target: RemoteModel;
  readonly draft: RemoteModel | null;
  readonly speculator: RemoteSpeculator | null;
  /** Whether one of them has just been loaded. */
  readonly fresh: boolean;
}

/** How far a load has come, in words and as a share. */
export type Report = (what: string, share: number) => void;

/** Something to load; `what` and `version` tell it from others. */
interface Wanted {
  readonly origin: Origin;
  readonly options: RemoteLoadOptions;
  readonly what: string;
  readonly version: number;
}

/** What is loaded, or nothing. */
interface Slot<Loaded> {
  key: string;
  loaded: Loaded | null;
}

/** What a load is told and tells. */
interface Line {
  readonly report: Report;
  readonly signal: AbortSignal;
}

/** Models by what the form says. */
export interface Models {
  /** Own models by the value that the form has for them. */
  readonly own: Map<string, OwnModel>;
  /** The models for these settings, loaded where they are not. */
  ensure(settings: Settings, line: Line): Promise<Pair>;
  engine(): Engine;
  /** Lets go of the models, whose device or memory may be gone; the next run loads them again. */
  reset(): void;
}

/** An engine over the site's worker; all slots are empty. */
export function createModels(): Models {
  let engine: Engine | undefined;
  let slots = emptySlots();
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
    slots = emptySlots();
  };

  const fill = async <Loaded extends { dispose(): Promise<void> }>(
    slot: Slot<Loaded>,
    { options, what, version }: Wanted,
    { report, signal }: Line,
    loadOne: (line: Parameters<Engine['load']>[1]) => Promise<Loaded>,
  ): Promise<Loaded> => {
    const key = JSON.stringify([what, version, options]);
    if (slot.loaded !== null && slot.key === key) return slot.loaded;
    await slot.loaded?.dispose();
    slot.loaded = null;
    slot.loaded = await loadOne({
      signal,
      onProgress: ({ loadedBytes, totalBytes }) =>
        report(`loading ${what}`, loadedBytes / totalBytes),
    });
    slot.key = key;
    return slot.loaded;
  };
  const fillModel = (slot: Slot<RemoteModel>, wanted: Wanted, line: Line) =>
    fill(slot, wanted, line, (told) =>
      models.engine().load(wanted.origin, { ...wanted.options, ...told }),
    );

  const models: Models = {
    own,
    reset,
    engine: () => (engine ??= start()),
    async ensure(settings, line) {
      const wanted = wantedBy(settings, own);
      const before = [slots.target, slots.draft, slots.speculator].map(({ loaded }) => loaded);
      const target = await fillModel(slots.target, wanted.target, line);
      // A speculator goes with its target.
      if (!before.includes(target)) slots.speculator = emptySlots().speculator;
      const draft = wanted.draft && (await fillModel(slots.draft, wanted.draft, line));
      const { dtype } = settings;
      const speculator =
        wanted.speculator &&
        (await fill(slots.speculator, wanted.speculator, line, (told) => {
          const options = { verifier: target, dtype, ...told };
          return models.engine().loadSpeculator(wanted.speculator!.origin, options);
        }));
      const loaded = [target, draft, speculator];
      const fresh = loaded.some((each) => each !== null && !before.includes(each));
      return { target, draft, speculator, fresh };
    },
  };
  return models;
}

/** What settings ask for. Throws an OptionError for a target without a draft model. */
function wantedBy(
  { backend, target, draft, dtype, drafter }: Settings,
  own: Models['own'],
): {
  readonly target: Wanted;
  readonly draft: Wanted | null;
  readonly speculator: Wanted | null;
} {
  const options = { backend: { name: backend }, dtype };
  const ofOwn = ({ origin, name, version }: OwnModel): Wanted => ({
    origin,
    options,
    what: name,
    version,
  });
  const ownTarget = own.get(target);
  const ownDraft = own.get(draft);
  const drafts = drafter === 'model' || drafter === 'tree';
  if (drafts && ownTarget !== undefined && ownDraft === undefined)
    throw new OptionError(
      'Drafter: expected a draft model for a target of your own, got none; open one as draft model, or let n-grams draft',
    );
  const inflate = target === 'inflated' ? { inflate: { parameters: INFLATED } } : {};
  const stories: Wanted = {
    origin: { url: './target' },
    options: { ...options, ...inflate },
    what: 'stories',
    version: 0,
  };
  const storiesDraft: Wanted = {
    origin: { url: './draft' },
    options,
    what: 'the draft model of the stories',
    version: 0,
  };
  const wantedDraft = ownDraft ? ofOwn(ownDraft) : storiesDraft;
  return {
    target: ownTarget ? ofOwn(ownTarget) : stories,
    draft: drafts ? wantedDraft : null,
    speculator: drafter === 'speculator' ? ofOwn(ownDraft!) : null,
  };
}

function emptySlots() {
  const empty = <Loaded>(): Slot<Loaded> => ({ key: '', loaded: null });
  return {
    target: empty<RemoteModel>(),
    draft: empty<RemoteModel>(),
    speculator: empty<RemoteSpeculator>(),
  };
}
