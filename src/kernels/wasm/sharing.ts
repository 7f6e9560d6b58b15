// Which instructions the workers of a run share, and where they have to meet: marks on the instructions of a tape, made
// anew for every number of rows. Neither changes a bit of any result, because a kernel computes an output in one way
// whoever computes it; so both are decided by time alone.
import { isBlocked } from '../blocks.ts';
import type { Call, OpParams, Value } from '../plan.ts';
import type { Work } from './expand.ts';
import { columnsOf } from './tape.ts';

/** Marks beside the op of an instruction, as assembly/index.ts has them: worker 0 does it alone; all meet before it. */
const ALONE = 1 << 16;
const MEET = 1 << 17;

/** An estimate: what takes one worker less is not shared. */
const LEAST_NS = 700;
/** Estimates of one meeting, for each worker, and of telling the workers of a run until they are there. */
const MEETING_NS = 150;
const START_NS = 4000;
/** Positions that a row sees, as an estimate. */
const SEEN = 256;

/** Bytes that are read or written. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** An instruction: where it lies on the tape, in words, and what it reads and writes. */
export interface Item {
  readonly work: Work;
  readonly at: number;
  readonly reads: readonly Range[];
  readonly write: Range;
}

/** How a stretch of instructions is run. */
export interface Sharing {
  readonly workers: number;
  /** What one worker takes, as an estimate. */
  readonly costNs: number;
  /** For each instruction. */
  readonly marks: readonly number[];
}

/** The quickest way for at most `workers` workers and the rows in use. */
export function sharing(
  items: readonly Item[],
  workers: number,
  extents: Call['extents'],
): Sharing {
  const costs = items.map(({ work }) => costNs(work, extents));
  const alone = costs.map((cost) => cost < LEAST_NS);
  const marks = meetings(items, alone);
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const all = sum(costs);
  const single = sum(costs.filter((_, index) => alone[index]));
  const times = marks.filter((mark) => (mark & MEET) !== 0).length + 1;
  const timeOf = (count: number) =>
    count === 1 ? all : START_NS + single + (all - single) / count + times * count * MEETING_NS;
  const counts = Array.from({ length: workers }, (_, index) => index + 1);
  return {
    workers: counts.reduce((a, b) => (timeOf(b) < timeOf(a) ? b : a)),
    costNs: all,
    marks,
  };
}

/**
 * The marks of instructions. Between two meetings none touches what another one writes, unless both are done by worker 0, which
 * keeps their order. So between meetings it does not matter how far each worker has come, nor how one is divided.
 */
function meetings(items: readonly Item[], alone: readonly boolean[]): number[] {
  const marks: number[] = [];
  let since = 0;
  for (let index = 0; index < items.length; index++) {
    let mark = alone[index] ? ALONE : 0;
    for (let before = since; before < index; before++) {
      if (alone[before] && alone[index]) continue;
      if (!touches(items[before], items[index])) continue;
      mark |= MEET;
      since = index;
    }
    marks.push(mark);
  }
  return marks;
}

/** Whether one writes what the other reads or writes. */
function touches(a: Item, b: Item): boolean {
  const meets = (range: Range) => (other: Range) => range.from < other.to && other.from < range.to;
  return [...a.reads, a.write].some(meets(b.write)) || b.reads.some(meets(a.write));
}

/** Nanoseconds of one worker, roughly: what counts is whether they are many times a meeting. */
function costNs(work: Work, extents: Call['extents']): number {
  const rowsOf = ({ extent, shape }: Value) => (extent ? extents[extent] : (shape[0] ?? 1));
  if ('hidden' in work) {
    const { output } = work.step;
    const [, count, inner] = work.hidden.shape;
    const products = work.kind === 'hidden' ? 2 * work.step.inputs[0].shape[1] : output.shape[1];
    return (rowsOf(output) * count * inner * products) / 8;
  }
  if (work.kind !== 'step') {
    const { weight, step } = work;
    const [outer, inner] = weight.shape;
    if (work.kind === 'pack') return outer * inner;
    if (work.kind === 'rows') return rowsOf(step.inputs[0]) * inner;
    return (rowsOf(step.output) * outer * inner) / (isBlocked(weight.dtype) ? 24 : 8);
  }
  const { op, inputs, output, params } = work.step;
  const shaped = op === 'scatter' ? inputs[1] : output;
  const size = rowsOf(shaped) * columnsOf(shaped);
  if (op === 'attention') {
    const { window } = params as OpParams['attention'];
    return (size * Math.min(inputs[1].shape[0], window || SEEN, SEEN)) / 2;
  }
  return size * (op === 'siluMul' ? 1.5 : 0.5);
}
