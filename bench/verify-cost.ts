// The verify-cost ladder: v(n) = time of a forward of n rows / time of a forward of 1 row, n = 1 .. 16. Speculation pays
// only where v is flat. Rows follow a cached prefix, and every row gets logits, as in verification.
import type { Backend } from '../src/kernels/backend.ts';
import { loadModel } from '../src/models/load.ts';
import { modelAt } from './host.ts';
import { type BenchOptions, digits, measure, printJson, printTable, spread } from './measure.ts';
import { randomModel, SMALL, TINY_LLAMA_SLICE } from './random-model.ts';

const PREFIX = 64;
const COUNTS = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16];

/** The bench. */
export async function verifyCost(backend: Backend, options: BenchOptions): Promise<void> {
  const { dtype, model: folder, smoke } = options;
  const contextLength = PREFIX + 32;
  const model =
    folder === undefined
      ? randomModel(backend, smoke ? SMALL : TINY_LLAMA_SLICE, dtype, contextLength)
      : await loadModel(modelAt(folder), { backend, dtype, contextLength, maxRows: 16 });
  const cache = model.createCache();
  const sequence = cache.sequence();
  const { vocab } = model.config;
  const token = (index: number) => (7 * index + 3) % vocab;
  await model.forward(cache, [
    { sequence, tokens: Array.from({ length: PREFIX }, (_, index) => token(index)) },
  ]);
  const tasks = COUNTS.map((count) => {
    const draft = { tokens: Array.from({ length: count }, (_, index) => token(index + 5)) };
    return {
      name: String(count),
      run: () => model.forward(cache, [{ sequence, tokens: [], draft }]),
    };
  });
  const timings = await measure(tasks, { rounds: smoke ? 1 : (options.rounds ?? 11) });
  const one = timings.get('1')!;
  const ladder = COUNTS.map((count) => {
    const timing = timings.get(String(count))!;
    return { rows: count, v: timing.median / one.median, ...timing };
  });
  printTable([
    ['rows', 'ms', 'v(n)', 'per row'],
    ...ladder.map(({ rows, v, ...timing }) => [
      String(rows),
      spread(timing),
      v.toFixed(2),
      (v / rows).toFixed(2),
    ]),
  ]);
  const bytes =
    folder ?? (smoke ? 'small random' : 'two layers of the TinyLlama-1.1B shape, random');
  console.log(
    `${bytes}; ${model.report.executor}; one row reads its weights in ${digits(one.median)} ms`,
  );
  printJson('verify-cost', options, {
    model: bytes,
    executor: model.report.executor,
    prefix: PREFIX,
    ladder,
  });
  model.dispose();
}
