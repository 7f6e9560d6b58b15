// The layouts that are converted, in the order in which they are looked for. A new one is a file and a line here.
import { OptionError, UnsupportedError } from '../../../kernels/errors.ts';
import type { Json } from '../config.ts';
import { deepseekMtp } from './deepseek-mtp.ts';
import { dflash } from './dflash.ts';
import { eagle } from './eagle.ts';
import { eagle3, peagle } from './eagle3.ts';
import type { ResearchFormat } from './format.ts';
import { medusaFormat, medusaVllmFormat } from './medusa.ts';
import { mlpFormat } from './mlp.ts';
import { mtp } from './mtp.ts';
import { some } from './some.ts';

/** Every layout by name; what others contain comes first. */
export const LAYOUTS: Readonly<Record<string, ResearchFormat>> = {
  peagle,
  eagle3,
  dflash,
  eagle,
  mtp,
  'deepseek-mtp': deepseekMtp,
  mlp: mlpFormat,
  medusa: medusaFormat,
  'medusa-vllm': medusaVllmFormat,
};

/** Their algorithms, each once. */
export const CONVERTED: readonly string[] = [
  ...new Set(Object.values(LAYOUTS).map(({ algorithm }) => algorithm)),
];

/** Algorithms of papers whose heads are those of another, by their names. */
const PAPERS: Readonly<Record<string, string>> = { hass: 'eagle' };

/** What `algorithm` may be asked for by. */
export const ALGORITHM_NAMES: readonly string[] = [...CONVERTED, ...Object.keys(PAPERS)];

/** Layouts that are known and not converted: a sign of each, and what to say. */
const REFUSED: readonly (readonly [RegExp, string])[] = [
  [/^(markov_head|confidence_head)\./, 'a DSpark head, whose research layout is not converted'],
  [
    /^model\.mtp_layers\./,
    "MiMo's multi-token prediction, which is not converted: its input_proj takes the state before the token",
  ],
  [/^model\.layers\.0\./, 'a causal language model without one (it is a draft model as it is)'],
];

/** A layout and its name. */
export interface Layout {
  readonly name: string;
  readonly format: ResearchFormat;
}

const entries: readonly Layout[] = Object.entries(LAYOUTS).map(([name, format]) => ({
  name,
  format,
}));

/** The layout of a source. With one layout of the `algorithm` asked for, that one; else what config and names say. */
export function layoutOf(
  where: string,
  { own, names }: { readonly own: Json; readonly names: ReadonlySet<string> },
  algorithm?: string,
): Layout {
  const wanted = algorithm && Object.hasOwn(PAPERS, algorithm) ? PAPERS[algorithm] : algorithm;
  const asked = entries.filter(({ format }) => wanted === undefined || format.algorithm === wanted);
  if (asked.length === 0)
    throw new OptionError(
      `algorithm: expected one of ${ALGORITHM_NAMES.join(', ')}, got ${algorithm}`,
    );
  if (asked.length === 1) return asked[0];
  const refusal = REFUSED.find(([sign]) => [...names].some((name) => sign.test(name)));
  const found = asked.find(({ format }) => format.matches(own, names));
  // A head that lies in its target, or that has something more, is told by what is its own.
  if (found !== undefined && (refusal === undefined || found.format.includes)) return found;
  const expected = `expected the tensors of ${asked.map(({ name }) => name).join(', ')}`;
  if (refusal !== undefined) throw new UnsupportedError(`${where}: ${expected}, got ${refusal[1]}`);
  throw new UnsupportedError(
    `${where}: ${expected}, got ${some([...names])}${closest(asked, names)}`,
  );
}

/** The layout that a speculator goes back to: by name, or the first of its algorithm. */
export function layoutNamed(name: string | undefined, algorithm: string): Layout | undefined {
  const ofAlgorithm = entries.filter(({ format }) => format.algorithm === algorithm);
  return name === undefined ? ofAlgorithm[0] : ofAlgorithm.find((each) => each.name === name);
}

/** The layout that knows most of the names, and what speaks for and against it. */
function closest(layouts: readonly Layout[], names: ReadonlySet<string>): string {
  const ranked = layouts
    .map(({ name, format }) => {
      const [known, unknown] = [true, false].map((wanted) =>
        [...names].filter((each) => (format.fate(each) !== undefined) === wanted),
      );
      return { name, known, unknown };
    })
    // Of equals the plainer, which comes later.
    .toReversed()
    .toSorted((a, b) => b.known.length - a.known.length);
  const [{ name, known, unknown }] = ranked;
  if (known.length === 0) return '';
  const against = unknown.length > 0 ? `, none for ${some(unknown)}` : ', but lacks its layer';
  return `; closest is ${name}, which has a place for ${some(known)}${against}`;
}
