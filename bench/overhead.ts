// What a plan costs beyond its kernels: a forward, the run of its plan, and the sum of its steps. The sum comes from runs
// that time every step; the cost of timing and entering one, taken from a plan of steps that do nothing, is taken off.
import { fileURLToPath } from 'node:url';
import type { Backend } from '../src/kernels/backend.ts';
import type { Decoder } from '../src/models/decoder.ts';
import { loadModel } from '../src/models/load.ts';
import { record } from '../src/tensor/record.ts';
import { type BenchOptions, digits, median, printJson, printTable } from './measure.ts';

const PREFIX = 100;
const COUNTS = [1, 4];
/** Steps of the plan that does nothing. */
const EMPTY_STEPS = 100;

const embedded = (name: string) => fileURLToPath(new URL(`../../models/${name}`, import.meta.url));

/** The bench: the embedded pair, or `--model`. */
export async function overhead(backend: Backend, options: BenchOptions): Promise<void> {
  const rounds = options.smoke ? 3 : (options.rounds ?? 300);
  // Timed from outside, the same for every forward.
  let runMs = 0;
  const timed: Backend = {
    ...backend,
    run(program, call) {
      const start = performance.now();
      backend.run(program, call);
      runMs = performance.now() - start;
    },
  };
  const entryMs = emptyStep(backend, rounds);
  const folders = options.model ? [options.model] : ['target', 'draft'].map(embedded);
  const results = [];
  for (const folder of folders) {
    const model = await loadModel(folder, { backend: timed, contextLength: PREFIX + 16 });
    for (const rows of COUNTS)
      results.push({
        model: folder.split('/').at(-1)!,
        rows,
        ...(await split(model, rows, { rounds, entryMs, run: () => runMs })),
      });
    model.dispose();
  }
  printTable([
    ['model', 'rows', 'forward ms', 'plan ms', 'kernels ms', 'plan over kernels'],
    ...results.map(({ model, rows, forward, plan, kernels }) => [
      model,
      String(rows),
      digits(forward),
      digits(plan),
      digits(kernels),
      `${((plan / kernels - 1) * 100).toFixed(1)} %`,
    ]),
  ]);
  console.log(
    `${backend.report.executor}; medians of ${rounds}; a step costs ${digits(entryMs * 1000)} us to enter and time`,
  );
  printJson('overhead', options, { executor: backend.report.executor, rounds, entryMs, results });
}

/** Medians of forwards of `rows` rows, with and without timing the steps, in turns. */
async function split(
  model: Decoder,
  rows: number,
  { rounds, entryMs, run }: { rounds: number; entryMs: number; run: () => number },
) {
  const [plain, stepped] = [model.createCache(), model.createCache()];
  const { timings } = model.trace(stepped);
  const token = (index: number) => (7 * index + 3) % model.config.vocab;
  const sequences = [plain, stepped].map((cache) => ({ cache, sequence: cache.sequence() }));
  const prefix = Array.from({ length: PREFIX }, (_, index) => token(index));
  for (const { cache, sequence } of sequences)
    await model.forward(cache, [{ sequence, tokens: prefix }]);
  const draft = { tokens: Array.from({ length: rows }, (_, index) => token(index + 5)) };
  const samples = { forward: [] as number[], plan: [] as number[], kernels: [] as number[] };
  for (let round = -Math.ceil(rounds / 4); round < rounds; round++)
    for (const { cache, sequence } of sequences) {
      const start = performance.now();
      await model.forward(cache, [{ sequence, tokens: [], draft }]);
      const elapsedMs = performance.now() - start;
      if (round < 0) continue;
      if (cache === plain) {
        samples.forward.push(elapsedMs);
        samples.plan.push(run());
      } else samples.kernels.push(timings.reduce((sum, ms) => sum + ms - entryMs, 0));
    }
  for (const { cache } of sequences) cache.dispose();
  return {
    forward: median(samples.forward),
    plan: median(samples.plan),
    kernels: median(samples.kernels),
  };
}

/** Milliseconds of a step that does next to nothing. */
function emptyStep(backend: Backend, rounds: number): number {
  const plan = record((ops) => {
    let x = ops.input('x', 'f32', [1, 1]);
    for (let step = 0; step < EMPTY_STEPS; step++) x = ops.add(x, x);
    return [x];
  });
  const program = backend.prepare(plan);
  const timings = new Float64Array(EMPTY_STEPS);
  const call = { extents: { T: 1, K: 1 }, inputs: { x: new Float32Array(1) }, timings };
  const totals = Array.from({ length: rounds }, () => {
    backend.run(program, call);
    return timings.reduce((sum, ms) => sum + ms, 0) / EMPTY_STEPS;
  });
  program.dispose();
  return median(totals);
}
