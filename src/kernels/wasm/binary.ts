// The one change made to a compiled module: a memory that is not shared, for engines that share none. Atomic instructions
// are valid on both kinds, so the rest of the bytes stays as it is.

const IMPORTS = 2;
/** Kinds of imports. */
const [FUNCTION, TABLE, MEMORY, GLOBAL] = [0, 1, 2, 3];
const SHARED = 2;

/** A copy of a module whose imported memories are declared as not shared. (WebAssembly 2.0, 5.5: binary format of modules.) */
export function withoutSharing(bytes: Uint8Array): Uint8Array {
  const out = bytes.slice();
  let at = 8;
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = out[at++];
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  const limits = () => {
    const flags = out[at++];
    number();
    if (flags & 1) number();
  };
  const skip = (count: number) => {
    at += count;
  };
  const entry = () => {
    for (let name = 0; name < 2; name++) skip(number());
    const kind = out[at++];
    if (kind === FUNCTION) number();
    else if (kind === GLOBAL) skip(2);
    else if (kind === TABLE) {
      skip(1);
      limits();
    } else if (kind === MEMORY) {
      out[at] &= ~SHARED;
      limits();
    } else throw new Error(`internal: the module has an import of kind ${kind}`);
  };
  while (at < out.length) {
    const section = out[at++];
    const size = number();
    const end = at + size;
    if (section === IMPORTS) for (let count = number(); count > 0; count--) entry();
    at = end;
  }
  return out;
}
