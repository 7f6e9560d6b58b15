// Arrays that are used again in every round. A vocabulary is large: rows of logits and the laws made of them, made anew in every round, wait
// for the collector by tens of megabytes, because V8 thinks of them as little until there are very many.

/** Gives arrays of any length until it is cleared, which takes all of them back. */
export interface Arena {
  f32(length: number): Float32Array;
  f64(length: number): Float64Array;
  clear(): void;
}

/** An arena that grows to what one round needs. */
export function createArena(): Arena {
  const floats = createStack((length) => new Float32Array(length));
  const doubles = createStack((length) => new Float64Array(length));
  return {
    f32: floats.take,
    f64: doubles.take,
    clear() {
      floats.clear();
      doubles.clear();
    },
  };
}

/** One array, of which parts are taken from the front on; a larger one where it does not suffice. */
function createStack<T extends { readonly length: number; subarray(from: number, to: number): T }>(
  make: (length: number) => T,
) {
  let all = make(0);
  let used = 0;
  return {
    take(length: number): T {
      if (used + length > all.length) {
        all = make(used + length);
        used = 0;
      }
      used += length;
      return all.subarray(used - length, used);
    },
    clear() {
      used = 0;
    },
  };
}
