// Decoding texts of several classes: plain against every drafter on the embedded pair, in turns, greedy and sampled with
// shared noise; of each drafter a fixed draft length, and the one that it chooses by what it measures. The tokens are
// compared in every run: a drafter that changes them has no speed. Heads with random weights show what drafting with a head
// costs, on one class; their acceptance, and so their speed, means nothing.
import type { Backend } from '../src/kernels/backend.ts';
import { type LoadedModel, load } from '../src/models/load.ts';
import { layerSkip } from '../src/speculate/drafters/layer-skip.ts';
import { draftModel } from '../src/speculate/drafters/model.ts';
import { ngram } from '../src/speculate/drafters/ngram.ts';
import { none } from '../src/speculate/drafters/none.ts';
import { prediction } from '../src/speculate/drafters/prediction.ts';
import { suffix } from '../src/speculate/drafters/suffix.ts';
import { type GenerateResult, generate, type Prompt } from '../src/speculate/generate.ts';
import { type Drafters, type TimedDrafter, timedDrafter } from './draft-cost.ts';
import { openHeads } from './heads.ts';
import { embedded } from './host.ts';
import {
  type BenchOptions,
  digits,
  measure,
  median,
  printJson,
  printTable,
  type Timing,
} from './measure.ts';

/** Texts that a drafter for stories foresees well, less well, by copying, and not at all. */
const CLASSES: Readonly<Record<string, readonly Prompt[]>> = {
  story: ['Once upon a time', 'Lily and Tom went to the park. They saw'],
  dialogue: [
    '"Can we play?" asked Tom. "Yes," said Lily. "Can we run?" asked Tom. "',
    'Mom said, "No." Ben said, "Please?" Mom said, "',
  ],
  list: [
    'One cat. One dog. One cat. One dog. One cat. One dog. One cat. One dog. One',
    'red, blue, green, red, blue, green, red, blue, green, red, blue,',
  ],
  code: [
    'for (let i = 0; i < n; i++) { sum += list[i]; } return sum / n;',
    '{"a": [1, 2], "b": {"c": [',
  ],
  noise: [
    Array.from({ length: 24 }, (_, index) => 5 + ((index * index * 97 + 31 * index) % 900)),
    Array.from({ length: 24 }, (_, index) => 5 + ((index * 577 + 13) % 900)),
  ],
};

/** A class of prompts at a temperature with one drafter. */
interface Row extends Timing {
  readonly tokens: number;
  readonly forwards: number;
  readonly accepted: number;
  readonly drafts: number;
  /** Speed over that of plain decoding in the same turns. */
  readonly ratio: number;
  /**
   * The same from the rounds alone, every forward at its time in the ladders at the end: little noise of the machine. A drafter
   * that does not say what it costs has its median.
   */
  readonly priced: number;
  /** Milliseconds of a plain step in the same turns, and of drafting a level; NaN, in JSON null, where nothing was drafted. */
  readonly stepMs: number;
  readonly levelMs: number;
  /** The second over the first. */
  readonly draftSteps: number;
  readonly why: string;
}

/** The bench. */
export async function decode(backend: Backend, options: BenchOptions): Promise<void> {
  const dtype = options.dtype;
  const target = await load(options.model ?? embedded('target'), { backend, dtype });
  const draft = await load(embedded('draft'), { backend, dtype });
  const heads = await openHeads(target, options);
  const drafters = { ...draftersOf(target, draft, options.drafter), ...heads.given };
  const classes = Object.entries(CLASSES)
    .filter(([name]) => name.includes(options.filter))
    .slice(0, options.smoke ? 1 : undefined);
  const rows = [
    [
      'text, drafter',
      'tokens/s',
      'against plain',
      'by ladder',
      'forwards per token',
      'accepted',
      'draft / step',
    ],
  ];
  const results: Record<string, Row> = {};
  for (const temperature of options.smoke ? [0] : [0, 0.8])
    for (const [name, prompts] of classes) {
      const first = rows.length === 1;
      const own = { ...drafters, ...(await predictionsOf(target, prompts, options)) };
      const all = first ? { ...own, ...heads.random } : own;
      const found = await runClass(target, all, { prompts, temperature, options });
      for (const [drafter, row] of Object.entries(found)) {
        const label = `${name}${temperature > 0 ? ` at ${temperature}` : ''}, ${drafter}`;
        results[label] = row;
        rows.push([label, ...cells(row)]);
      }
    }
  printTable(rows);
  for (const line of verdict(results)) console.log(line);
  if (Object.keys(heads.random).length > 0)
    console.log(
      'random heads: one layer, weights from a seed; what drafting costs is real, what is accepted means nothing',
    );
  printJson('decode', options, results);
  heads.dispose();
  target.dispose();
  draft.dispose();
}

