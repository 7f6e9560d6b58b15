// Turns segments into the rows of a forward, and rows into the inputs of a recorded plan.
import { OptionError } from '../kernels/errors.ts';
import type { Recorder } from '../tensor/record.ts';
import type { RowInputs } from './architecture.ts';
import { type SlotPool, SlotSequence } from './cache.ts';
import type { Segment } from './model.ts';
import { depthsOf, pathTo } from './tree.ts';

/** One row: what it computes, where it is stored, and the list of slots it sees (the first `count` of `sees`). */
export interface Row {
  readonly token: number;
  readonly position: number;
  readonly slot: number;
  /** Rows that may share storage share the array. */
  readonly sees: readonly number[];
  readonly count: number;
  /** Of a row of a block: a window of W sees `sees` from `origin` - W up to `count`; of others both are their own count. */
  readonly block?: { readonly origin: number; readonly count: number } | undefined;
  readonly keep: boolean;
  readonly state?: Float32Array | undefined;
}

/** What rows that see each other see in layers of a window: those up to their own, or all. */
export type BlockWindows = 'causal' | 'mutual';

/** Extends the sequences of the segments and lists their rows in order. */
export function rowsOf(
  segments: readonly Segment[],
  contextLength: number,
  blockWindows: BlockWindows = 'causal',
): Row[] {
  return segments.flatMap((segment) => segmentRows(segment, contextLength, blockWindows));
}

/** Throws an OptionError unless every segment has a sequence of `pool` of its own. */
export function checkSequences(segments: readonly Segment[], pool: SlotPool): void {
  for (const { sequence } of segments)
    if (!(sequence instanceof SlotSequence) || sequence.pool !== pool)
      throw new OptionError('forward: expected sequences of this cache, got another object');
  if (new Set(segments.map(({ sequence }) => sequence)).size < segments.length)
    throw new OptionError('forward: expected every sequence in one segment, got one in two');
}

function segmentRows(
  { sequence, tokens, draft, states, keep }: Segment,
  contextLength: number,
  blockWindows: BlockWindows,
): Row[] {
  if (!(sequence instanceof SlotSequence)) throw new Error('internal: sequences are checked first');
  const start = sequence.length;
  const drafted = draft?.tokens ?? [];
  const parents = draft?.parents ?? drafted.map((_, node) => node - 1);
  checkDraft(drafted, parents);
  const total = tokens.length + drafted.length;
  const kept = new Set(
    keep ?? Array.from({ length: total }, (_, row) => row).slice(Math.max(0, tokens.length - 1)),
  );
  if (keep?.some((row, index) => index > 0 && row <= keep[index - 1]))
    throw new OptionError(`forward: keep: expected rows in ascending order, got [${keep}]`);
  for (const row of kept)
    if (!Number.isInteger(row) || row < 0 || row >= total)
      throw new OptionError(`forward: keep: expected rows from 0 to ${total - 1}, got ${row}`);
  const depths = depthsOf(parents);
  const end = start + tokens.length + Math.max(0, ...depths);
  if (end > contextLength)
    throw new OptionError(`forward: expected at most ${contextLength} positions, got ${end}`);

  const slots = sequence.extend(tokens.length, parents).drafted;
  const prefix = sequence.slots;
  const rows: Row[] = tokens.map((token, index) => ({
    token,
    position: start + index,
    slot: prefix[start + index],
    sees: prefix,
    count: start + index + 1,
    keep: kept.has(index),
    state: states?.[index],
  }));
  const chain = parents.every((parent, node) => parent === node - 1);
  const mutual = draft?.mutual ?? false;
  if (mutual && !chain)
    throw new OptionError('forward: expected no parents for a draft that is mutual, got some');
  const chainSees = chain && drafted.length > 0 ? [...prefix, ...slots] : prefix;
  for (const [node, token] of drafted.entries()) {
    const sees = chain
      ? chainSees
      : [...prefix, ...pathTo(node, (each) => parents[each]).map((each) => slots[each])];
    const count = prefix.length + depths[node];
    rows.push({
      token,
      position: count - 1,
      slot: slots[node],
      sees,
      count: mutual ? sees.length : count,
      block: mutual
        ? { origin: prefix.length, count: blockWindows === 'mutual' ? sees.length : count }
        : undefined,
      keep: kept.has(tokens.length + node),
      state: states?.[tokens.length + node],
    });
  }
  return rows;
}

