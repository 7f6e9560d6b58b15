// What the tests of heads without attention share: the target, folders of random weights from a seed, and arithmetic in float64
// loops that shares nothing with the first implementation.
import { fileURLToPath } from 'node:url';
import type { Backend } from '../../../src/kernels/backend.ts';
import { cpu } from '../../../src/kernels/cpu/index.ts';
import { reference } from '../../../src/kernels/reference/index.ts';
import { wasm } from '../../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { argmax } from '../../../src/speculate/sample.ts';
import { type TensorData, writeSafetensors } from '../../../src/tensor/safetensors.ts';
import { type FolderSource, memorySource, openFolder } from '../../../src/tensor/source.ts';
import { numbers } from '../../kernels/toy.ts';
import { readTensors } from './float64.ts';

export const TARGET = fileURLToPath(new URL('../../golden/tiny-random-llama-8l', import.meta.url));
export const [WIDTH, VOCAB] = [32, 64];
export const PROMPT = [1, 5, 9, 33, 9, 5, 60, 2, 17];
const TARGET_EPS = 1e-5;

export const BACKENDS: readonly { readonly name: string; open(): Backend }[] = [
  { name: 'reference', open: reference },
  { name: 'cpu', open: cpu },
  { name: 'wasm', open: () => wasm({ threads: 2 }) },
];

export type Vector = readonly number[];
export type Tensors = ReadonlyMap<string, { readonly shape: number[]; readonly data: number[] }>;
export type Shapes = readonly (readonly [string, readonly number[]])[];

/** Random numbers for every weight; gains near one, the others such that sums stay near one. */
export function randomTensors(shapes: Shapes, seed: number): TensorData[] {
  return shapes.map(([name, shape], at) => {
    const data = numbers(
      seed + at,
      shape.reduce((a, b) => a * b, 1),
    );
    const scaled = data.map((value) =>
      shape.length > 1 ? (4 * value) / Math.sqrt(shape[1] / 3) : gainOf(name, value),
    );
    return { name, dtype: 'f32', shape, data: scaled };
  });
}

const gainOf = (name: string, value: number) => (name.endsWith('.bias') ? value : 1 + 0.2 * value);

/** A folder in memory. */
export function folderOf(
  algorithm: string,
  fields: Readonly<Record<string, unknown>>,
  tensors: readonly TensorData[],
): FolderSource {
  const config = {
    architectures: ['ASpeculator'],
    speculators_model_type: algorithm,
    speculators_version: '0.4.0',
    speculators_config: {
      algorithm,
      default_proposal_method: 'greedy',
      proposal_methods: [{ proposal_type: 'greedy', speculative_tokens: 3 }],
      verifier: { name_or_path: null, architectures: [] },
    },
    ...fields,
  };
  return memorySource(
    { 'config.json': JSON.stringify(config), 'model.safetensors': writeSafetensors(tensors) },
    algorithm,
  );
}

/** The last state of the target before its final norm after PROMPT, and the token that it gives. */
export async function lastOf(verifier: Decoder) {
  const cache = verifier.createCache({ taps: [8] });
  const { hidden, logits } = await verifier.forward(cache, [
    { sequence: cache.sequence(), tokens: PROMPT },
  ]);
  cache.dispose();
  return { hidden, token: argmax(logits[0]) };
}

/** Weights of the target and of a head, in one map. */
export async function tensorsWith(source: FolderSource): Promise<Tensors> {
  const target = await openFolder(TARGET);
  const tensors = new Map([...(await readTensors(target)), ...(await readTensors(source))]);
  await target.close();
  return tensors;
}

const dot = (a: Vector, b: Vector) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const row = ({ shape, data }: { shape: number[]; data: number[] }, index: number): Vector =>
  data.slice(index * shape[1], (index + 1) * shape[1]);

/** W x */
export function product(tensors: Tensors, name: string, x: Vector): Vector {
  const matrix = tensors.get(name)!;
  return Array.from({ length: matrix.shape[0] }, (_, o) => dot(row(matrix, o), x));
}

/** x over its root mean square */
export function unit(x: Vector, eps: number): Vector {
  const scale = 1 / Math.sqrt(dot(x, x) / x.length + eps);
  return x.map((value) => value * scale);
}

/** The final norm of the target. */
export function finalNorm(tensors: Tensors, x: Vector): Vector {
  const gain = tensors.get('model.norm.weight')!.data;
  return unit(x, TARGET_EPS).map((value, i) => value * gain[i]);
}

/** x Φ(x), where Φ is the integral of the normal density by Simpson's rule. */
export function gelu(x: number): number {
  const [low, parts] = [Math.max(-12, Math.min(0, x) - 12), 400];
  const step = (x - low) / parts;
  let sum = 0;
  for (let i = 0; i <= parts; i++) {
    const weight = i === 0 || i === parts ? 1 : i % 2 === 1 ? 4 : 2;
    sum += weight * Math.exp(-((low + i * step) ** 2) / 2);
  }
  return (x * sum * step) / 3 / Math.sqrt(2 * Math.PI);
}

/** ln of the softmax. */
export function logSoftmax(logits: Vector): Vector {
  const most = Math.max(...logits);
  const total = logits.reduce((sum, value) => sum + Math.exp(value - most), 0);
  return logits.map((value) => value - most - Math.log(total));
}

/** The most probable tokens with ln p. */
export function best(logits: Vector, count: number) {
  return logSoftmax(logits)
    .map((value, token) => ({ token, value }))
    .toSorted((a, b) => b.value - a.value || a.token - b.token)
    .slice(0, count);
}

/** Within 1e-4, of the largest number of the row where that is above 1. */
export function distance(found: ArrayLike<number>, expected: Vector): number {
  if (found.length !== expected.length) return Number.POSITIVE_INFINITY;
  const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - found[i])), 0);
  return worst / Math.max(1, ...expected.map(Math.abs));
}