function draftersOf(target: LoadedModel, draft: LoadedModel, filter: string): Drafters {
  const model = draftModel(draft.model);
  const tree = draftModel(draft.model, { branching: [3, 2, 1] });
  const best = draftModel(draft.model, { best: { ladder: target.model.ladder } });
  const half = layerSkip(target.model, { layers: Math.ceil(target.model.config.layers / 2) });
  // Every turn writes the same texts again, which it must not have seen.
  const copy = suffix({ earlierTokens: 0 });
  const copies = suffix({ earlierTokens: 0, tree: true, factor: 2, offset: 2 });
  const all: Drafters = {
    'ngram, 4': { drafter: ngram(), draftLength: 4 },
    'ngram, auto': { drafter: ngram(), draftLength: 'auto' },
    'ngram tree of 3, auto': { drafter: ngram({ branches: 3 }), draftLength: 'auto' },
    'suffix, 4': { drafter: copy, draftLength: 4 },
    'suffix, auto': { drafter: copy, draftLength: 'auto' },
    'suffix tree, auto': { drafter: copies, draftLength: 'auto' },
    'model, 2': { drafter: model, draftLength: 2 },
    'model, 4': { drafter: model, draftLength: 4 },
    'model, auto': { drafter: model, draftLength: 'auto' },
    'tree 3x2x1, 9': { drafter: tree, draftLength: 9 },
    'tree 3x2x1, auto': { drafter: tree, draftLength: 'auto' },
    'best tree, 9': { drafter: best, draftLength: 9 },
    'best tree, auto': { drafter: best, draftLength: 'auto' },
    'half the layers, 2': { drafter: half, draftLength: 2 },
  };
  const chosen = Object.entries(all).filter(([name]) => name.includes(filter));
  return { plain: { drafter: none(), draftLength: 0 }, ...Object.fromEntries(chosen) };
}

/** Tokens of a text. */
const lengthOf = ({ smoke }: BenchOptions): number => (smoke ? 4 : 96);

/** Of a prediction one token in so many is another, as where a text was edited. */
const EDITED = 8;

/** A prediction of the greedy texts of a class, one behind the other, with edits. */
async function predictionsOf(
  target: LoadedModel,
  prompts: readonly Prompt[],
  options: BenchOptions,
): Promise<Drafters> {
  const names = Object.entries({ 'prediction, 4': 4, 'prediction, auto': 'auto' } as const).filter(
    ([name]) => name.includes(options.drafter),
  );
  if (names.length === 0) return {};
  const texts: number[] = [];
  for (const prompt of prompts) {
    const { tokens } = await generate(target, prompt, {
      maxTokens: lengthOf(options),
      ignoreEos: true,
    });
    texts.push(...tokens);
  }
  const { vocab } = target.model.config;
  const tokens = texts.map((token, at) =>
    at % EDITED === EDITED - 1 ? (token + 1) % vocab : token,
  );
  const drafter = prediction({ tokens });
  return Object.fromEntries(names.map(([name, draftLength]) => [name, { drafter, draftLength }]));
}

/** A text, and how many of its tokens the drafter has seen. */
type Written = GenerateResult & { readonly reach: number };

