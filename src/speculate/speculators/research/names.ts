// Names of tensors in two layouts: prefixes that become others, and whole names that become others; and those of a decoder layer,
// which are the same everywhere.

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

const IN_LAYER = [
  'input_layernorm',
  'post_attention_layernorm',
  'self_attn.q_proj',
  'self_attn.k_proj',
  'self_attn.v_proj',
  'self_attn.o_proj',
  'self_attn.q_norm',
  'self_attn.k_norm',
  'mlp.gate_proj',
  'mlp.up_proj',
  'mlp.down_proj',
];

/** Whether what follows the prefix of a dense decoder layer is one of its tensors. */
export const isInLayer = (rest: string): boolean =>
  IN_LAYER.some((name) => rest === `${name}.weight` || rest === `${name}.bias`);

/** The weights of such a layer; only Qwen3's has norms of queries and keys. */
export const layerNames = (prefix: string, type: unknown): string[] =>
  IN_LAYER.filter((name) => type === 'qwen3' || !/[qk]_norm/.test(name)).map(
    (name) => `${prefix}.${name}.weight`,
  );

function rename(name: string, exact: Pairs, starts: Pairs): string | undefined {
  if (Object.hasOwn(exact, name)) return exact[name];
  const start = Object.entries(starts).find(([from]) => name.startsWith(from));
  return start && start[1] + name.slice(start[0].length);
}

const swapped = (pairs: Pairs): Pairs =>
  Object.fromEntries(Object.entries(pairs).map(([from, to]) => [to, from]));
