// Times tasks in turns, so that a neighbour on the machine slows all of them alike, and reports medians with spread.
import { Bench } from 'tinybench';
import type { Layout } from '../src/kernels/gpu/index.ts';
import { version } from '../src/version.ts';
import { machine } from './host.ts';

/** How a bench keeps its matrices. */
export type BenchDType = (typeof DTYPES)[number];
export const DTYPES = ['f32', 'f16', 'bf16', 'q8_0', 'q4_0'] as const;

/** The command line of a bench. */
export interface BenchOptions {
  readonly backendName: string;
  readonly dtype: BenchDType;
  /** The same if the command line names one; benches that compare types run all of theirs otherwise. */
  readonly givenDType: BenchDType | undefined;
  /** Of products on GPU.js; by default its own choice. */
  readonly layout: Layout | undefined;
  /** Threads of the backend; each bench has its own default. */
  readonly threads: number | undefined;
  /** Turns of every task; each bench has its own default. */
  readonly rounds: number | undefined;
  /** Runs only rows (decode: classes of prompts) whose name contains it. */
  readonly filter: string;
  /** decode: only drafters whose name contains it. */
  readonly drafter: string;
  /** A folder instead of random weights. */
  readonly model: string | undefined;
  /** decode: a speculator for the model, a folder. */
  readonly speculator: string | undefined;
  /** A text file for `perplexity`. */
  readonly data: string | undefined;
  /** What inflate makes of the model. */
  readonly parameters: number | undefined;
  readonly cases: boolean;
  /** One turn of small shapes, to see that the bench works. */
  readonly smoke: boolean;
  /** Installs peers that are missing. */
  readonly install: boolean;
}

/** Milliseconds of one task. */
export interface Timing {
  readonly median: number;
  readonly min: number;
  /** Quartiles. */
  readonly low: number;
  readonly high: number;
  readonly samples: number;
}

export interface Task {
  readonly name: string;
  run(): Promise<unknown>;
}

/** Runs every task `iterations` times in each of `rounds` turns, after one turn that is not counted. */
export async function measure(
  tasks: readonly Task[],
  { rounds, iterations = 1 }: { readonly rounds: number; readonly iterations?: number },
): Promise<Map<string, Timing>> {
  const samples = new Map<string, number[]>(tasks.map(({ name }) => [name, []]));
  for (let round = -1; round < rounds; round++) {
    const bench = new Bench({
      iterations,
      time: 0,
      warmup: false,
      retainSamples: true,
      throws: true,
    });
    // tinybench would call a task once, without waiting for it, to see whether it is asynchronous; a backend with a queue
    // would work off those calls in the first timed one.
    for (const { name, run } of tasks) bench.add(name, run, { async: true });
    await bench.run();
    if (round < 0) continue;
    for (const { name, result } of bench.tasks)
      if ('latency' in result) samples.get(name)!.push(...(result.latency.samples ?? []));
  }
  return new Map([...samples].map(([name, values]) => [name, summarise(values)]));
}

function summarise(values: readonly number[]): Timing {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  return { median: at(0.5), min: sorted[0], low: at(0.25), high: at(0.75), samples: sorted.length };
}

/** The middle one. */
export function median(values: readonly number[]): number {
  return summarise(values).median;
}

/** Prints rows in columns: the first left, the others right. */
export function printTable(rows: readonly (readonly string[])[]): void {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  for (const row of rows)
    console.log(
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]),
        )
        .join('  '),
    );
}

/** The last line of a bench: what ran where, and every number. */
export function printJson(
  bench: string,
  options: { readonly backendName: string; readonly dtype: string },
  results: unknown,
): void {
  console.log(
    JSON.stringify({
      bench,
      backend: options.backendName,
      dtype: options.dtype,
      version,
      ...machine(),
      unit: 'ms',
      results,
    }),
  );
}

/** Three significant digits. */
export function digits(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(3))) : '–';
}

/** `median ± half the distance of the quartiles`. */
export function spread({ median, low, high }: Timing): string {
  return `${digits(median)} ± ${digits((high - low) / 2)}`;
}
