// The loop: draft, feed, verify, emit. There is no other one; plain decoding is a drafter that proposes nothing.
// Speculative decoding: Leviathan et al., 2023; Chen et al., 2023.
import { OptionError } from '../kernels/errors.ts';
import type { Model } from '../models/model.ts';
import type { TextStream, Tokenizer } from '../models/tokenizer.ts';
import type { Draft, DraftRequest } from './drafter.ts';
import type { Law } from './law.ts';
import { createNoise } from './noise.ts';
import { type GenerateOptions, readOptions, type Settings } from './options.ts';
import { createProcessor } from './processors.ts';
import { logSoftmaxAt } from './sample.ts';
import { Session } from './session.ts';
import { createStats, type GenerateStats } from './stats.ts';
import { createStopText } from './stops.ts';
import type { Verdict } from './verifier.ts';

/** A model with the tokenizer of its text. */
export interface Target {
  readonly model: Model;
  readonly tokenizer: Tokenizer;
}

/** Text, token ids, or chat messages for the tokenizer's template. */
export type Prompt =
  | string
  | readonly number[]
  | { readonly messages: readonly { readonly role: string; readonly content: string }[] };

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

export type FinishReason = 'stop' | 'length' | 'abort';

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
  /** The result, once the generation has ended, however it is consumed. */
  readonly result: Promise<GenerateResult>;
}

/**
 * Continues a prompt. The emitted tokens are the target model's own: how exactly depends on the verifier's guarantee.
 */
export function generate(target: Target, prompt: Prompt, options: GenerateOptions = {}): Generation {
  const settings = readOptions(options);
  const tokens = tokenize(target.tokenizer, prompt);
  checkPrompt(target.model, tokens, settings);
  let settle: (result: GenerateResult) => void = () => {};
  let fail: (error: unknown) => void = () => {};
  const result = new Promise<GenerateResult>((resolve, reject) => {
    settle = resolve;
    fail = reject;
  });
  // Somebody who iterates sees the error there; the promise must not raise it a second time.
  result.catch(() => {});
  const events = run(target, tokens, settings, settle, fail);
  let started = false;
  const drain = async () => {
    started = true;
    for await (const _ of events) continue;
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
      return events;
    },
  };
}

async function* run(
  { model, tokenizer }: Target,
  prompt: readonly number[],
  settings: Settings,
  settle: (result: GenerateResult) => void,
  fail: (error: unknown) => void,
): AsyncGenerator<Token, void, void> {
  const { drafter, verifier, signal } = settings;
  const session = settings.session ?? new Session(model, drafter.taps ? { taps: drafter.taps } : {});
  const noise = createNoise(settings.seed);
  const lawOf = createProcessor(settings, prompt.length);
  const output = createOutput(tokenizer, settings, model);
  const stats = createStats();
  const tokens = [...prompt];
  const cachedTokens = commonPrefix(session.cachedTokens, tokens);
  let hidden: readonly Float32Array[] = [];
  try {
    while (output.finishReason === null) {
      signal?.throwIfAborted();
      const position = tokens.length;
      const room = model.contextLength - position;
      const left = Math.min(room, (settings.maxTokens ?? room) - output.count);
      if (left <= 0) {
        output.end('length');
        break;
      }
      const draftStart = performance.now();
      const request: DraftRequest = {
        tokens,
        ...draftLimits(settings, left, position),
        hidden,
        law: lawOf,
        draw: (law, at, count) => verifier.draw(law, at, count, noise),
        signal,
      };
      const draft: Draft =
        request.maxDepth > 0 && request.maxTokens > 0 ? checkDraft(await drafter.draft(request), request) : { tokens: [] };
      const feedStart = performance.now();
      const fed = await session.feed(tokens, draft, { signal });
      const targetMs = performance.now() - feedStart;
      const verdict = verifier.verify({ draft, law: lawsOf(draft, tokens, fed.logits, lawOf), position, noise });
      session.commit(verdict.path);
      hidden = committedHidden(fed.hidden, fed.computedRows - draft.tokens.length, verdict.path);

      const block = emitted(draft, verdict);
      const shown: Token[] = [];
      for (const [blockIndex, { id, row, drafted }] of block.entries()) {
        if (output.finishReason !== null || blockIndex >= left) break;
        tokens.push(id);
        shown.push({ id, text: output.push(id), logprob: logSoftmaxAt(fed.logits[row], id), drafted, blockIndex });
      }
      stats.add({
        draftedTokens: draft.tokens.length,
        draftedDepth: depthOf(draft),
        acceptedTokens: shown.filter(({ drafted }) => drafted).length,
        emittedTokens: shown.length,
        rows: fed.computedRows,
        draftMs: feedStart - draftStart,
        targetMs,
      });
      const ended = output.finishReason !== null || output.count >= (settings.maxTokens ?? room + position);
      for (const [index, token] of shown.entries()) {
        const last = ended && index === shown.length - 1;
        yield last ? { ...token, text: token.text + output.flush() } : token;
      }
    }
  } catch (error) {
    if (!(signal?.aborted && settings.onAbort === 'return')) {
      fail(error);
      throw error;
    }
    output.end('abort');
  } finally {
    if (settings.session === undefined) session.dispose();
    output.end('abort');
    settle({
      ...output.result(),
      usage: { promptTokens: prompt.length, cachedTokens, completionTokens: output.count },
      stats: stats.summary(),
    });
  }
}

