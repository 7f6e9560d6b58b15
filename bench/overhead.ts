// What a plan costs beyond its kernels: a forward, the run of its plan, and the time inside the kernels' module.
import type { Backend } from '../src/kernels/backend.ts';
import { engine } from '../src/kernels/wasm/engine.ts';
import type { Decoder } from '../src/models/decoder.ts';
import { loadModel } from '../src/models/load.ts';
import { embedded } from './host.ts';
import { type BenchOptions, digits, median, printJson, printTable } from './measure.ts';

const PREFIX = 100;
const COUNTS = [1, 4];

/** Milliseconds inside the kernels. */
export interface KernelClock {
  ms: number;
}

/** Counts the time inside the kernels of wasm backends that are made from now on. */
export function watchKernels(): KernelClock {
  const clock = { ms: 0 };
  const { Instance } = engine;
  const watched = class {
    readonly exports: unknown;

    constructor(...args: ConstructorParameters<typeof Instance>) {
      const exports = new Instance(...args).exports as { run(control: number): void };
      this.exports = {
        ...exports,
        run(control: number) {
          const startMs = performance.now();
          exports.run(control);
          clock.ms += performance.now() - startMs;
        },
      };
    }
  };
  Object.assign(engine, { Instance: watched });
  return clock;
}

/** The bench: the embedded pair, or `--model`; the clock is from before the backend. */
export async function overhead(
  backend: Backend,
  options: BenchOptions,
  clock: KernelClock,
): Promise<void> {
  const rounds = options.smoke ? 3 : (options.rounds ?? 1000);
  let plan = 0;
  const timed: Backend = {
    ...backend,
    run(program, call) {
      clock.ms = 0;
      const startMs = performance.now();
      backend.run(program, call);
      plan = performance.now() - startMs;
    },
  };
  const folders = options.model ? [options.model] : ['target', 'draft'].map(embedded);
  const results = [];
  for (const folder of folders) {
    const model = await loadModel(folder, { backend: timed, contextLength: PREFIX + 16 });
    const measured = () => ({ plan, kernels: clock.ms });
    for (const rows of COUNTS)
      results.push({
        model: folder.split('/').at(-1)!,
        rows,
        ...(await split(model, rows, rounds, measured)),
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
  const { executor } = backend.report;
  console.log(`${executor}; medians of ${rounds}`);
  printJson('overhead', options, { executor, rounds, results });
}

/** Medians of forwards of `rows` rows; `measured` is asked after each. */
async function split(
  model: Decoder,
  rows: number,
  rounds: number,
  measured: () => { readonly plan: number; readonly kernels: number },
) {
  const cache = model.createCache();
  const sequence = cache.sequence();
  const token = (index: number) => (7 * index + 3) % model.config.vocab;
  await model.forward(cache, [
    { sequence, tokens: Array.from({ length: PREFIX }, (_, index) => token(index)) },
  ]);
  const draft = { tokens: Array.from({ length: rows }, (_, index) => token(index + 5)) };
  const samples = { forward: [] as number[], plan: [] as number[], kernels: [] as number[] };
  for (let round = -Math.ceil(rounds / 2); round < rounds; round++) {
    const startMs = performance.now();
    await model.forward(cache, [{ sequence, tokens: [], draft }]);
    const forward = performance.now() - startMs;
    if (round < 0) continue;
    samples.forward.push(forward);
    samples.plan.push(measured().plan);
    samples.kernels.push(measured().kernels);
  }
  cache.dispose();
  return {
    forward: median(samples.forward),
    plan: median(samples.plan),
    kernels: median(samples.kernels),
  };
}
