// The loop: draft, feed, verify, emit. There is no other one; plain decoding is a drafter that proposes nothing.
// Speculative decoding: Leviathan et al., 2023; Chen et al., 2023.
import { OptionError } from '../kernels/errors.ts';
import type { Model } from '../models/model.ts';
import type { Tokenizer } from '../models/tokenizer.ts';
import { createArena } from './arena.ts';
import { deferred } from './deferred.ts';
import type { GenerateStats } from './figures.ts';
import { createNoise } from './noise.ts';
import { type GenerateOptions, readOptions, type Settings } from './options.ts';
import { createOutput, type FinishReason } from './output.ts';
import { createPace, type Pace } from './pace.ts';
import { createProcessor, isArgmax, untempered } from './processors.ts';
import { checkPrompt, type Prompt, tokensOf } from './prompt.ts';
import { chanceOf, depthOf, draftFrom, emitted, lawsOf } from './round.ts';
import { logSoftmaxAt } from './sample.ts';
import { Session } from './session.ts';
import { createStates, type States } from './states.ts';
import { createStats } from './stats.ts';
import { createWitness } from './witness.ts';

/** A model with the tokenizer of its text. */
export interface Target {
  readonly model: Model;
  readonly tokenizer: Tokenizer;
}

/** One emitted token. */
export interface Token {
  readonly id: number;
  /** Text that this token made showable; may be empty, and may contain text of tokens before. */
  readonly text: string;
  /** ln of the model's own probability of the token, before any processing. */
  readonly logprob: number;
  /** True for an accepted draft token, false for a recovered, bonus or plainly decoded one. */
  readonly drafted: boolean;
  /** Position in the block emitted by one target forward. */
  readonly blockIndex: number;
}

export type { FinishReason } from './output.ts';
export type { Prompt } from './prompt.ts';

/** The whole of a generation. */
export interface GenerateResult {
  readonly text: string;
  readonly tokens: readonly number[];
  readonly finishReason: FinishReason;
  /** The stop string that ended it, if one did. */
  readonly stop: string | null;
  readonly usage: {
    readonly promptTokens: number;
    readonly cachedTokens: number;
    readonly completionTokens: number;
  };
  readonly stats: GenerateStats;
}

/** Await it for the result, or iterate it for the tokens; leaving the iteration ends the generation. */
export interface Generation extends PromiseLike<GenerateResult>, AsyncIterable<Token> {
  /** The result, once the generation has ended. Asking for it starts nothing: await the generation or iterate it. */
  readonly result: Promise<GenerateResult>;
}

/**
 * Continues a prompt. The emitted tokens are the target model's own: how exactly depends on the verifier's guarantee.
 */
export function generate(
  target: Target,
  prompt: Prompt,
  options: GenerateOptions = {},
): Generation {
  const settings = readOptions(options);
  const tokens = tokensOf(target.tokenizer, prompt);
  checkPrompt(target.model, tokens, settings);
  const { promise: result, resolve: settle, reject: fail } = deferred<GenerateResult>();
  const events = run(target, tokens, settings, { settle, fail, left: () => left });
  let started = false;
  let left = false;
  const drain = async () => {
    started = true;
    for await (const _ of events);
  };
  return {
    result,
    // biome-ignore lint/suspicious/noThenProperty: awaitable and iterable by design
    then(onResult, onError) {
      if (!started) drain().catch(() => {});
      return result.then(onResult, onError);
    },
    [Symbol.asyncIterator]() {
      if (started) throw new OptionError('generate: expected one consumer, got a second iteration');
      started = true;
      return {
        next: () => events.next(),
        async return() {
          // A generator that has not begun would end without a word; beginning it settles the result.
          left = true;
          await events.next();
          return events.return();
        },
      };
    },
  };
}

/** Where a run reports its end, and whether nobody listens any more. */
interface Ends {
  settle(result: GenerateResult): void;
  fail(error: unknown): void;
  left(): boolean;
}

