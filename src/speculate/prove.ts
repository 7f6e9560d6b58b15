// The proof that a verifier keeps the target's law: on a model small enough, every draft and every outcome of chance is
// played through the verifier's own `draw` and `verify`, and the probabilities of what came out are added up. It holds
// for real numbers; those of a seed have 32 bits, so that a probability is met to 2^-32.
import { OptionError } from '../kernels/errors.ts';
import { pathTo } from '../models/tree.ts';
import { explore } from './chance.ts';
import type { Draft, Drawn } from './drafter.ts';
import type { Law } from './law.ts';
import type { TextNoise } from './noise.ts';
import { chanceOf } from './round.ts';
import { massOf } from './sample.ts';
import type { Verifier } from './verifier.ts';

/** What is to be proven. Laws are functions of the whole text, prompt included. */
export interface ProveOptions {
  readonly verifier: Verifier;
  /** Number of tokens; 2 to 5 is what an enumeration can bear. */
  readonly vocabulary: number;
  readonly target: (history: readonly number[]) => Law;
  /** The draft law, from which the verifier draws; or the drawn children themselves, for drafts that are looked up. */
  readonly draft: (history: readonly number[]) => Law | readonly Drawn[];
  /** Children per level to draw: [] drafts nothing, [1, 1] a chain of two, [2, 1] a tree. */
  readonly branching: readonly number[];
  /** The committed text at the start; default [0]. */
  readonly prompt?: readonly number[];
  /** Speculative rounds before the target goes on alone; default 1. More also test that rounds do not share noise. */
  readonly rounds?: number;
}

/** Probabilities of token sequences, written `0,2,1`. */
export type SequenceLaw = ReadonlyMap<string, number>;

/** What came out of an enumeration. */
export interface Proof {
  /** The joint law of the first branching.length + 1 tokens, as emitted and as the target has it. */
  readonly emitted: SequenceLaw;
  readonly target: SequenceLaw;
  /** The largest difference between the two: about 1e-15 for a lossless verifier. */
  readonly maxError: number;
  /** The law of what the first round emits. */
  readonly blocks: SequenceLaw;
  /** Mean length of those blocks: tokens per target forward. */
  readonly expectedTokens: number;
}

/** Computes the exact law of the emitted tokens. Throws an OptionError for options outside their domain. */
export function prove(options: ProveOptions): Proof {
  check(options);
  const { target, branching, prompt = [0], vocabulary } = options;
  const length = branching.length + 1;
  const emitted = new Map<string, number>();
  const blocks = new Map<string, number>();
  let expectedTokens = 0;
  explore(
    vocabulary,
    (noise) => play(options, prompt, length, noise),
    ({ tokens, blockLength }, probability) => {
      add(blocks, tokens.slice(0, blockLength), probability);
      expectedTokens += probability * blockLength;
      continueAlone(emitted, prompt, tokens, probability, { target, length, vocabulary });
    },
  );
  const wanted = new Map<string, number>();
  continueAlone(wanted, prompt, [], 1, { target, length, vocabulary });
  let maxError = 0;
  for (const key of new Set([...emitted.keys(), ...wanted.keys()]))
    maxError = Math.max(maxError, Math.abs((emitted.get(key) ?? 0) - (wanted.get(key) ?? 0)));
  return { emitted, target: wanted, maxError, blocks, expectedTokens };
}

/**
 * One text of branching.length + 1 tokens as a generation with this noise would emit it, in as many rounds as it takes: what
 * a test by counting needs beside the proof.
 */
export function emit(options: ProveOptions, noise: TextNoise): readonly number[] {
  check(options);
  const { branching, prompt = [0] } = options;
  const length = branching.length + 1;
  return play({ ...options, rounds: length }, prompt, length, noise).tokens.slice(0, length);
}

function check({ vocabulary, branching, rounds = 1, prompt = [0] }: ProveOptions): void {
  if (!Number.isInteger(vocabulary) || vocabulary < 1)
    throw new OptionError(`prove: vocabulary: expected a whole number from 1, got ${vocabulary}`);
  if (branching.some((count) => !Number.isInteger(count) || count < 1))
    throw new OptionError(
      `prove: branching: expected whole numbers from 1, got [${branching.join(', ')}]`,
    );
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new OptionError(`prove: rounds: expected a whole number from 1, got ${rounds}`);
  if (prompt.length === 0)
    throw new OptionError('prove: prompt: expected at least one token, got none');
}

/** Rounds of drafting and verifying, clipped to `length` tokens as the loop clips its drafts. */
function play(
  { verifier, target, draft, branching, rounds = 1 }: ProveOptions,
  prompt: readonly number[],
  length: number,
  noise: TextNoise,
) {
  const tokens: number[] = [];
  let blockLength = 0;
  for (let round = 0; round < rounds && tokens.length < length; round++) {
    const text = [...prompt, ...tokens];
    const levels = branching.slice(0, length - tokens.length - 1);
    const chance = chanceOf(noise, verifier, text.length);
    const drafted = grow(text, levels, draft, chance.draw);
    const law = (row: number) => target([...text, ...tokensTo(drafted, row - 1)]);
    const verdict = verifier.verify({
      draft: drafted,
      law,
      position: text.length,
      noise: chance.noise,
    });
    for (const node of verdict.path) tokens.push(drafted.tokens[node].token);
    tokens.push(verdict.next);
    if (round === 0) blockLength = tokens.length;
  }
  return { tokens, blockLength };
}

/** A draft of the given shape, level by level; a chain says so by leaving out its parents. */
function grow(
  text: readonly number[],
  levels: readonly number[],
  draftOf: ProveOptions['draft'],
  draw: (law: Law, position: number, count: number) => readonly Drawn[],
): Draft {
  const tokens: Drawn[] = [];
  const parents: number[] = [];
  let frontier = [-1];
  for (const [depth, count] of levels.entries()) {
    const next: number[] = [];
    for (const node of frontier) {
      const drafted = draftOf([...text, ...tokensTo({ tokens, parents }, node)]);
      const children = isLaw(drafted) ? draw(drafted, text.length + depth, count) : drafted;
      for (const child of children) {
        next.push(tokens.length);
        tokens.push(child);
        parents.push(node);
      }
    }
    frontier = next;
  }
  const chain = parents.every((parent, node) => parent === node - 1);
  return chain ? { tokens } : { tokens, parents };
}

function isLaw(drafted: Law | readonly Drawn[]): drafted is Law {
  return !Array.isArray(drafted);
}

function tokensTo({ tokens, parents }: Draft, node: number): number[] {
  const path = pathTo(node, (each) => (parents ? parents[each] : each - 1));
  return path.map((each) => tokens[each].token);
}

/** Adds every continuation to `length` tokens by the target alone. */
function continueAlone(
  sums: Map<string, number>,
  prompt: readonly number[],
  tokens: readonly number[],
  probability: number,
  model: Pick<ProveOptions, 'target' | 'vocabulary'> & { readonly length: number },
): void {
  if (tokens.length >= model.length) {
    add(sums, tokens.slice(0, model.length), probability);
    return;
  }
  const law = model.target([...prompt, ...tokens]);
  for (let token = 0; token < model.vocabulary; token++) {
    const mass = massOf(law, token);
    if (mass > 0) continueAlone(sums, prompt, [...tokens, token], probability * mass, model);
  }
}

function add(sums: Map<string, number>, tokens: readonly number[], probability: number): void {
  const key = tokens.join();
  sums.set(key, (sums.get(key) ?? 0) + probability);
}
