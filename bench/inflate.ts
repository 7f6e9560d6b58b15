// The embedded target as it is and inflated: that both write the same text, what a token of each costs, and what the draft
// model gains on the inflated one, in turns.
import type { Backend } from '../src/kernels/backend.ts';
import { isBlocked } from '../src/kernels/blocks.ts';
import { bytesPerElement } from '../src/kernels/dtype.ts';
import { type LoadedModel, load } from '../src/models/load.ts';
import { draftModel } from '../src/speculate/drafters/model.ts';
import { none } from '../src/speculate/drafters/none.ts';
import { type GenerateResult, generate } from '../src/speculate/generate.ts';
import { argmax } from '../src/speculate/sample.ts';
import { embedded } from './host.ts';
import { type BenchOptions, digits, measure, printJson, printTable, spread } from './measure.ts';

const PROMPT = 'Once upon a time';
const LENGTHS = [2, 3, 4, 5, 6];
/** Between the logits of both models; a wrong share or copy is off by whole numbers. */
const TOLERANCE = 1e-3;

/** The bench. Throws when the inflated model says anything else than the original. */
export async function inflation(backend: Backend, options: BenchOptions): Promise<void> {
  const { dtype, smoke } = options;
  const path = options.model ?? embedded('target');
  const parameters = options.parameters ?? (smoke ? 6e6 : 100e6);
  if (isBlocked(dtype))
    throw new Error(`inflate: expected f32, bf16 or f16, as blocks change the text, got ${dtype}`);
  const models = {
    original: await load(path, { backend, dtype }),
    inflated: await load(path, { backend, dtype, inflate: { parameters } }),
  };
  const { from, to } = models.inflated.model.config.inflation!;
  const steps = Object.entries(models).map(([name, model]) => ({ name, ...stepOf(model) }));
  const maxTokens = smoke ? 4 : 96;
  const [original, inflated] = await Promise.all(steps.map(({ text }) => text(maxTokens)));
  const worst = difference(original.logits, inflated.logits);
  if (original.tokens.join() !== inflated.tokens.join() || !(worst <= TOLERANCE))
    throw new Error(
      `inflate: expected the tokens of the original and logits within ${TOLERANCE}, got ${worst} and [${inflated.tokens}] for [${original.tokens}]`,
    );
  const rounds = smoke ? 1 : (options.rounds ?? 7);
  const timings = await measure(steps, { rounds, iterations: smoke ? 1 : 8 });
  const shown = Object.entries(models).map(([name, { model, loadMs }]) => {
    const { config } = model;
    const { width, layers, heads, kvHeads, ffnWidth } = config;
    const shape = { layers, width, heads, kvHeads, ffnWidth };
    const count = name === 'inflated' ? to : from;
    // Vectors are f32, and a thousandth of the parameters.
    const bytes = count * bytesPerElement[dtype];
    return { name, shape, count, bytes, loadMs, timing: timings.get(name)! };
  });
  printTable([
    [
      'model',
      'layers',
      'width',
      'heads',
      'feed-forward',
      'parameters',
      'MB',
      'load ms',
      'ms/token',
      'GB/s',
    ],
    ...shown.map(({ name, shape, count, bytes, loadMs, timing }) => [
      name,
      String(shape.layers),
      String(shape.width),
      `${shape.heads}:${shape.kvHeads}`,
      String(shape.ffnWidth),
      `${(count / 1e6).toFixed(1)}M`,
      (bytes / 1e6).toFixed(0),
      digits(loadMs),
      spread(timing),
      (bytes / timing.median / 1e6).toFixed(1),
    ]),
  ]);
  console.log(`same ${maxTokens} tokens; largest difference of logits ${worst.toExponential(1)}\n`);
  const drafts = await speculation(models.inflated, { backend, rounds, maxTokens, dtype });
  printJson('inflate', options, {
    executor: backend.report.executor,
    worst,
    models: shown,
    drafts,
  });
  for (const { dispose } of Object.values(models)) dispose();
}

/** One more token after the prompt, and greedy decoding with the logits of every step. */
function stepOf({ model, tokenizer }: LoadedModel) {
  const prompt = tokenizer.encode(PROMPT);
  const cache = model.createCache();
  const sequence = cache.sequence();
  return {
    async run() {
      sequence.truncate(prompt.length - 1);
      await model.forward(cache, [{ sequence, tokens: prompt.slice(-1) }]);
    },
    async text(count: number) {
      const tokens: number[] = [];
      const logits: Float32Array[] = [];
      let next: readonly number[] = prompt;
      while (tokens.length < count) {
        const [row] = (await model.forward(cache, [{ sequence, tokens: next }])).logits;
        logits.push(row);
        next = [argmax(row)];
        tokens.push(next[0]);
      }
      return { tokens, logits };
    },
  };
}

function difference(a: readonly Float32Array[], b: readonly Float32Array[]): number {
  let worst = 0;
  for (const [row, values] of a.entries())
    for (const [id, value] of values.entries())
      worst = Math.max(worst, Math.abs(value - b[row][id]));
  return worst;
}

/** Plain decoding against drafts of every length by the embedded draft model; prints and returns the times. */
async function speculation(
  target: LoadedModel,
  {
    backend,
    rounds,
    maxTokens,
    dtype,
  }: Pick<BenchOptions, 'dtype'> & { backend: Backend; rounds: number; maxTokens: number },
) {
  const draft = await load(embedded('draft'), { backend, dtype });
  const last = new Map<string, GenerateResult>();
  const task = (name: string, draftLength: number) => ({
    name,
    async run() {
      const drafter = draftLength === 0 ? none() : draftModel(draft.model);
      const settings = { drafter, draftLength, maxTokens, ignoreEos: true };
      last.set(name, await generate(target, PROMPT, settings));
      drafter.dispose?.();
    },
  });
  const tasks = [task('plain', 0), ...LENGTHS.map((length) => task(`drafts of ${length}`, length))];
  const timings = await measure(tasks, { rounds });
  const plain = last.get('plain')!;
  const results = tasks.map(({ name }) => {
    const { tokens, stats } = last.get(name)!;
    if (tokens.join() !== plain.tokens.join())
      throw new Error(`inflate: expected the tokens of plain decoding from ${name}`);
    const timing = timings.get(name)!;
    return {
      name,
      ...timing,
      perSecond: (1000 * tokens.length) / timing.median,
      ratio: timings.get('plain')!.median / timing.median,
      forwards: stats.targetForwards / tokens.length,
      accepted: stats.drafts > 0 ? stats.meanAcceptedLength : null,
    };
  });
  printTable([
    ['inflated', 'tokens/s', 'against plain', 'forwards per token', 'accepted per draft'],
    ...results.map(({ name, perSecond, ratio, forwards, accepted }) => [
      name,
      perSecond.toFixed(1),
      `${ratio.toFixed(2)}x`,
      forwards.toFixed(2),
      accepted === null ? '–' : accepted.toFixed(2),
    ]),
  ]);
  draft.dispose();
  return results;
}
