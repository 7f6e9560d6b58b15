// What a recorded plan is made of: per step its shapes, the bytes it moves, its floating-point operations and, where the
// backend measures steps, its time and share. Counts are those of the algorithm, not of a cache or a compiler.
import { bytesPerElement } from '../kernels/dtype.ts';
import type { Extent, OpName, OpParams, Plan, Step, Value } from '../kernels/plan.ts';
import { show, sizeOf } from './shape.ts';

/** How a plan is run. */
export interface ExplainOptions {
  /** Rows in use. */
  readonly extents: Readonly<Record<Extent, number>>;
  /** Milliseconds per step; without them there are no times and no shares. */
  readonly timings?: ArrayLike<number>;
  /** Slots each row sees in attention; default 1. */
  readonly visible?: number;
}

/** One step, or all steps of a kind. */
export interface PlanRow {
  readonly op: OpName;
  /** Input shapes, e.g. `[1, 256] [688, 256] bf16`; f32 is not named. */
  readonly inputs: string;
  readonly output: string;
  /** Steps the row stands for. */
  readonly count: number;
  readonly bytes: number;
  readonly flops: number;
  readonly ms: number | null;
  /** Of the time of the plan, 0 to 1. */
  readonly share: number | null;
}

/** One row per step, in order. */
export function explainPlan(plan: Plan, options: ExplainOptions): PlanRow[] {
  const { timings } = options;
  const total = timings === undefined ? 0 : Array.from(timings).reduce((sum, ms) => sum + ms, 0);
  return plan.steps.map((step, index) => ({
    op: step.op,
    inputs: step.inputs.map((value) => describe(value, options)).join(' '),
    output: describe(step.output, options),
    count: 1,
    bytes: bytesOf(step, options),
    flops: flopsOf(step, options),
    ms: timings === undefined ? null : timings[index],
    share: timings === undefined || total === 0 ? null : timings[index] / total,
  }));
}

/** Steps of the same op and shapes as one row, in order of first appearance. */
export function groupRows(rows: readonly PlanRow[]): PlanRow[] {
  const groups = new Map<string, PlanRow>();
  for (const row of rows) {
    const key = `${row.op} ${row.inputs} ${row.output}`;
    const group = groups.get(key);
    groups.set(key, group === undefined ? row : merge(group, row));
  }
  return [...groups.values()];
}

/** The rows as an aligned table with a total, grouped unless told otherwise. */
export function formatPlan(
  rows: readonly PlanRow[],
  { group = true }: { readonly group?: boolean } = {},
): string {
  const shown = group ? groupRows(rows) : rows;
  const total = rows.reduce(merge);
  const cells = [
    ['op', 'inputs', 'output', 'moved', 'FLOPs', 'ms', 'share'],
    ...shown.map((row) => [
      row.count > 1 ? `${row.count} x ${row.op}` : row.op,
      row.inputs,
      row.output,
      ...numbers(row),
    ]),
    [`total of ${rows.length}`, '', '', ...numbers(total)],
  ];
  const widths = cells[0].map((_, column) => Math.max(...cells.map((row) => row[column].length)));
  const align = (cell: string, column: number) =>
    column < 3 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]);
  return cells.map((row) => row.map(align).join('  ').trimEnd()).join('\n');
}

function numbers({ bytes, flops, ms, share }: PlanRow): string[] {
  return [
    `${scaled(bytes, 1024, ['B', 'KiB', 'MiB', 'GiB'])}`,
    scaled(flops, 1000, ['', 'k', 'M', 'G']),
    ms === null ? '–' : ms.toFixed(3),
    share === null ? '–' : `${(100 * share).toFixed(1)} %`,
  ];
}

function scaled(value: number, step: number, units: readonly string[]): string {
  let unit = 0;
  let rest = value;
  for (; rest >= step && unit < units.length - 1; unit++) rest /= step;
  const digits = unit === 0 || rest >= 100 ? 0 : 1;
  return `${rest.toFixed(digits)} ${units[unit]}`.trimEnd();
}

