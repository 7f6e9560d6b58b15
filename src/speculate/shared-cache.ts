// The cache that the texts of a batch share. Whose states a forward gives is settled when its plan is recorded, and on a device a plan keeps
// its cache to itself. So where a text wants states of further layers there is another cache, which gives those that anybody has wanted, and
// every text moves with its next forward, which computes it again.
import type { Cache } from '../models/model.ts';
import type { CacheLease } from './session.ts';

/** A cache for many texts, and those that it has replaced as long as texts are in them. */
export interface SharedCache {
  /** For a text whose drafter wants the states of these layers; from now on the cache of the others gives them too. */
  lease(taps?: readonly number[]): CacheLease;
  /** Whether a cache is one of its own. */
  has(cache: Cache): boolean;
  dispose(): void;
}

/** A cache that `create` makes when a text needs one. */
export function shareCache(create: (taps: readonly number[]) => Cache): SharedCache {
  /** Texts in every cache that there is. */
  const texts = new Map<Cache, number>();
  let newest: Cache | undefined;
  let wanted = new Set<number>();

  function drop(cache: Cache): void {
    texts.delete(cache);
    if (newest === cache) newest = undefined;
    cache.dispose();
  }

  /** The cache of a text that wants `own`; where there is no room for one with what all want, one with what it wants itself. */
  function cacheFor(own: readonly number[]): Cache {
    for (const tap of own) wanted.add(tap);
    if (newest !== undefined && gives(newest, wanted)) return newest;
    if (newest !== undefined && texts.get(newest) === 0) drop(newest);
    try {
      newest = create([...wanted].sort((a, b) => a - b));
      texts.set(newest, 0);
      return newest;
    } catch (error) {
      const { size } = wanted;
      const before = newest?.taps ?? [];
      wanted = new Set([...before, ...own]);
      if (wanted.size < size) return cacheFor(own);
      wanted = new Set(before);
      throw error;
    }
  }

  return {
    lease(own = []) {
      for (const tap of own) wanted.add(tap);
      let held: Cache | undefined;
      const move = (to: Cache | undefined) => {
        const left = held;
        held = to;
        if (to !== undefined) texts.set(to, texts.get(to)! + 1);
        if (left === undefined || !texts.has(left)) return;
        texts.set(left, texts.get(left)! - 1);
        if (texts.get(left) === 0 && left !== newest) drop(left);
      };
      return {
        cache() {
          const cache = cacheFor(own);
          if (cache !== held) move(cache);
          return cache;
        },
        end: () => move(undefined),
      };
    },
    has: (cache) => texts.has(cache),
    dispose() {
      for (const cache of [...texts.keys()]) drop(cache);
    },
  };
}

function gives({ taps }: Cache, wanted: Iterable<number>): boolean {
  return [...wanted].every((tap) => taps.includes(tap));
}
