// The tiny checkpoints under tests/golden, the embedded models, and the backends that run here.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Backend } from '../../src/kernels/backend.ts';
import { cpu } from '../../src/kernels/cpu/index.ts';
import { gpu } from '../../src/kernels/gpu/index.ts';
import { reference } from '../../src/kernels/reference/index.ts';
import { wasm } from '../../src/kernels/wasm/index.ts';
import type { LoadOptions } from '../../src/models/load.ts';
import { loadModel } from '../../src/models/load.ts';
import type { GoldenCase } from './golden-case.ts';

export interface Fixture {
  readonly name: string;
  readonly folder: string;
  readonly cases: readonly GoldenCase[];
}

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const casesOf = (file: string): readonly GoldenCase[] =>
  JSON.parse(readFileSync(file, 'utf8')).cases;

/** The committed tiny checkpoints. */
export const tinyFixtures: readonly Fixture[] = readdirSync(path('../golden'))
  .filter((name) => name.startsWith('tiny-random-'))
  .map((name) => {
    const folder = path(`../golden/${name}`);
    return { name, folder, cases: casesOf(`${folder}/golden.json`) };
  });

/** The embedded pair. */
export const demoFixtures: readonly Fixture[] = ['target', 'draft'].map((name) => ({
  name: `demo ${name}`,
  folder: path(`../../models/${name}`),
  cases: casesOf(path(`../golden/demo-${name}.json`)),
}));

const stories = path('../../../shared/models/stories260K');

/** A trained model of somebody else, checked where it lies beside the checkout. */
export const sharedFixtures: readonly Fixture[] = existsSync(`${stories}/golden.json`)
  ? [{ name: 'stories260K', folder: stories, cases: casesOf(`${stories}/golden.json`) }]
  : [];

export const tiny = (name: string): Fixture =>
  tinyFixtures.find((fixture) => fixture.name === `tiny-random-${name}`)!;

/** Every backend, with what its report must say after a run. */
export const BACKENDS: readonly {
  readonly name: string;
  readonly executor: string;
  open(): Backend | Promise<Backend>;
}[] = [
  { name: 'reference', executor: 'float64 loops', open: reference },
  { name: 'cpu', executor: 'typed arrays, 1 thread', open: cpu },
  { name: 'wasm', executor: 'SIMD, 1 thread', open: () => wasm({ relaxed: false, threads: 1 }) },
  {
    name: 'wasm relaxed',
    executor: 'relaxed SIMD, 3 threads',
    open: () => wasm({ relaxed: true, threads: 3 }),
  },
  { name: 'gpu cpu', executor: 'cpu generic', open: () => gpu({ mode: 'cpu' }) },
  { name: 'gpu webasm', executor: 'webasm fused-sync', open: () => gpu({ mode: 'webasm' }) },
];

/** A tiny model on the default backend unless told otherwise. */
export function loadTiny(name: string, options: LoadOptions = {}) {
  return loadModel(tiny(name).folder, options);
}
