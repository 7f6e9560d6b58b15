// What happens to a backend of several threads when one is lost, when it is given back, and when there are many.
import { spawnSync } from 'node:child_process';
import { setTimeout as after } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import type { Backend } from '../../src/kernels/backend.ts';
import type { WasmBuffer } from '../../src/kernels/wasm/buffers.ts';
import { wasm } from '../../src/kernels/wasm/index.ts';
import { record } from '../../src/tensor/record.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { loadTiny } from '../models/fixtures.ts';

const dist = fileURLToPath(new URL('../../dist/kernels/index.js', import.meta.url));

const LOST = /^wasm: a worker thread ended \(.+\); dispose the backend and load again$/;

/** A backend with the threads it starts, all of them running. */
async function withThreads(threads: number, patienceMs?: number) {
  const workers: Worker[] = [];
  const add = (worker: Worker) => workers.push(worker);
  process.on('worker', add);
  const backend = wasm({ threads, patienceMs });
  while (workers.length < threads - 1) await after(1);
  process.off('worker', add);
  await Promise.all(workers.map((worker) => new Promise((done) => worker.once('online', done))));
  // Nobody outside can see when they have joined.
  await after(50);
  return { backend, workers };
}

const C = 512;

/** y = W·x in a plan that is large enough to be shared, `steps` times over. */
function product(backend: Backend, steps = 1, buffer = backend.alloc('f32', C * C, C)) {
  const weight = new Tensor(
    { kind: 'constant', dtype: 'f32', shape: [C, C], buffer, offset: 0 },
    backend,
  );
  const plan = record((ops) => {
    let x = ops.input('x', 'f32', [8, C]);
    for (let step = 0; step < steps; step++) x = ops.linear(x, weight);
    return [x];
  });
  const program = backend.prepare(plan);
  const call = { extents: { T: 8, K: 8 }, inputs: { x: new Float32Array(8 * C).fill(1) } };
  return { program, run: () => backend.run(program, call) };
}

describe('a lost thread', () => {
  it('makes the run that waits for it and everything after it throw', async () => {
    const { backend, workers } = await withThreads(2, 300);
    const { program, run } = product(backend, 20);
    run();
    // Asked for and not waited for: the thread ends while the run goes on.
    workers[0].terminate();
    expect(() => {
      for (let round = 0; round < 10_000; round++) run();
    }).toThrow(LOST);
    expect(run).toThrow(LOST);
    await expect(backend.read(program.outputs[0])).rejects.toThrow(LOST);
    program.dispose();
    backend.dispose();
    const again = await withThreads(2);
    const fresh = product(again.backend);
    fresh.run();
    expect(await again.backend.read(fresh.program.outputs[0])).toHaveLength(8 * C);
    again.backend.dispose();
  });

  it('is noticed between runs', async () => {
    const { backend, workers } = await withThreads(3);
    const { run } = product(backend);
    run();
    await workers[1].terminate();
    await after(1);
    expect(run).toThrow(LOST);
    backend.dispose();
  });

  // A matrix of two chunks that ends past the memory, so that the last rows of the second or all are not there.
  it.each([
    ['another thread', 0.2],
    ['the caller', 4],
  ])('is one that traps: %s', async (_, past) => {
    const { backend } = await withThreads(2);
    const whole = backend.alloc('f32', C * C, C) as WasmBuffer;
    const broken = { ...whole, address: whole.address + Math.round(past * C * C) * 4 };
    const { run } = product(backend, 1, broken);
    // Both are out of bounds in the second case; whoever is first says so.
    expect(run).toThrow(
      past < 1
        ? /thread ended \(memory access out of bounds\)/
        : /out of bounds|a worker thread ended/,
    );
    expect(run).toThrow(LOST);
    backend.dispose();
  });
});

describe('many backends', () => {
  it.skipIf(process.platform !== 'linux')(
    'leave no threads and little memory when they are disposed',
    async () => {
      const script = `
        const { wasm } = await import(${JSON.stringify(dist)});
        const { readdirSync } = await import('node:fs');
        const wait = (ms) => new Promise((done) => setTimeout(done, ms));
        const state = () => [readdirSync('/proc/self/task').length, process.memoryUsage().rss / 2 ** 20];
        const round = async () => {
          const backend = wasm({ threads: 2 });
          const buffer = backend.alloc('f32', 1000);
          backend.write(buffer, new Float32Array(1000).fill(1));
          await backend.read(buffer);
          await wait(1);
          backend.dispose();
        };
        const rounds = Number(process.argv[1]);
        for (let i = 0; i < rounds / 2; i++) await round();
        await wait(200);
        gc();
        const before = state();
        for (let i = 0; i < rounds; i++) await round();
        await wait(200);
        gc();
        const after = state();
        console.log(JSON.stringify({ before, after }));
      `;
      const args = ['--expose-gc', '--input-type=module', '-e', script, '40'];
      const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
      expect(stderr).toBe('');
      const { before, after } = JSON.parse(stdout);
      expect(after[0]).toBe(before[0]);
      expect(after[1] - before[1]).toBeLessThan(40);
    },
  );

  it('live side by side, two dozen of them', async () => {
    const backends = Array.from({ length: 24 }, () => wasm({ threads: 1 }));
    const results = await Promise.all(
      backends.map(async (backend, index) => {
        const buffer = backend.alloc('f32', 1);
        backend.write(buffer, Float32Array.of(index));
        return (await backend.read(buffer))[0];
      }),
    );
    expect(results).toEqual(backends.map((_, index) => index));
    for (const backend of backends) backend.dispose();
  });
});

describe('models', () => {
  it('give equal bits on one backend for both and on one each', async () => {
    using shared = wasm({ threads: 2 });
    const models = await Promise.all([
      loadTiny('llama', { backend: shared }),
      loadTiny('llama'),
      loadTiny('qwen3', { backend: shared }),
      loadTiny('qwen3'),
    ]);
    const logits = await Promise.all(
      models.map(async (model) => {
        using cache = model.createCache();
        const segment = { sequence: cache.sequence(), tokens: [1, 2, 3], keep: [0, 1, 2] };
        return (await model.forward(cache, [segment])).logits;
      }),
    );
    expect(logits[1]).toEqual(logits[0]);
    expect(logits[3]).toEqual(logits[2]);
    models[0].dispose();
    expect(() => models[2].createCache().dispose()).not.toThrow();
    for (const model of models) model.dispose();
  });
});

describe('the process', () => {
  const exits = (body: string) => {
    const script = `const { wasm } = await import(${JSON.stringify(dist)});\n${body}`;
    return spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      timeout: 10_000,
    });
  };

  it.each([
    ['threads that are starting', 'wasm({ threads: 4 });'],
    [
      'threads that wait',
      'globalThis.kept = wasm({ threads: 4 }); await new Promise((done) => setTimeout(done, 300));',
    ],
    ['threads that are ending', 'const b = wasm({ threads: 4 }); b.dispose();'],
  ])('ends by itself with %s', (_, body) => {
    const { status, stderr, signal } = exits(body);
    expect({ status, stderr, signal }).toEqual({ status: 0, stderr: '', signal: null });
  });
});
