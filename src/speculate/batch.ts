// Many texts on one model at once. Each is a generation of its own, with its own options, drafter and pace; only their forwards are
// put together, so that weights are read once for all of them. Texts join when there is room and leave when they end.
import { OptionError } from '../kernels/errors.ts';
import type { Cache, Model } from '../models/model.ts';
import { type Deferred, deferred } from './deferred.ts';
import { createGate } from './gate.ts';
import { type GenerateResult, type Generation, generate, type Target } from './generate.ts';
import { MAX_DRAFT } from './limits.ts';
import { type GenerateOptions, readOptions } from './options.ts';
import { checkPrompt, type Prompt, tokensOf } from './prompt.ts';
import { createRelay, type Relay } from './relay.ts';
import { type CacheLease, Session } from './session.ts';
import { shareCache } from './shared-cache.ts';

/** Options of `createBatch`. */
export interface BatchOptions {
  /**
   * Rows of all texts that the cache holds; default those of four texts of the whole context. A text takes as many as its prompt and `maxTokens`, and
   * those of a draft; where they are not free it waits for its turn.
   */
  readonly slots?: number;
}

/** Options of a generation in a batch. */
export type BatchGenerateOptions = Omit<GenerateOptions, 'session'>;

/** A model that several texts share. */
export interface Batch {
  /** Texts that have room, and texts that wait for it. */
  readonly running: number;
  readonly waiting: number;
  /**
   * As `generate`, but it starts by itself and goes on whether or not it is listened to; leaving the iteration ends it. The tokens
   * are those that it would have alone. Throws an OptionError for options or prompts that `generate` would refuse, and for texts
   * that the cache could never hold.
   */
  generate(prompt: Prompt, options?: BatchGenerateOptions): Generation;
  /**
   * A session of a draft model whose forwards are put together too: `draftModel(model, { session })`, one for each text. It holds rows
   * of the draft model's cache until its drafter is disposed.
   */
  session(model: Model): Session;
  /** Gives back the caches. Texts that are not at their end fail. */
  dispose(): void;
  [Symbol.dispose](): void;
}

/** A text of a batch. */
interface Text {
  readonly tokens: readonly number[];
  readonly options: BatchGenerateOptions;
  /** What it may take of the cache. */
  readonly slots: number;
  readonly lease: CacheLease;
  readonly ends: Deferred<GenerateResult>;
  readonly relay: Relay;
}

/** A batch of texts on a target. */
export function createBatch(target: Target, options: BatchOptions = {}): Batch {
  const { model, tokenizer } = target;
  const { slots = 4 * (model.contextLength + MAX_DRAFT), ...unknown } = options;
  for (const key of Object.keys(unknown))
    throw new OptionError(`createBatch: expected slots, got ${key}`);
  if (!Number.isInteger(slots) || slots < 1)
    throw new OptionError(`createBatch: slots: expected a whole number from 1, got ${slots}`);
  const shared = shareCache((taps) => {
    checkOpen('generate');
    return model.createCache({ slots, taps });
  });
  const gate = createGate(shared);
  /** Of draft models, of which the target may be one. */
  const drafts = new Map<Model, Cache>();
  const queue: Text[] = [];
  let free = slots;
  let running = 0;
  let disposed = false;

  const checkOpen = (what: string) => {
    if (disposed) throw new Error(`${what}: expected a batch, got a disposed one`);
  };

  /** First come, first served: a long text is not overtaken for ever. */
  function admit(): void {
    while (queue.length > 0 && queue[0].slots <= free) void run(queue.shift()!);
  }

  async function run(text: Text): Promise<void> {
    const { tokens, options: own, slots: taken, lease, ends, relay } = text;
    running += 1;
    free -= taken;
    gate.enter();
    let session: Session | undefined;
    try {
      // Texts that are given together begin in one cache, with what all of them want.
      await null;
      checkOpen('generate');
      session = new Session(model, { lease, gate: gate.seat(model) });
      const generation = generate(target, tokens, { ...own, session });
      if (relay.left()) await generation[Symbol.asyncIterator]().return?.();
      else
        for await (const token of generation) {
          relay.push(token);
          if (relay.left()) break;
        }
      ends.resolve(await generation.result);
      relay.end();
    } catch (reason) {
      ends.reject(reason);
      relay.end({ reason });
    } finally {
      session?.dispose();
      lease.end();
      running -= 1;
      free += taken;
      admit();
      gate.leave();
    }
  }

  function dispose(): void {
    if (disposed) return;
    disposed = true;
    gate.close(new Error('generate: expected a batch, got a disposed one'));
    for (const each of [shared, ...drafts.values()]) each.dispose();
    for (const text of queue.splice(0)) void run(text);
  }

  return {
    get running() {
      return running;
    },
    get waiting() {
      return queue.length;
    },
    generate(prompt, given = {}) {
      checkOpen('generate');
      if ('session' in given)
        throw new OptionError('generate: expected no session in a batch, got one');
      const settings = readOptions(given);
      const tokens = tokensOf(tokenizer, prompt);
      checkPrompt(model, tokens, settings);
      const { maxTokens = Number.POSITIVE_INFINITY, drafter, signal } = settings;
      const length = Math.min(tokens.length + maxTokens, model.contextLength);
      if (length + MAX_DRAFT > slots)
        throw new OptionError(
          `generate: expected a text of at most ${slots - MAX_DRAFT} tokens in ${slots} slots, got ${length}; a smaller maxTokens may fit`,
        );
      const ends = deferred<GenerateResult>();
      // Room or not, a text that is aborted or not listened to ends at once.
      const leave = () => {
        const index = queue.indexOf(text);
        if (index >= 0) void run(queue.splice(index, 1)[0]);
      };
      const relay = createRelay(ends.promise, leave);
      const lease = shared.lease(drafter.taps);
      const text = { tokens, options: given, slots: length + MAX_DRAFT, lease, ends, relay };
      queue.push(text);
      if (signal?.aborted) leave();
      signal?.addEventListener('abort', leave, { once: true });
      ends.promise.finally(() => signal?.removeEventListener('abort', leave)).catch(() => {});
      admit();
      return relay.generation;
    },
    session(of) {
      checkOpen('session');
      const cache = drafts.get(of) ?? of.createCache({ slots });
      drafts.set(of, cache);
      return new Session(of, { cache, gate: gate.seat(of) });
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
}

/** Continues many prompts at once, each with the options of its index or with the same; results in the order of the prompts. */
export async function generateBatch(
  target: Target,
  prompts: readonly Prompt[],
  options: BatchGenerateOptions | readonly BatchGenerateOptions[] = {},
  batchOptions: BatchOptions = {},
): Promise<GenerateResult[]> {
  const each = Array.isArray(options) ? options : prompts.map(() => options);
  if (each.length !== prompts.length)
    throw new OptionError(
      `generateBatch: expected options for ${prompts.length} prompts, got ${each.length}`,
    );
  const batch = createBatch(target, batchOptions);
  try {
    const texts = prompts.map((prompt, index) => batch.generate(prompt, each[index]));
    // All of them, so that none is left without its cache when another fails.
    await Promise.allSettled(texts);
    return await Promise.all(texts);
  } finally {
    batch.dispose();
  }
}
