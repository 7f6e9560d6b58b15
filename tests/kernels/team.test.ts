// The threads of the wasm backend: that they meet where they must, that sharing changes no bits, and what they cost at rest.
import { spawnSync } from 'node:child_process';
import { setTimeout as after } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Step } from '../../src/kernels/plan.ts';
import { binaries } from '../../src/kernels/wasm/binaries.ts';
import { engine } from '../../src/kernels/wasm/engine.ts';
import { createMemory } from '../../src/kernels/wasm/memory.ts';
import { type Item, type Range, sharing } from '../../src/kernels/wasm/sharing.ts';
import { createTeam, type Kernels } from '../../src/kernels/wasm/team.ts';
import { numbers } from './toy.ts';

const dist = fileURLToPath(new URL('../../dist/kernels/index.js', import.meta.url));

const GATHER = 7;
const MEET = 1 << 17;
const ALONE = 1 << 16;

/** A team of its own, all threads started. */
async function startTeam(threads: number) {
  const module = new engine.Module(Buffer.from(binaries.simd, 'base64'));
  const memory = createMemory({ shared: true, limit: 2 ** 26, full: 'bytes' });
  const team = createTeam(memory, {
    module,
    threads,
    patienceMs: 10_000,
    instantiate: (shared, imports) =>
      new engine.Instance(module, { env: { memory: shared, ...imports } }).exports as Kernels,
  });
  while (team.ready() < threads) await after(1);
  return { memory, team };
}

describe('a team', () => {
  // Each step permutes rows that every worker has written in the step before: whoever is early reads something else.
  it.each([1, 2, 3, 4])('of %i meets before every step that needs it', async (threads) => {
    const [rows, columns, steps] = [37, 4, 60];
    const { memory, team } = await startTeam(threads);
    const draws = numbers(threads, 250_000).values();
    const random = (size: number) => Math.floor(((draws.next().value! + 1) / 2) * size);
    const bytes = rows * columns * 4;
    const [source, a, b] = [bytes, bytes, bytes].map((size) => memory.allocate(size));
    const rowsWord = memory.allocate(4);
    memory.view('i32', rowsWord, 1)[0] = rows;
    memory
      .view('f32', source, rows * columns)
      .set(Float32Array.from({ length: rows * columns }, (_, i) => i));
    for (let round = 0; round < 100; round++) {
      let expected = Array.from({ length: rows }, (_, row) => row);
      const indices = memory.allocate(4 * rows * steps);
      const words: number[] = [];
      for (let step = 0; step < steps; step++) {
        const order = Int32Array.from({ length: rows }, () => random(rows));
        memory.view('i32', indices + 4 * rows * step, rows).set(order);
        expected = [...order].map((row) => expected[row]);
        const mark = (step > 0 ? MEET : 0) | (random(4) === 0 ? ALONE : 0);
        const from = step === 0 ? source : step % 2 ? a : b;
        const at = indices + 4 * rows * step;
        words.push(GATHER | mark, 8, step % 2 ? b : a, from, at, rowsWord, columns, 0);
      }
      const tape = memory.allocate(4 * words.length);
      memory.view('i32', tape, words.length).set(words);
      const scratch = memory.allocate(64 * threads);
      const end = tape + 4 * words.length;
      team.run({ tape, end, scratch, stride: 64, workers: 1 + random(threads) });
      const out = memory.view('f32', b, rows * columns);
      expect([...out].filter((_, i) => i % columns === 0)).toEqual(
        expected.map((row) => row * columns),
      );
      for (const address of [indices, tape, scratch]) memory.release(address);
    }
    team.close();
  });

  it('burns nothing while it has nothing to do', () => {
    const script = `
      const { wasm } = await import(${JSON.stringify(dist)});
      const backend = wasm({ threads: 3 });
      await new Promise((done) => setTimeout(done, 500));
      const before = process.cpuUsage();
      await new Promise((done) => setTimeout(done, 300));
      const { user, system } = process.cpuUsage(before);
      console.log((user + system) / 1000);
    `;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    expect(Number(stdout)).toBeLessThan(15);
  });
});

describe('sharing', () => {
  const range = fc
    .tuple(fc.nat(20), fc.integer({ min: 1, max: 5 }))
    .map(([from, size]): Range => ({ from, to: from + size }));
  const NO_ROWS = { T: 1, K: 1 };
  const siluMul = (columns: number, reads: readonly Range[], write: Range): Item => {
    const output = { kind: 'scratch', dtype: 'f32', shape: [1, columns] } as const;
    const step = { op: 'siluMul', inputs: [], output, params: {} } as Step;
    return { work: { kind: 'step', index: 0, step }, at: 0, reads, write };
  };
  const item = fc
    .record({ reads: fc.array(range, { maxLength: 3 }), write: range, columns: fc.nat(1000) })
    .map(({ reads, write, columns }) => siluMul(columns, reads, write));
  const overlap = (a: Range, b: Range) => a.from < b.to && b.from < a.to;

  it('lets no step touch what another one writes between two meetings, but for steps of worker 0', () => {
    fc.assert(
      fc.property(fc.array(item, { maxLength: 30 }), (steps) => {
        const { marks } = sharing(steps, 2, NO_ROWS);
        for (const [index, step] of steps.entries())
          for (let before = index - 1; before >= 0; before--) {
            if (marks.slice(before + 1, index + 1).some((mark) => mark & MEET)) break;
            if (marks[before] & marks[index] & ALONE) continue;
            for (const each of [...step.reads, step.write])
              expect(overlap(each, steps[before].write)).toBe(false);
            for (const each of steps[before].reads) expect(overlap(each, step.write)).toBe(false);
          }
      }),
      { seed: 20_263 },
    );
  });

  it('leaves short plans to one worker and gives long ones to all', () => {
    const plan = (columns: number) =>
      Array.from({ length: 20 }, (_, index) =>
        siluMul(columns, [{ from: index, to: index + 1 }], { from: index + 1, to: index + 2 }),
      );
    expect(sharing(plan(64), 4, NO_ROWS).workers).toBe(1);
    expect(sharing(plan(1_000_000), 4, NO_ROWS).workers).toBe(4);
  });
});
