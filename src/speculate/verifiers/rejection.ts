// Rejection: accept token x, drawn from q, with probability p(x) / q(x); owe the target the rest, (p - q)+, afterwards.
// Leviathan et al., 2023; Chen et al., 2023. Siblings are judged one after the other, each against what is owed by then
// and what it was drawn from (recursive rejection without replacement: Jeon et al., 2024; Chen et al., "Sequoia", 2024).
// A position uses three independent streams: `draft` to draw, `accept` per token, `recover` for the token instead.
// Siblings drawn with replacement: Miao et al., "SpecInfer", 2024.
import type { Draft } from '../drafter.ts';
import { lawDraw, rankedDraws } from '../drawn.ts';
import type { Law } from '../law.ts';
import type { Noise } from '../noise.ts';
import { massOf } from '../sample.ts';
import type { Verifier } from '../verifier.ts';
import { residual, without } from './owed.ts';
import { type Judgement, walk } from './walk.ts';

/** The target's own distribution with the most acceptances per token; the text of a seed depends on the drafts. */
export const rejection: Verifier = {
  name: 'rejection',
  guarantee: 'same law',
  draw(law, position, count, noise) {
    if ('point' in law) return rankedDraws(law, count);
    return noise.race('draft', position, law, count).map((token) => lawDraw(token, law));
  },
  verify(input) {
    return walk(input, (target, position, children) =>
      judgeDrawn(target, position, children, { ...input, lenience: 1 }),
    );
  },
};

/** `rejection` of siblings that are drawn one independently of the other, so that a token may come twice; accepts less. */
export const rejectionWithReplacement: Verifier = {
  name: 'rejection with replacement',
  guarantee: 'same law',
  draw(law, position, count, noise) {
    if ('point' in law) return rankedDraws(law, count);
    return Array.from({ length: count }, (_, index) =>
      lawDraw(noise.pick('draft', position, law, index), law),
    );
  },
  verify(input) {
    return walk(input, (target, position, children) =>
      judgeDrawn(target, position, children, { ...input, lenience: 1, replaced: true }),
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
  parts: {
    readonly draft: Draft;
    readonly noise: Noise;
    readonly lenience: number;
    /** Siblings of one law were drawn with replacement. */
    readonly replaced?: boolean;
  },
): Judgement {
  const { draft, noise, lenience, replaced = false } = parts;
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
    owed = residual(owed, drawnFrom).law;
    left.set(law, replaced ? law : without(drawnFrom, token));
  }
  return { next: noise.pick('recover', position, owed) };
}
