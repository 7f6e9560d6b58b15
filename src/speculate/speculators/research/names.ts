// Names of tensors in two layouts: prefixes that become others, and whole names that become others.

/** A way there and back. */
export interface Renames {
  /** The new name; undefined for one that is not of the layout. */
  to(name: string): string | undefined;
  back(name: string): string | undefined;
}

type Pairs = Readonly<Record<string, string>>;

/** Whole names win over prefixes. */
export function renames(prefixes: Pairs, names: Pairs): Renames {
  const [starts, exact] = [swapped(prefixes), swapped(names)];
  return {
    to: (name) => rename(name, names, prefixes),
    back: (name) => rename(name, exact, starts),
  };
}

/** Names that stay. */
export const kept = (names: readonly string[]): Pairs =>
  Object.fromEntries(names.map((name) => [name, name]));

function rename(name: string, exact: Pairs, starts: Pairs): string | undefined {
  if (Object.hasOwn(exact, name)) return exact[name];
  const start = Object.entries(starts).find(([from]) => name.startsWith(from));
  return start && start[1] + name.slice(start[0].length);
}

const swapped = (pairs: Pairs): Pairs =>
  Object.fromEntries(Object.entries(pairs).map(([from, to]) => [to, from]));