function checkDraft(tokens: readonly number[], parents: readonly number[]): void {
  if (parents.length !== tokens.length)
    throw new OptionError(`forward: expected ${tokens.length} parents, got ${parents.length}`);
  for (const [node, parent] of parents.entries())
    if (!Number.isInteger(parent) || parent < -1 || parent >= node)
      throw new OptionError(
        `forward: expected the parent of draft ${node} from -1 to ${node - 1}, got ${parent}`,
      );
}

/** Where a forward finds its rows, as inputs of a plan; `windows` are those that lists say, not kernels. */
export function rowInputs(
  ops: Recorder,
  {
    maxRows,
    slots,
    windows,
  }: { readonly maxRows: number; readonly slots: number; readonly windows: readonly number[] },
): RowInputs {
  const rows = (name: string) => ops.input(name, 'i32', [maxRows], 'T');
  return {
    tokens: rows('tokens'),
    positions: rows('positions'),
    slots: rows('slots'),
    keep: ops.input('keep', 'i32', [maxRows], 'K'),
    visible: ops.input('visible', 'i32', [maxRows * slots]),
    starts: rows('starts'),
    counts: rows('counts'),
    within: new Map(
      windows.map((window) => [
        window,
        { starts: rows(`starts${window}`), counts: rows(`counts${window}`) },
      ]),
    ),
  };
}

/** Host arrays for the inputs of one plan, reused from run to run. */
export interface RowBuffers {
  readonly tokens: Int32Array;
  readonly positions: Int32Array;
  readonly slots: Int32Array;
  readonly keep: Int32Array;
  readonly visible: Int32Array;
  readonly starts: Int32Array;
  readonly counts: Int32Array;
  /** Starts and counts in layers of a window. */
  readonly within: ReadonlyMap<
    number,
    { readonly starts: Int32Array; readonly counts: Int32Array }
  >;
}

/** Arrays for at most `maxRows` rows over `slots` slots, and for `windows` as those of `rowInputs`. */
export function createRowBuffers(
  maxRows: number,
  slots: number,
  windows: readonly number[] = [],
): RowBuffers {
  const rows = () => new Int32Array(maxRows);
  return {
    tokens: rows(),
    positions: rows(),
    slots: rows(),
    keep: rows(),
    visible: new Int32Array(maxRows * slots),
    starts: rows(),
    counts: rows(),
    within: new Map(windows.map((window) => [window, { starts: rows(), counts: rows() }])),
  };
}

/** Fills the buffers with rows; returns the inputs of the call and the number of kept rows. */
export function fillRows(buffers: RowBuffers, rows: readonly Row[]) {
  let kept = 0;
  let used = 0;
  const starts = new Map<readonly number[], number>();
  const longest = new Map<readonly number[], number>();
  for (const { sees, count } of rows) longest.set(sees, Math.max(count, longest.get(sees) ?? 0));
  for (const [index, row] of rows.entries()) {
    let start = starts.get(row.sees);
    if (start === undefined) {
      start = used;
      starts.set(row.sees, start);
      const length = longest.get(row.sees)!;
      for (let j = 0; j < length; j++) buffers.visible[used++] = row.sees[j];
    }
    buffers.tokens[index] = row.token;
    buffers.positions[index] = row.position;
    buffers.slots[index] = row.slot;
    buffers.starts[index] = start;
    buffers.counts[index] = row.count;
    for (const [window, within] of buffers.within) {
      const { origin, count } = row.block ?? { origin: row.count, count: row.count };
      const from = Math.max(0, origin - window);
      within.starts[index] = start + from;
      within.counts[index] = count - from;
    }
    if (row.keep) buffers.keep[kept++] = index;
  }
  const { length } = rows;
  const within = [...buffers.within].flatMap(([window, { starts, counts }]) => [
    [`starts${window}`, starts.subarray(0, length)],
    [`counts${window}`, counts.subarray(0, length)],
  ]);
  return {
    kept,
    inputs: {
      ...(Object.fromEntries(within) as Record<string, Int32Array>),
      tokens: buffers.tokens.subarray(0, length),
      positions: buffers.positions.subarray(0, length),
      slots: buffers.slots.subarray(0, length),
      keep: buffers.keep.subarray(0, kept),
      visible: buffers.visible.subarray(0, used),
      starts: buffers.starts.subarray(0, length),
      counts: buffers.counts.subarray(0, length),
    },
  };
}
