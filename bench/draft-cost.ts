// The drafters of the decode bench, and what drafting costs: a drafter whose drafts are timed, by the level.
import { median } from '../src/kernels/median.ts';
import type { Drafter } from '../src/speculate/drafter.ts';
import { depthOf } from '../src/speculate/round.ts';

/** Drafters by their names in the table, each with its draft length. */
export type Drafters = Readonly<
  Record<string, { readonly drafter: Drafter; readonly draftLength: number | 'auto' }>
>;

/** A drafter with the times of its drafts. */
export interface TimedDrafter {
  readonly drafter: Drafter;
  /** Median milliseconds of a level, over the drafts that had one; NaN without any. */
  levelMs(): number;
  /** Tokens of the longest text it was given since this was last asked; 0 where it was not asked to draft. */
  takeReach(): number;
}

/** The same drafter, timed. What it reads of the text before it drafts is part of the draft. */
export function timedDrafter(
  inner: Drafter,
  clock: () => number = () => performance.now(),
): TimedDrafter {
  const times: number[] = [];
  let reach = 0;
  const drafter: Drafter = {
    ...inner,
    async draft(request) {
      reach = Math.max(reach, request.tokens.length);
      const start = clock();
      const draft = await inner.draft(request);
      const depth = depthOf(draft);
      if (depth > 0) times.push((clock() - start) / depth);
      return draft;
    },
  };
  return {
    drafter,
    levelMs: () => median(times),
    takeReach() {
      const taken = reach;
      reach = 0;
      return taken;
    },
  };
}