/** Text, stops and limits of what is emitted. */
function createOutput(tokenizer: Tokenizer, settings: Settings, model: Model) {
  const stream: TextStream = tokenizer.stream();
  const stops = createStopText(settings.stop);
  const stopTokens = new Set([...settings.stopTokens, ...(settings.ignoreEos ? [] : model.config.eosTokens)]);
  const ids: number[] = [];
  let text = '';
  let stop: string | null = null;
  let finishReason: FinishReason | null = null;
  const show = (piece: string) => {
    const released = stops.push(piece);
    if (released.stop !== null) {
      stop = released.stop;
      finishReason = 'stop';
    }
    text += released.text;
    return released.text;
  };
  return {
    get finishReason(): FinishReason | null {
      return finishReason;
    },
    get count(): number {
      return ids.length;
    },
    /** Adds a token; returns the text that may be shown now. */
    push(id: number): string {
      ids.push(id);
      if (stopTokens.has(id)) {
        finishReason = 'stop';
        return '';
      }
      return show(stream.push(id));
    },
    /** The first reason counts. */
    end(reason: FinishReason): void {
      finishReason ??= reason;
    },
    /** Text held back for a character or a stop string that did not come. */
    flush(): string {
      if (stop !== null) return '';
      let rest = show(stream.flush());
      if (stop === null) {
        const held = stops.flush();
        text += held;
        rest += held;
      }
      return rest;
    },
    result() {
      this.flush();
      return { text, tokens: ids, finishReason: finishReason ?? 'abort', stop };
    },
  };
}

function tokenize(tokenizer: Tokenizer, prompt: Prompt): number[] {
  if (typeof prompt === 'string') return tokenizer.encode(prompt);
  if ('messages' in prompt) return tokenizer.chat(prompt.messages);
  return [...prompt];
}

function checkPrompt(model: Model, tokens: readonly number[], { drafter, session }: Settings): void {
  if (tokens.length === 0) throw new OptionError('generate: expected a prompt of at least one token, got none');
  if (tokens.length >= model.contextLength)
    throw new OptionError(
      `generate: expected a prompt below the context of ${model.contextLength} tokens, got ${tokens.length}`,
    );
  if (session !== undefined && session.model !== model)
    throw new OptionError('generate: expected a session of the target model, got one of another model');
  const taps = drafter.taps ?? [];
  if (session !== undefined && taps.join() !== session.cache.taps.join())
    throw new OptionError(
      `generate: expected a session with taps [${taps}] for drafter ${drafter.name}, got [${session.cache.taps}]`,
    );
}

/** Clipped by what may still be emitted (the target adds a token of its own) and by the drafter's context. */
function draftLimits(settings: Settings, left: number, position: number) {
  const drafterRoom = (settings.drafter.contextLength ?? Number.POSITIVE_INFINITY) - position;
  return {
    maxTokens: settings.draftLength,
    maxDepth: Math.min(settings.draftLength, left - 1, drafterRoom),
  };
}

function checkDraft(draft: Draft, { maxTokens, maxDepth }: DraftRequest): Draft {
  if (draft.tokens.length > maxTokens || depthOf(draft) > maxDepth)
    throw new OptionError(
      `drafter: expected at most ${maxTokens} tokens and depth ${maxDepth}, got ${draft.tokens.length} and ${depthOf(draft)}`,
    );
  return draft;
}

function depthOf({ tokens, parents }: Draft): number {
  if (parents === undefined) return tokens.length;
  const depths: number[] = [];
  for (const parent of parents) depths.push(parent < 0 ? 1 : depths[parent] + 1);
  return Math.max(0, ...depths);
}

/** The target's law of each row, with that row's own history, computed when a verifier asks for it. */
function lawsOf(
  { tokens: drafted, parents }: Draft,
  committed: readonly number[],
  logits: readonly Float32Array[],
  lawOf: (logits: Float32Array, history: readonly number[]) => Law,
): (row: number) => Law {
  const laws = new Map<number, Law>();
  const history = (row: number): readonly number[] => {
    const path: number[] = [];
    for (let node = row - 1; node >= 0; node = parents ? parents[node] : node - 1) path.push(drafted[node].token);
    return path.length === 0 ? committed : [...committed, ...path.reverse()];
  };
  return (row) => {
    let law = laws.get(row);
    if (law === undefined) {
      law = lawOf(logits[row], history(row));
      laws.set(row, law);
    }
    return law;
  };
}

/** The tokens of a verdict, each with the row whose law it came from. */
function emitted(draft: Draft, { path, next }: Verdict) {
  const rows = [0, ...path.map((node) => node + 1)];
  return [
    ...path.map((node, index) => ({ id: draft.tokens[node].token, row: rows[index], drafted: true })),
    { id: next, row: rows[path.length], drafted: false },
  ];
}

/** Hidden states of the rows that stay: those of the text, then those of the accepted path. */
function committedHidden(hidden: readonly Float32Array[], textRows: number, path: readonly number[]) {
  if (hidden.length === 0) return [];
  return [...hidden.slice(0, textRows), ...path.map((node) => hidden[textRows + node])];
}

function commonPrefix(a: readonly number[], b: readonly number[]): number {
  let length = 0;
  while (length < a.length && length < b.length - 1 && a[length] === b[length]) length++;
  return length;
}
