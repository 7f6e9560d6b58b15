// Which layout of products a device is faster with, by the clock: the ladder of a chain of products, in turns.
import type { Backend } from '../backend.ts';
import { median } from '../median.ts';
import type { Plan, Step, Value } from '../plan.ts';
import type { Layout } from './project.ts';

/** What is timed: `repeats` products of [width, width], in f32. */
export interface LayoutTrial {
  readonly width: number;
  readonly repeats: number;
  readonly turns: number;
}

/** Work that a graphics device needs a millisecond or so for, which its latency does not hide. */
export const DEVICE_TRIAL: LayoutTrial = { width: 2048, repeats: 32, turns: 5 };

/** Rows of a forward that are timed: a plain step, and the check of a long draft. */
const ROWS = [1, 8];
const LAYOUTS: readonly Layout[] = ['rows', 'lanes'];

/** Milliseconds of a trial for each of `ROWS`. */
export type LayoutTimes = Readonly<Record<Layout, readonly number[]>>;

/** Times both layouts on backends of their own, and names the one whose ladder is lower. */
export async function fasterLayout(
  open: (layout: Layout) => Backend,
  trial: LayoutTrial,
): Promise<{ readonly layout: Layout; readonly times: LayoutTimes }> {
  const backends = LAYOUTS.map(open);
  try {
    const runs = backends.map((backend) => prepareTrial(backend, trial));
    const samples = LAYOUTS.map(() => ROWS.map((): number[] => []));
    for (let turn = 0; turn <= trial.turns; turn++)
      for (const [at, run] of runs.entries())
        for (const [rung, rows] of ROWS.entries()) {
          const start = performance.now();
          await run(rows);
          // The first turn compiles.
          if (turn > 0) samples[at][rung].push(performance.now() - start);
        }
    const [rows, lanes] = samples.map((rungs) => rungs.map(median));
    const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
    return { layout: sum(lanes) < sum(rows) ? 'lanes' : 'rows', times: { rows, lanes } };
  } finally {
    for (const backend of backends) backend.dispose();
  }
}

/** A line for the report. */
export function layoutNote(layout: Layout, times: LayoutTimes): string {
  const list = (values: readonly number[]) => values.map((value) => value.toFixed(2)).join(' and ');
  return `products in layout ${layout}: ${ROWS.join(' and ')} rows of a trial took ${list(times.rows)} ms in rows, ${list(times.lanes)} ms in lanes`;
}

/** A chain of products over the same weights. */
function prepareTrial(backend: Backend, { width, repeats }: LayoutTrial) {
  const most = Math.max(...ROWS);
  const rowsOf = { dtype: 'f32', shape: [most, width], extent: 'T' } as const;
  const input: Value = { kind: 'input', name: 'x', ...rowsOf };
  const buffer = backend.alloc('f32', width * width, width);
  const weight: Value = {
    kind: 'constant',
    dtype: 'f32',
    shape: [width, width],
    buffer,
    offset: 0,
  };
  const steps: Step[] = [];
  let x: Value = input;
  for (let repeat = 0; repeat < repeats; repeat++) {
    const output: Value = { kind: 'scratch', ...rowsOf };
    steps.push({ op: 'linear', inputs: [x, weight], output, params: {} });
    x = output;
  }
  const plan: Plan = { steps, outputs: [x] };
  const program = backend.prepare(plan);
  const data = new Float32Array(most * width).fill(1);
  return async (rows: number): Promise<void> => {
    backend.run(program, { extents: { T: rows, K: 0 }, inputs: { x: data } });
    await backend.read(program.outputs[0], 0, 1);
  };
}
