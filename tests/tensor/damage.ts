// Files that something went wrong with.
import fc from 'fast-check';

/** `bytes` with one to four of those up to `last` changed and up to eight cut off the end. */
export function damaged(bytes: Uint8Array, last = bytes.length - 1): fc.Arbitrary<Uint8Array> {
  const change = fc.record({ index: fc.nat({ max: last }), value: fc.nat({ max: 255 }) });
  return fc
    .tuple(fc.array(change, { minLength: 1, maxLength: 4 }), fc.nat({ max: 8 }))
    .map(([changes, cut]) => {
      const broken = bytes.slice(0, bytes.length - cut);
      // Beyond the end, an assignment to a typed array does nothing.
      for (const { index, value } of changes) broken[index] = value;
      return broken;
    });
}
