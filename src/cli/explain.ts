// `foretoken explain`: prefill the prompt, then run its last rows once more and show what that forward is made of.
import type { Plan } from '../kernels/plan.ts';
import { explainPlan, formatPlan } from '../tensor/explain.ts';
import { type CliOptions, numberOf, UsageError } from './options.ts';
import { loadTarget, openBackend, promptOf } from './parts.ts';

/** How long steps run before they are timed, and how often they are. */
const WARM_UP_MS = 300;
const RUNS = 9;

/** Runs the command; returns the exit status. */
export async function explain(options: CliOptions, signal: AbortSignal): Promise<number> {
  const rows = numberOf(options, 'rows') ?? 1;
  const prompt = await promptOf(options);
  const backend = await openBackend(options);
  const target = await loadTarget(options, { backend, signal });
  const { model, tokenizer } = target;
  if (!Number.isInteger(rows) || rows < 1 || rows > model.maxRows)
    throw new UsageError(`--rows: expected a whole number from 1 to ${model.maxRows}, got ${rows}`);
  const text =
    typeof prompt === 'string'
      ? tokenizer.encode(prompt)
      : 'messages' in prompt
        ? tokenizer.chat(prompt.messages)
        : prompt;
  // The rows that are explained repeat the last token: they cost what rows of any tokens cost.
  const draft = Array.from({ length: rows - 1 }, () => text[text.length - 1]);
  const cache = model.createCache();
  const sequence = cache.sequence();
  await model.forward(cache, [{ sequence, tokens: text }], { signal });
  const step = async () => {
    sequence.truncate(text.length - 1);
    await model.forward(cache, [{ sequence, tokens: text.slice(-1), draft: { tokens: draft } }], {
      signal,
    });
  };
  const { plan, timings } = await medians(step, () => model.trace(cache));
  const table = explainPlan(plan, {
    extents: { T: rows, K: rows },
    ...(model.report.stepTimings && { timings }),
    visible: text.length + rows - 1,
  });
  if (options.json)
    console.log(JSON.stringify({ report: model.report, rows, prefix: text.length, steps: table }));
  else {
    console.log(
      `${model.report.backend} (${model.report.executor}), ${rows} row${rows > 1 ? 's' : ''} after ${text.length - 1} cached\n`,
    );
    console.log(formatPlan(table, { group: !options.steps }));
    for (const note of model.report.notes) console.log(`note: ${note}`);
  }
  sequence.free();
  cache.dispose();
  target.dispose();
  backend.dispose();
  return 0;
}

/** Times of every step once the code is compiled: medians of several runs. */
async function medians(
  step: () => Promise<void>,
  trace: () => { plan: Plan; timings: Float64Array },
) {
  const { plan, timings } = trace();
  const start = performance.now();
  while (performance.now() - start < WARM_UP_MS) await step();
  const runs: Float64Array[] = [];
  for (let run = 0; run < RUNS; run++) {
    await step();
    runs.push(timings.slice());
  }
  const middle = (index: number) => runs.map((run) => run[index]).sort((a, b) => a - b)[RUNS >> 1];
  return { plan, timings: plan.steps.map((_, index) => middle(index)) };
}