async function* run(
  { model, tokenizer }: Target,
  prompt: readonly number[],
  settings: Settings,
  { settle, fail, left }: Ends,
): AsyncGenerator<Token, void, void> {
  const { drafter, signal, onRound } = settings;
  const seeded = createNoise(settings.seed);
  const witness = onRound && createWitness(seeded, settings.verifier);
  const { noise, verifier } = witness ?? { noise: seeded, verifier: settings.verifier };
  let index = 0;
  const limit = Math.min(
    settings.maxTokens ?? Number.POSITIVE_INFINITY,
    model.contextLength - prompt.length,
  );
  const { eosTokens } = model.config;
  const output = createOutput(tokenizer, settings, { prompt, eosTokens, limit });
  const stats = createStats();
  const tokens = [...prompt];
  let own: Session | undefined;
  let cachedTokens = 0;
  let pace: Pace | undefined;
  let states: States | undefined;
  try {
    // Greedy decoding asks a device for its choices only.
    const wantsProbs = verifier.atZeroOnly === 'probabilities';
    const argmax = model.report.deviceMemory === true && isArgmax(settings) && !wantsProbs;
    own = settings.session ? undefined : new Session(model, { taps: drafter.taps, argmax });
    const session = settings.session ?? own!;
    states = createStates(drafter, session);
    states.begin(tokens);
    cachedTokens = commonPrefix(session.cachedTokens, tokens);
    // Whoever listens to rounds may keep what a round had.
    const arena = onRound === undefined ? createArena() : undefined;
    const kept = { place: arena?.f64 };
    const lawOf = createProcessor(settings, prompt.length, kept);
    const draftLawOf = createProcessor(settings, prompt.length, { orNothing: true });
    const judgedBy = wantsProbs
      ? createProcessor(untempered(settings), prompt.length, kept)
      : lawOf;
    pace = createPace(settings.draftLength, { drafter, session, signal });
    while (output.finishReason === null && !left()) {
      signal?.throwIfAborted();
      const position = tokens.length;
      const choice = await pace.next({ position, left: limit - output.count });
      const chance = chanceOf(noise, verifier, position);
      const draftStart = performance.now();
      const draft = await draftFrom(drafter, {
        tokens,
        maxTokens: choice.maxTokens,
        maxDepth: choice.levels,
        hidden: states.take(tokens, choice.levels),
        law: draftLawOf,
        draw: chance.draw,
        signal,
      });
      const feedStart = performance.now();
      arena?.clear();
      const fed = await session.feed(tokens, draft, {
        signal,
        taps: drafter.taps ?? [],
        place: arena?.f32,
      });
      const targetMs = performance.now() - feedStart;
      const law = lawsOf(draft, tokens, fed.logits, judgedBy);
      const verdict = verifier.verify({ draft, law, position, noise: chance.noise });
      session.commit(fed, verdict.path);
      states.add(fed, draft, verdict);

      const shown: Token[] = [];
      for (const [blockIndex, { id, row, drafted }] of emitted(draft, verdict).entries()) {
        if (output.finishReason !== null) break;
        tokens.push(id);
        const text = output.push(id);
        const logits = fed.logits[row];
        const logprob = session.cache.argmax ? logits[id] : logSoftmaxAt(logits, id);
        shown.push({ id, text, logprob, drafted, blockIndex });
      }
      const draftMs = feedStart - draftStart;
      onRound?.({
        index: index++,
        position,
        draft,
        verdict,
        emitted: shown.map(({ id }) => id),
        law,
        ...witness!.report(draft),
        draftMs,
        targetMs,
      });
      const depth = depthOf(draft);
      const nodes = draft.tokens.length;
      const accepted = verdict.path.length;
      pace.add({ choice, depth, nodes, accepted, draftMs, targetMs, position });
      stats.add({
        trial: choice.trial,
        asked: choice.levels > 0,
        draftedTokens: nodes,
        draftedDepth: depth,
        acceptedTokens: shown.filter(({ drafted }) => drafted).length,
        emittedTokens: shown.length,
        rows: fed.computedRows,
        draftMs,
        targetMs,
      });
      yield* shown;
    }
  } catch (error) {
    if (!(signal?.aborted && settings.onAbort === 'return')) {
      fail(error);
      throw error;
    }
  } finally {
    own?.dispose();
    settle({
      ...output.result(),
      usage: { promptTokens: prompt.length, cachedTokens, completionTokens: output.count },
      stats: stats.summary(pace?.report()),
    });
  }
}

function commonPrefix(a: readonly number[], b: readonly number[]): number {
  let length = 0;
  while (length < a.length && length < b.length - 1 && a[length] === b[length]) length++;
  return length;
}
