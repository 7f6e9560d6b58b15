// Rejection: accept token x, drawn from q, with probability p(x) / q(x); owe the target the rest, (p - q)+, afterwards.
// Leviathan et al., 2023; Chen et al., 2023. Siblings are judged one after the other, each against what is owed by then
// and what it was drawn from (recursive rejection without replacement: Jeon et al., 2024; Chen et al., "Sequoia", 2024).
// A position uses three independent streams: `draft` to draw, `accept` per token, `recover` for the token instead.
import type { Draft } from '../drafter.ts';
import { lawDraw } from '../drawn.ts';
import type { Law, ProbsLaw } from '../law.ts';
import type { Noise } from '../noise.ts';
import { massOf } from '../sample.ts';
import type { Verifier } from '../verifier.ts';
import { type Judgement, walk } from './walk.ts';

/** The target's own distribution with the most acceptances per token; the text of a seed depends on the drafts. */
export const rejection: Verifier = {
  name: 'rejection',
  guarantee: 'same law',
  draw(law, position, count, noise) {
    return noise.race('draft', position, law, count).map((token) => lawDraw(token, law));
  },
  verify(input) {
    return walk(input, (target, position, children) =>
      judgeDrawn(target, position, children, { ...input, lenience: 1 }),
    );
  },
};

/**
 * The children of one node in order, each accepted with probability min(1, p / (lenience * q)). Without children this is the
 * bonus token.
 */
export function judgeDrawn(
  target: Law,
  position: number,
  children: readonly number[],
  parts: { readonly draft: Draft; readonly noise: Noise; readonly lenience: number },
): Judgement {
  const { draft, noise, lenience } = parts;
  let owed = target;
  // What the next child of a law was drawn from: siblings share the law object, and were drawn without replacement.
  const left = new Map<Law, Law>();
  for (const node of children) {
    const { token, law } = draft.tokens[node];
    const drawnFrom = left.get(law) ?? law;
    const drawnMass = massOf(drawnFrom, token);
    // A second copy of one draw is no draw: it neither offers nor costs the target anything.
    if (drawnMass === 0) continue;
    const chance = lenience > 0 ? massOf(owed, token) / (lenience * drawnMass) : 1;
    if (noise.coin('accept', position, token, chance)) return { accepted: node };
    owed = residual(owed, drawnFrom);
    left.set(law, without(drawnFrom, token));
  }
  return { next: noise.pick('recover', position, owed) };
}

/**
 * (p - q)+ normalised. Rejecting from equal laws is impossible, but rounding can leave nothing where they differ by the
 * last bit; then p stays owed, which costs an error of that size and never emits a token that p excludes.
 */
function residual(owed: Law, drawnFrom: Law): Law {
  if ('point' in owed) return owed;
  const probs = new Float64Array(owed.probs.length);
  let total = 0;
  for (let token = 0; token < probs.length; token++) {
    probs[token] = Math.max(0, owed.probs[token] - massOf(drawnFrom, token));
    total += probs[token];
  }
  if (!(total > 0)) return owed;
  for (let token = 0; token < probs.length; token++) probs[token] /= total;
  return { probs };
}

/** The law after `token` was taken out; without any mass if nothing is left. */
function without(law: Law, token: number): Law {
  if ('point' in law) return law.point === token ? nothing : law;
  const probs = law.probs.slice();
  probs[token] = 0;
  let total = 0;
  for (let each = 0; each < probs.length; each++) total += probs[each];
  if (total > 0) for (let each = 0; each < probs.length; each++) probs[each] /= total;
  return { probs };
}

const nothing: ProbsLaw = { probs: new Float64Array(0) };