function merge(a: PlanRow, b: PlanRow): PlanRow {
  const add = (left: number | null, right: number | null) =>
    left === null || right === null ? null : left + right;
  return {
    ...a,
    count: a.count + b.count,
    bytes: a.bytes + b.bytes,
    flops: a.flops + b.flops,
    ms: add(a.ms, b.ms),
    share: add(a.share, b.share),
  };
}

/** The shape with the rows in use. */
function shapeOf(value: Value, { extents }: ExplainOptions): readonly number[] {
  return value.extent === undefined ? value.shape : value.shape.with(0, extents[value.extent]);
}

function describe(value: Value, options: ExplainOptions): string {
  const shape = show(shapeOf(value, options));
  return value.dtype === 'f32' ? shape : `${shape} ${value.dtype}`;
}

/** Every input read once and the output written once, except where an op touches only some rows. */
function bytesOf(step: Step, options: ExplainOptions): number {
  const size = (value: Value) => sizeOf(shapeOf(value, options)) * bytesPerElement[value.dtype];
  const rowBytes = (value: Value) => sizeOf(value.shape.slice(1)) * bytesPerElement[value.dtype];
  const written = size(step.output);
  switch (step.op) {
    case 'gather': {
      const [x, index] = step.inputs;
      const elements = sizeOf(shapeOf(step.output, options));
      return elements * bytesPerElement[x.dtype] + size(index) + written;
    }
    case 'scatter': {
      const [, rows, slots] = step.inputs;
      return 2 * size(rows) + size(slots);
    }
    case 'rope': {
      const [x, positions, cos, sin] = step.inputs;
      const rows = shapeOf(x, options)[0];
      return size(x) + size(positions) + rows * (rowBytes(cos) + rowBytes(sin)) + written;
    }
    case 'attention': {
      const [q, keys, values] = step.inputs;
      const { visible = 1 } = options;
      // Rows of one sequence see the same slots, so the cache is counted once.
      return size(q) + visible * (rowBytes(keys) + rowBytes(values)) + 4 * visible + written;
    }
    case 'experts': {
      const [x, shares, gateUp, down] = step.inputs;
      const { count } = step.params as OpParams['experts'];
      // Rows may share experts; counted as if they did not, while there are so many.
      const read = Math.min(down.shape[0], count * shapeOf(x, options)[0]);
      return size(x) + size(shares) + read * (rowBytes(gateUp) + rowBytes(down)) + written;
    }
    default:
      return step.inputs.reduce((sum, value) => sum + size(value), 0) + written;
  }
}

/** Multiplications and additions; a transcendental counts as one. */
function flopsOf(step: Step, options: ExplainOptions): number {
  const out = sizeOf(shapeOf(step.output, options));
  const first = step.inputs.length > 0 ? sizeOf(shapeOf(step.inputs[0], options)) : 0;
  switch (step.op) {
    case 'linear':
      return out * (2 * step.inputs[1].shape[1] + (step.inputs.length > 2 ? 1 : 0));
    case 'matmul':
      return 2 * out * (step.inputs[0].shape.at(-1) ?? 1);
    case 'attention':
      // q·k, and weights · v: one multiplication and one addition per element each, for every query head.
      return 4 * out * (options.visible ?? 1);
    case 'rmsNorm':
      return 4 * out;
    case 'rope':
      return 3 * out;
    case 'siluMul':
      return 5 * out;
    case 'softmax':
      return 4 * out;
    case 'route':
      // Scores, and every element against all others.
      return out * (4 + step.output.shape[1]);
    case 'experts': {
      const { count } = step.params as OpParams['experts'];
      const inner = step.inputs[3].shape[2];
      const rows = shapeOf(step.output, options)[0];
      // Three products, a gated unit, and a share of each expert.
      return count * (6 * out * inner + 5 * rows * inner + 2 * out);
    }
    case 'unary':
    case 'binary':
    case 'compare':
      return out;
    case 'reduce':
      return first;
    case 'gather':
    case 'scatter':
    case 'where':
    case 'cast':
    case 'transpose':
    case 'concat':
    case 'slice':
      return 0;
  }
}
