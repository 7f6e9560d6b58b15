// The choice between all workers and one, on times that are made up.
import { describe, expect, it } from 'vitest';
import { createPace, type Pace } from '../../src/kernels/wasm/pace.ts';

/** Workers of so many runs that take `sharedMs` or `aloneMs`. */
function run(pace: Pace, runs: number, sharedMs: number, aloneMs: number): number[] {
  return Array.from({ length: runs }, () => {
    const workers = pace.workers();
    pace.took(workers, workers === 1 ? aloneMs : sharedMs);
    return workers;
  });
}

const count = (values: readonly number[], wanted: number) =>
  values.filter((value) => value === wanted).length;

describe('the pace of a short plan', () => {
  it('shares where that is faster, and tries the other way seldom', () => {
    const pace = createPace(2, 1000);
    run(pace, 100, 0.2, 0.4);
    expect(count(run(pace, 2000, 0.2, 0.4), 1)).toBeLessThan(25);
  });

  it('leaves the plan to one worker where sharing is slower', () => {
    const pace = createPace(2, 1000);
    run(pace, 100, 1.8, 0.4);
    expect(count(run(pace, 2000, 1.8, 0.4), 2)).toBeLessThan(60);
  });

  it('is not impressed by a slow run', () => {
    const pace = createPace(2, 1000);
    run(pace, 100, 0.2, 0.4);
    run(pace, 2, 9, 9);
    expect(count(run(pace, 40, 0.2, 0.4), 2)).toBeGreaterThanOrEqual(37);
  });

  it('leaves a bad moment at once, and comes back soon after it', () => {
    const pace = createPace(2, 1000);
    run(pace, 300, 0.2, 0.4);
    expect(count(run(pace, 30, 1.8, 0.4), 2)).toBeLessThan(12);
    run(pace, 60, 0.2, 0.4);
    expect(count(run(pace, 100, 0.2, 0.4), 2)).toBeGreaterThan(90);
  });

  it('always shares a long plan and never one for one worker', () => {
    expect(new Set(run(createPace(2, 1e9), 100, 9, 1))).toEqual(new Set([2]));
    expect(new Set(run(createPace(1, 1000), 100, 9, 1))).toEqual(new Set([1]));
  });

  it('asks for all workers until they have started', () => {
    const pace = createPace(4, 1000);
    for (let start = 0; start < 20; start++) {
      expect(pace.workers()).toBe(4);
      pace.took(start < 10 ? 1 : 3, 1);
    }
  });
});