/** Every drafter on the prompts of a class, in turns with plain decoding. */
async function runClass(
  target: LoadedModel,
  drafters: Drafters,
  {
    prompts,
    temperature,
    options,
  }: {
    readonly prompts: readonly Prompt[];
    readonly temperature: number;
    readonly options: BenchOptions;
  },
): Promise<Record<string, Row>> {
  const { smoke, rounds = 5 } = options;
  const last = new Map<string, readonly Written[]>();
  const common = { temperature, maxTokens: lengthOf(options), ignoreEos: true, seed: 1 };
  const steps: number[] = [];
  const timed = new Map<string, TimedDrafter>();
  for (const [name, { drafter }] of Object.entries(drafters))
    timed.set(name, timedDrafter(drafter));
  const tasks = Object.entries(drafters).map(([name, { draftLength }]) => ({
    name,
    async run() {
      const { drafter, takeReach } = timed.get(name)!;
      const all: Written[] = [];
      for (const prompt of smoke ? prompts.slice(0, 1) : prompts) {
        const result = await generate(target, prompt, { drafter, draftLength, ...common });
        all.push({ ...result, reach: takeReach() });
      }
      last.set(name, all);
      if (name === 'plain') for (const { stats } of all) steps.push(1000 / stats.tokensPerSecond);
    },
  }));
  const timings = await measure(tasks, { rounds: smoke ? 1 : rounds });
  const texts = (name: string) => JSON.stringify(last.get(name)!.map(({ tokens }) => tokens));
  const stepMs = median(steps);
  const rows: Record<string, Row> = {};
  for (const [name, timing] of timings) {
    if (texts(name) !== texts('plain'))
      throw new Error(
        `decode: expected the tokens of plain decoding from ${name} at temperature ${temperature}`,
      );
    const all = last.get(name)!;
    const levelMs = timed.get(name)!.levelMs();
    const sum = (pick: (result: Written) => number) =>
      all.reduce((total, result) => total + pick(result), 0);
    rows[name] = {
      ...timing,
      tokens: sum(({ tokens }) => tokens.length),
      forwards: sum(({ stats }) => stats.targetForwards),
      accepted: sum(({ stats }) => stats.acceptedTokens),
      drafts: sum(({ stats }) => stats.drafts),
      ratio: timings.get('plain')!.median / timing.median,
      priced: await priceOf(all, timed.get(name)!, target),
      stepMs,
      levelMs,
      draftSteps: levelMs / stepMs,
      why: all[all.length - 1].stats.explain(),
    };
  }
  return rows;
}

/** Plain steps of the texts over the time of their rounds after the first, both by the ladders. */
async function priceOf(
  results: readonly Written[],
  { drafter, levelMs }: TimedDrafter,
  { model: { ladder } }: LoadedModel,
): Promise<number> {
  const stepMs = ladder.ms(1) ?? 0;
  const cost = await drafter.cost?.();
  let tokens = 0;
  let ms = 0;
  for (const { tokens: all, stats, reach } of results) {
    const { roundsByDraft, draftLength } = stats.drafting;
    tokens += all.length - (draftLength === 'auto' ? 1 : stats.tokensPerForward);
    for (const [drafted, count] of roundsByDraft.entries()) ms += count * ladder.ms(1 + drafted)!;
    if (stats.drafts === 0) continue;
    // A drafter that does not say what it costs drafts chains; their levels were timed.
    if (cost === undefined) {
      ms += stats.draftedTokens * levelMs();
      continue;
    }
    // A row for every token that it drafted, in forwards of their own, and for every one that it had to read.
    const read = reach - stats.acceptedTokens - stats.drafts;
    ms += stats.draftedTokens * cost.draftMs(1) + Math.max(0, read) * cost.missedMs;
  }
  return (tokens * stepMs) / ms;
}

function cells(row: Row): string[] {
  const { tokens, forwards, accepted, drafts, ratio, priced, draftSteps, ...timing } = row;
  const perSecond = (ms: number) => (1000 * tokens) / ms;
  const spread = (perSecond(timing.low) - perSecond(timing.high)) / 2;
  return [
    `${perSecond(timing.median).toFixed(1)} ± ${spread.toFixed(1)}`,
    `${ratio.toFixed(2)}x`,
    `${priced.toFixed(2)}x`,
    (forwards / tokens).toFixed(2),
    drafts > 0 ? (accepted / drafts).toFixed(2) : '–',
    digits(draftSteps),
  ];
}

/** Of every drafter that chose its length, the class that it served worst. */
function verdict(results: Readonly<Record<string, Row>>): string[] {
  const worst = new Map<string, { readonly text: string; readonly row: Row }>();
  for (const [label, row] of Object.entries(results)) {
    const [, text, drafter] = /^(.*?), (.*, auto)$/.exec(label) ?? [];
    if (drafter === undefined) continue;
    const before = worst.get(drafter);
    if (before === undefined || row.priced < before.row.priced) worst.set(drafter, { text, row });
  }
  return [...worst].map(
    ([drafter, { text, row }]) =>
      `${drafter}: worst on ${text}, ${digits(row.priced)}x of plain by the ladder, ${digits(row.ratio)}x by the clock; it ${row.why}`,
  );
}
