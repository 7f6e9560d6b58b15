// What a text begins with, and whether a model can go on with it.
import { OptionError } from '../kernels/errors.ts';
import type { Model } from '../models/model.ts';
import type { Tokenizer } from '../models/tokenizer.ts';
import type { Settings } from './options.ts';
import { isArgmax } from './processors.ts';

/** Text, token ids, or chat messages for the tokenizer's template. */
export type Prompt =
  | string
  | readonly number[]
  | { readonly messages: readonly { readonly role: string; readonly content: string }[] };

/** The tokens of a prompt. Throws an OptionError for what is none. */
export function tokensOf(tokenizer: Tokenizer, prompt: Prompt): number[] {
  if (typeof prompt === 'string') return tokenizer.encode(prompt);
  if (Array.isArray(prompt)) {
    const wrong = prompt.find((token) => !Number.isInteger(token) || token < 0);
    if (wrong !== undefined)
      throw new OptionError(`generate: expected token ids from 0, got ${JSON.stringify(wrong)}`);
    return [...prompt];
  }
  const messages = typeof prompt === 'object' && 'messages' in prompt ? prompt.messages : undefined;
  if (!Array.isArray(messages))
    throw new OptionError(
      `generate: expected a prompt that is text, token ids or { messages: [...] }, got ${JSON.stringify(prompt)}`,
    );
  return tokenizer.chat(messages);
}

/** Throws an OptionError for a prompt without room, and for a session that does not fit model, drafter or options. */
export function checkPrompt(model: Model, tokens: readonly number[], settings: Settings): void {
  const { drafter, session } = settings;
  if (tokens.length === 0)
    throw new OptionError('generate: expected a prompt of at least one token, got none');
  if (tokens.length >= model.contextLength)
    throw new OptionError(
      `generate: expected a prompt below the context of ${model.contextLength} tokens, got ${tokens.length}`,
    );
  if (session !== undefined && session.model !== model)
    throw new OptionError(
      'generate: expected a session of the target model, got one of another model',
    );
  if (
    session?.cache.argmax &&
    (!isArgmax(settings) || settings.verifier.atZeroOnly === 'probabilities')
  )
    throw new OptionError(
      'generate: expected greedy decoding without penalties with a session whose cache has argmax, got other options',
    );
  const { name, taps = [] } = drafter;
  const { layers } = model.config;
  if (taps.some((tap) => !Number.isInteger(tap) || tap < 0 || tap > layers))
    throw new OptionError(
      `generate: expected a drafter with taps from 0 to ${layers}, got ${name} with [${taps}]`,
    );
  if (session !== undefined && taps.some((tap) => !session.cache.taps.includes(tap)))
    throw new OptionError(
      `generate: expected a session with taps [${taps}] for drafter ${name}, got [${session.cache.taps}]`,
    );
}
