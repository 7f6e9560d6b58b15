// The marks on the tape of a plan: written anew when the numbers of rows in use are others than in the run before.
import type { Call } from '../plan.ts';
import type { Pace } from './pace.ts';
import { type Item, type Sharing, sharing } from './sharing.ts';

/** How a stretch is run, and by how many workers this time. */
export interface PacedSharing extends Sharing {
  readonly pace: Pace;
}

/** How a stretch is paced, given the most workers and the estimate. */
export type PaceOf = (workers: number, estimateNs: number) => Pace;

/** Numbers of rows whose marks are kept; a decode loop has a few. */
const KEPT = 64;

/** How every stretch is shared for the rows in use; `put` is called for every instruction when they are others. */
export function createMarks({
  stretches,
  threads,
  paceOf,
  put,
}: {
  readonly stretches: readonly (readonly Item[])[];
  readonly threads: number;
  readonly paceOf: PaceOf;
  readonly put: (at: number, mark: number) => void;
}): (extents: Call['extents']) => readonly PacedSharing[] {
  const known = new Map<number, readonly PacedSharing[]>();
  let last: readonly PacedSharing[] | undefined;
  return (extents) => {
    const key = extents.T * 2 ** 16 + extents.K;
    let shares = known.get(key);
    if (shares === undefined) {
      shares = stretches.map((items) => {
        const shared = sharing(items, threads, extents);
        return { ...shared, pace: paceOf(shared.workers, shared.costNs) };
      });
      if (known.size >= KEPT) known.clear();
      known.set(key, shares);
    }
    if (shares !== last)
      for (const [index, items] of stretches.entries())
        for (const [item, { at }] of items.entries()) put(at, shares[index].marks[item]);
    last = shares;
    return shares;
  };
}
