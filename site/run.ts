// A run: one generation, watched round by round, and its trace.
import type { EngineDrafter } from '../src/browser/engine.ts';
import type { RoundData } from '../src/browser/round.ts';
import type { GenerateResult, Token } from '../src/speculate/generate.ts';
import type { Pair } from './models.ts';
import { optionsOf, type Settings } from './settings.ts';

/** Candidates of every law that are shown. */
const CANDIDATES = 6;

/** A round with the tokens that it gave. */
export interface TracedRound {
  readonly data: RoundData;
  readonly tokens: readonly Token[];
}

/** Rounds as far as they have come, and the result in the end. */
export interface Run {
  readonly label: 'drafted' | 'plain';
  readonly rounds: readonly TracedRound[];
  readonly result: GenerateResult | null;
}

/** Generates, with drafts or without, and calls `onRound` after every round. */
export async function generateRun(
  pair: Pair,
  settings: Settings,
  options: {
    readonly label: Run['label'];
    readonly signal: AbortSignal;
    readonly onRound: (run: Run) => void | Promise<void>;
  },
): Promise<Run> {
  const { label, signal, onRound } = options;
  const drafter = label === 'plain' ? { kind: 'none' as const } : drafterOf(settings, pair);
  const arrived: RoundData[] = [];
  const rounds: { data: RoundData; tokens: Token[] }[] = [];
  const generation = pair.target.generate(settings.prompt, {
    ...optionsOf(settings),
    drafter,
    signal,
    onAbort: 'return',
    candidates: CANDIDATES,
    onRound: (round) => arrived.push(round),
  });
  let current: { data: RoundData; tokens: Token[] } | undefined;
  for await (const token of generation) {
    current ??= { data: arrived.shift()!, tokens: [] };
    current.tokens.push(token);
    if (current.tokens.length < current.data.emitted.length) continue;
    rounds.push(current);
    current = undefined;
    await onRound({ label, rounds, result: null });
  }
  return { label, rounds, result: await generation.result };
}

/** Who drafts by the settings; a speculator in the shape that it proposes itself. */
export function drafterOf(
  { drafter, branching }: Settings,
  { draft, speculator }: Pick<Pair, 'draft' | 'speculator'>,
): EngineDrafter {
  if (drafter === 'none' || drafter === 'ngram' || drafter === 'suffix') return { kind: drafter };
  if (drafter === 'speculator') return { kind: drafter, speculator: speculator! };
  return { kind: 'model', model: draft!, ...(drafter === 'tree' && { branching }) };
}

/** Tokens and milliseconds of drafting and checking after each round but the first, which computes the prompt. */
export function course({ rounds }: Run): { readonly ms: number; readonly tokens: number }[] {
  let ms = 0;
  let tokens = 0;
  const points = [{ ms, tokens }];
  for (const { data } of rounds.slice(1)) {
    ms += data.draftMs + data.targetMs;
    tokens += data.emitted.length;
    points.push({ ms, tokens });
  }
  return points;
}

/** Tokens per second of drafting and checking after the first round; null before there are any. */
export function speedOf(run: Run): number | null {
  const last = course(run).at(-1)!;
  return last.ms > 0 ? (1000 * last.tokens) / last.ms : null;
}
