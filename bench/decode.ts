// Decoding a text: plain against every drafter on the embedded pair, in turns, greedy and sampled with shared noise. The
// tokens are compared in every run: a drafter that changes them has no speed.
import { fileURLToPath } from 'node:url';
import type { Backend } from '../src/kernels/backend.ts';
import { load } from '../src/models/load.ts';
import type { Drafter } from '../src/speculate/drafter.ts';
import { draftModel } from '../src/speculate/drafters/model.ts';
import { ngram } from '../src/speculate/drafters/ngram.ts';
import { none } from '../src/speculate/drafters/none.ts';
import { type GenerateResult, generate } from '../src/speculate/generate.ts';
import { type BenchOptions, measure, printJson, printTable } from './measure.ts';

const PROMPTS = [
  'Once upon a time',
  'Lily and Tom went to the park. They saw',
  'The little dog was sad because',
];
const folder = (name: string) => fileURLToPath(new URL(`../../models/${name}`, import.meta.url));

/** The bench. */
export async function decode(backend: Backend, options: BenchOptions): Promise<void> {
  const dtype = options.dtype;
  const target = await load(options.model ?? folder('target'), { backend, dtype });
  const draft = await load(folder('draft'), { backend, dtype });
  const drafters: Readonly<
    Record<string, { readonly drafter: Drafter; readonly draftLength: number }>
  > = {
    plain: { drafter: none(), draftLength: 0 },
    'ngram, 4': { drafter: ngram(), draftLength: 4 },
    'model, 2': { drafter: draftModel(draft.model), draftLength: 2 },
    'model, 4': { drafter: draftModel(draft.model), draftLength: 4 },
    'tree 3x2x1, 9': { drafter: draftModel(draft.model, { branching: [3, 2, 1] }), draftLength: 9 },
  };
  const maxTokens = options.smoke ? 4 : 96;
  const rows = [['drafter', 'tokens/s', 'against plain', 'forwards per token', 'mean accepted']];
  const results: Record<string, unknown> = {};
  for (const temperature of options.smoke ? [0] : [0, 0.8]) {
    const last = new Map<string, GenerateResult[]>();
    const tasks = Object.entries(drafters).map(([name, how]) => ({
      name,
      async run() {
        const all: GenerateResult[] = [];
        for (const prompt of options.smoke ? PROMPTS.slice(0, 1) : PROMPTS)
          all.push(
            await generate(target, prompt, {
              ...how,
              temperature,
              maxTokens,
              ignoreEos: true,
              seed: 1,
            }),
          );
        last.set(name, all);
      },
    }));
    const timings = await measure(tasks, { rounds: options.smoke ? 1 : (options.rounds ?? 5) });
    const plain = last.get('plain')!;
    for (const [name, timing] of timings) {
      const all = last.get(name)!;
      if (
        JSON.stringify(all.map(({ tokens }) => tokens)) !==
        JSON.stringify(plain.map(({ tokens }) => tokens))
      )
        throw new Error(
          `decode: expected the tokens of plain decoding from ${name} at temperature ${temperature}`,
        );
      const tokens = all.reduce((sum, result) => sum + result.tokens.length, 0);
      const forwards = all.reduce((sum, { stats }) => sum + stats.targetForwards, 0);
      const accepted = all.reduce((sum, { stats }) => sum + stats.acceptedTokens, 0);
      const drafts = all.reduce((sum, { stats }) => sum + stats.drafts, 0);
      const ratio = timings.get('plain')!.median / timing.median;
      const perSecond = (ms: number) => (1000 * tokens) / ms;
      const label = `${name}${temperature > 0 ? ` at ${temperature}` : ''}`;
      rows.push([
        label,
        `${perSecond(timing.median).toFixed(1)} ± ${((perSecond(timing.low) - perSecond(timing.high)) / 2).toFixed(1)}`,
        `${ratio.toFixed(2)}x`,
        (forwards / tokens).toFixed(2),
        drafts > 0 ? (accepted / drafts).toFixed(2) : '–',
      ]);
      results[label] = { ...timing, tokens, forwards, accepted, drafts, ratio };
    }
  }
  printTable(rows);
  printJson('decode', options, results);
  target.dispose();
  draft.dispose();
}
