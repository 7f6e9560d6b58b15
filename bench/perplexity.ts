// What a weight type costs in quality: the perplexity of a text under a model with its matrices in each type, and how far its
// laws are from those in f32 (mean Kullback-Leibler divergence, and how often the most probable token is the same).
import { readFileSync } from 'node:fs';
import type { Backend } from '../src/kernels/backend.ts';
import { type LoadedModel, load } from '../src/models/load.ts';
import { argmax } from '../src/speculate/sample.ts';
import { embedded } from './host.ts';
import { type BenchOptions, DTYPES, digits, printJson, printTable } from './measure.ts';

/** Tokens of one piece of text; each piece is read without what came before. */
const PIECE = 256;
const PIECES = 32;

/** ln of the probabilities of every token, f64 [V]. */
function logLaw(logits: Float32Array): Float64Array {
  const most = logits.reduce((a, b) => Math.max(a, b));
  const sum = logits.reduce((total, value) => total + Math.exp(value - most), 0);
  return Float64Array.from(logits, (value) => value - most - Math.log(sum));
}

/** The laws after every token of a piece but the last. */
async function lawsOf({ model }: LoadedModel, tokens: readonly number[]): Promise<Float64Array[]> {
  const cache = model.createCache();
  const inputs = tokens.slice(0, -1);
  const keep = inputs.map((_, row) => row);
  const { logits } = await model.forward(cache, [
    { sequence: cache.sequence(), tokens: inputs, keep },
  ]);
  cache.dispose();
  return logits.map(logLaw);
}

/** The bench. `--data FILE` is the text; without it a few sentences that say little but run everywhere. */
export async function perplexity(backend: Backend, options: BenchOptions): Promise<void> {
  const folder = options.model ?? embedded('target');
  const text = options.data === undefined ? SAMPLE : readFileSync(options.data, 'utf8');
  const models = new Map<string, LoadedModel>();
  for (const dtype of DTYPES)
    models.set(dtype, await load(folder, { backend, dtype, contextLength: PIECE }));
  const { tokenizer } = models.get('f32')!;
  const all = tokenizer.encode(text.slice(0, 16 * PIECE * PIECES));
  const count = Math.min(options.smoke ? 1 : PIECES, Math.ceil(all.length / PIECE));
  const pieces = Array.from({ length: count }, (_, index) =>
    all.slice(index * PIECE, (index + 1) * PIECE),
  ).filter(({ length }) => length > 1);
  const sums = new Map<
    string,
    { loss: number; divergence: number; same: number; tokens: number }
  >();
  for (const piece of pieces) {
    const exact = await lawsOf(models.get('f32')!, piece);
    for (const [dtype, model] of models) {
      const laws = dtype === 'f32' ? exact : await lawsOf(model, piece);
      const sum = sums.get(dtype) ?? { loss: 0, divergence: 0, same: 0, tokens: 0 };
      for (const [row, law] of laws.entries()) {
        sum.loss -= law[piece[row + 1]];
        sum.divergence += exact[row].reduce((d, p, v) => d + Math.exp(p) * (p - law[v]), 0);
        if (argmax(law) === argmax(exact[row])) sum.same++;
        sum.tokens++;
      }
      sums.set(dtype, sum);
    }
  }
  const rows = [['weights', 'perplexity', 'against f32', 'divergence', 'same first choice']];
  const results: Record<string, unknown> = {};
  const first = sums.get('f32')!;
  for (const [dtype, { loss, divergence, same, tokens }] of sums) {
    const value = Math.exp(loss / tokens);
    const ratio = value / Math.exp(first.loss / first.tokens) - 1;
    rows.push([
      dtype,
      value.toFixed(4),
      `${ratio < 0 ? '' : '+'}${(100 * ratio).toFixed(3)} %`,
      digits(divergence / tokens),
      `${((100 * same) / tokens).toFixed(2)} %`,
    ]);
    results[dtype] = { perplexity: value, divergence: divergence / tokens, same: same / tokens };
  }
  printTable(rows);
  console.log(`${folder}; ${first.tokens} tokens of ${options.data ?? 'a sample'}`);
  printJson('perplexity', options, results);
  for (const model of models.values()) model.dispose();
}

const SAMPLE = `Once upon a time, there was a little girl named Lily. She loved to play outside in the sunshine.
One day, she saw a big tree with red apples. "I want to eat one," she said. Her mom gave her an apple and she was very happy.`;
