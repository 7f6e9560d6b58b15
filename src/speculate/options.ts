// The options of `generate`, checked where they enter: unknown names and contradictions are refused.
import * as z from 'zod';
import { OptionError } from '../kernels/errors.ts';
import type { Drafter } from './drafter.ts';
import { none } from './drafters/none.ts';
import { MAX_DRAFT } from './limits.ts';
import { SamplingOptions } from './processors.ts';
import type { Session } from './session.ts';
import type { Verifier } from './verifier.ts';
import { greedy } from './verifiers/greedy.ts';
import { match } from './verifiers/match.ts';
import type { Round } from './witness.ts';

const GenerateSchema = z.strictObject({
  ...SamplingOptions.shape,
  maxTokens: z.int().min(1).optional(),
  seed: z.int().min(0).default(0),
  stop: z.union([z.string().min(1), z.array(z.string().min(1))]).default([]),
  stopTokens: z.array(z.int().min(0)).default([]),
  ignoreEos: z.boolean().default(false),
  draftLength: z.union([z.int().min(0).max(MAX_DRAFT), z.literal('auto')]).default('auto'),
  onAbort: z.enum(['throw', 'return']).default('throw'),
  drafter: z.custom<Drafter>(isObject, 'expected a drafter').optional(),
  verifier: z.custom<Verifier>(isObject, 'expected a verifier').optional(),
  session: z.custom<Session>(isObject, 'expected a Session').optional(),
  signal: z.custom<AbortSignal>(isObject, 'expected an AbortSignal').optional(),
  onRound: z
    .custom<(round: Round) => void>((value) => typeof value === 'function', 'expected a function')
    .optional(),
});

/**
 * Options of `generate`, sampling options included.
 * - `maxTokens`: tokens to emit at most; default up to the end of the context.
 * - `seed`: default 0. Equal seeds give equal texts, with or without drafting, unless the verifier says otherwise.
 * - `stop`, `stopTokens`: texts and token ids that end the generation and are not shown; `ignoreEos` (default false)
 *   goes on past the model's own end tokens.
 * - `drafter` (default none), `draftLength` (default 'auto'): who drafts, and how many tokens per round at most. 'auto' goes
 *   as far as measured times and acceptance say that it pays, down to nothing; `stats.explain()` says what it chose and why.
 *   The length then depends on the clock; the text does not, unless the verifier promises no more than the same law.
 * - `verifier`: default `greedy` at temperature 0, else `match`.
 * - `session`: goes on with the cache of an earlier call; by default a new one is made and given back.
 * - `onRound`: called after every round with what happened in it, chance included; changes nothing but the time.
 * - `signal`, `onAbort`: an abort throws the signal's reason (default), or returns what there is.
 */
export type GenerateOptions = z.input<typeof GenerateSchema>;

/** Checked options with the defaults filled in. */
export type Settings = Omit<z.output<typeof GenerateSchema>, 'drafter' | 'verifier' | 'stop'> & {
  readonly drafter: Drafter;
  readonly verifier: Verifier;
  readonly stop: readonly string[];
};

/** Checks options; throws an OptionError that names every fault. */
export function readOptions(options: GenerateOptions): Settings {
  const parsed = GenerateSchema.safeParse(options);
  if (!parsed.success) throw new OptionError(`generate: ${z.prettifyError(parsed.error)}`);
  const { data } = parsed;
  const sampled = data.temperature > 0;
  if (sampled && data.verifier?.atZeroOnly)
    throw new OptionError(
      `generate: expected temperature 0 with the ${data.verifier.name} verifier, got a higher one; use match or rejection`,
    );
  return {
    ...data,
    drafter: data.drafter ?? none(),
    verifier: data.verifier ?? (sampled ? match : greedy),
    stop: typeof data.stop === 'string' ? [data.stop] : data.stop,
  };
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}
