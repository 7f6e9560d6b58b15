// A plan made ready: values placed in memory, instructions written, and what stays with the host between them.
import { bytesPerElement, reader, writer } from '../dtype.ts';
import { checkIndices, INDEX_INPUTS } from '../indices.ts';
import { lastUses, type Touches } from '../lifetimes.ts';
import type { Kernel, Operand } from '../operand.ts';
import type { Call, OpName, Plan, Step, TypedArray, Value } from '../plan.ts';
import { referenceKernels } from '../reference/index.ts';
import { type Areas, placeAreas } from './areas.ts';
import { readElements, type WasmBuffer } from './buffers.ts';
import { expand } from './expand.ts';
import { Heap } from './heap.ts';
import type { WasmMemory } from './memory.ts';
import type { Pace } from './pace.ts';
import { type Item, type Sharing, sharing } from './sharing.ts';
import type { Storage } from './storage.ts';
import { instruction, type Places, scratchBytes } from './tape.ts';
import type { Team } from './team.ts';

export interface WasmPlan {
  readonly outputs: readonly WasmBuffer[];
  run(call: Call, team: Team): void;
  release(): void;
}

/** A stretch of the plan: instructions in a row, or one step of the host. */
interface Stretch {
  /** Its steps. */
  readonly first: number;
  last: number;
  readonly host: (() => void) | null;
}

/** Places a plan in memory, to be run by at most `threads` workers; constants and states are there already. */
export function placePlan(
  plan: Plan,
  storage: Storage,
  { threads, paceOf }: { readonly threads: number; readonly paceOf: PaceOf },
): WasmPlan {
  const own: (() => void)[] = [];
  const release = () => {
    for (const free of own.splice(0)) free();
  };
  const allocate = (bytes: number) => {
    const address = storage.main.allocate(bytes);
    own.push(() => storage.release(0, address));
    return address;
  };
  try {
    const areas = placeAreas(expand(plan), { storage, threads, scratchBytes: scratchBytes(plan) });
    own.push(areas.release);
    return { ...place(plan, { storage, threads, paceOf, areas, allocate }), release };
  } catch (error) {
    release();
    throw error;
  }
}

function place(
  plan: Plan,
  {
    storage,
    threads,
    paceOf,
    areas,
    allocate,
  }: {
    readonly storage: Storage;
    readonly threads: number;
    readonly paceOf: PaceOf;
    readonly areas: Areas;
    readonly allocate: (bytes: number) => number;
  },
): Omit<WasmPlan, 'release'> {
  const memory = storage.main;
  const work = expand(plan);
  const layout = new Layout(
    work.map(({ step }) => step),
    plan.outputs,
  );
  const base = allocate(layout.bytes);
  const address = (value: Value): number =>
    'buffer' in value
      ? (value.buffer as WasmBuffer).address + value.offset * bytesPerElement[value.dtype]
      : base + layout.offsets.get(value)!;
  const places: Places = {
    address,
    rows: ({ extent, shape }) => base + layout.rowsWord(extent ?? shape[0] ?? 1),
  };
  const extents = { T: 0, K: 0 };
  const shapeOf = ({ shape, extent }: Value) => (extent ? shape.with(0, extents[extent]) : shape);
  // Made once until the memory grows: a short plan would spend a tenth of its time on new ones.
  const views = new Map<Value, TypedArray>();
  let seen: unknown;
  const viewOf = (value: Value) => {
    const { buffer } = memory.memory;
    if (buffer !== seen) views.clear();
    seen = buffer;
    const known = views.get(value);
    if (known !== undefined) return known;
    const made = memory.view(value.dtype, address(value), sizeOf(value.shape));
    views.set(value, made);
    return made;
  };
  const operandOf = (value: Value): Operand => {
    const data = hostView(value) ?? viewOf(value);
    const { dtype } = value;
    return {
      dtype,
      data,
      shape: shapeOf(value),
      at: reader(data, dtype),
      put: writer(data, dtype),
    };
  };
  // Of a matrix in panels the host sees a copy in the order of its elements.
  const hostView = (value: Value) =>
    'buffer' in value && (value.buffer as WasmBuffer).columns !== null
      ? readElements(
          storage,
          value.buffer as WasmBuffer,
          value.offset,
          value.offset + sizeOf(value.shape),
        )
      : null;
  const rangeOf = (value: Value) => {
    // What lies in an annex is never written by a plan.
    if ('buffer' in value && (value.buffer as WasmBuffer).annex > 0) return { from: 0, to: 0 };
    const from = address(value);
    return { from, to: from + sizeOf(value.shape) * bytesPerElement[value.dtype] };
  };
  const words: number[] = [];
  const starts: number[] = [];
  const items: Item[] = [];
  const stretches: Stretch[] = [];
  for (const item of work) {
    const code = areas.elsewhere(item, instruction(item, places));
    const { index } = item;
    if (starts.length === index) starts.push(words.length);
    const { inputs, output } = item.step;
    if (code !== null)
      items.push({
        work: item,
        at: words.length,
        reads: inputs.map(rangeOf),
        write: rangeOf(output),
      });
    words.push(...(code ?? []));
    if (item.kind === 'rows' || item.kind === 'pack') continue;
    const step = plan.steps[index];
    const kernel = referenceKernels[step.op] as Kernel<OpName>;
    const host =
      code === null
        ? () => kernel(operandOf(step.output), step.inputs.map(operandOf), step.params)
        : null;
    const before = stretches.at(-1);
    // A step whose indices are computed in this run starts a new stretch: they are checked before it.
    if (host === null && before?.host === null && !indexed(step).some(isScratch))
      before.last = index;
    else stretches.push({ first: index, last: index, host });
  }
  starts.push(words.length);
  const tape = allocate(words.length * 4);
  memory.view('i32', tape, words.length).set(words);
  const bytes = 64 + Math.ceil(scratchBytes(plan) / 64) * 64;
  const scratch = allocate(bytes * threads);
  layout.writeConstants(memory, base);
  const inputs = [...new Set(plan.steps.flatMap((step) => step.inputs))].filter(
    (value) => value.kind === 'input',
  );
  const marks = createMarks({
    stretches: stretches.map(({ first, last }) =>
      items.filter(({ work: { index } }) => first <= index && index <= last),
    ),
    threads,
    paceOf,
    put(at, mark) {
      memory.view('i32', tape + 4 * at, 1)[0] = words[at] | mark;
    },
  });
  const checked = needsCheck(plan);
  const check = ({ op, inputs, params }: Step) => {
    const indices = INDEX_INPUTS[op] ?? [];
    const sides = inputs.map((value, side) => ({
      shape: shapeOf(value),
      data: indices.includes(side) ? viewOf(value) : NOTHING,
    }));
    checkIndices(op, sides, params);
  };

  return {
    outputs: plan.outputs.map((value) => ({
      dtype: value.dtype,
      length: sizeOf(value.shape),
      columns: null,
      annex: 0,
      address: address(value),
    })),
    run(call, team) {
      Object.assign(extents, call.extents);
      memory.view('i32', base, 2).set([extents.T, extents.K]);
      for (const value of inputs) {
        const data = call.inputs[value.name];
        if (data === undefined)
          throw new Error(`internal: the plan has an input ${value.name}, the call does not`);
        viewOf(value).set(data);
      }
      const at = (index: number) => tape + 4 * starts[index];
      const shares = marks(extents);
      for (const [stretch, { first, last, host }] of stretches.entries()) {
        for (let index = first; index <= last; index++)
          if (checked[index]) check(plan.steps[index]);
        // Step by step only for those who want to know how long each takes.
        const steps = call.timings ? 1 : last - first + 1;
        for (let index = first; index <= last; index += steps) {
          const startMs = performance.now();
          const { pace, workers } = shares[stretch];
          let count = 0;
          if (host) host();
          else
            count = team.run({
              tape: at(index),
              end: at(index + steps),
              scratch,
              stride: bytes,
              workers: call.timings ? workers : pace.workers(),
            });
          const elapsedMs = performance.now() - startMs;
          if (call.timings) call.timings[index] = elapsedMs;
          else pace.took(count, elapsedMs);
        }
      }
    },
  };
}

const NOTHING = new Int32Array(0);

interface PacedSharing extends Sharing {
  readonly pace: Pace;
}

/** How a stretch is paced, given the most workers and the estimate. */
type PaceOf = (workers: number, estimateNs: number) => Pace;

/** Numbers of rows whose marks are kept; a decode loop has a few. */
const KEPT = 64;

/** How every stretch is shared for the rows in use; `put` is called for every instruction when they are others. */
function createMarks({
  stretches,
  threads,
  paceOf,
  put,
}: {
  readonly stretches: readonly (readonly Item[])[];
  readonly threads: number;
  readonly paceOf: PaceOf;
  readonly put: (at: number, mark: number) => void;
}): (extents: Call['extents']) => readonly PacedSharing[] {
  const known = new Map<number, readonly PacedSharing[]>();
  let last: readonly PacedSharing[] | undefined;
  return (extents) => {
    const key = extents.T * 2 ** 16 + extents.K;
    let shares = known.get(key);
    if (shares === undefined) {
      shares = stretches.map((items) => {
        const shared = sharing(items, threads, extents);
        return { ...shared, pace: paceOf(shared.workers, shared.costNs) };
      });
      if (known.size >= KEPT) known.clear();
      known.set(key, shares);
    }
    if (shares !== last)
      for (const [index, items] of stretches.entries())
        for (const [item, { at }] of items.entries()) put(at, shares[index].marks[item]);
    last = shares;
    return shares;
  };
}

/**
 * Which steps have indices to check. Every layer has the same ones, and inputs stay as they are for a run: of equal checks
 * of inputs only the first is made.
 */
function needsCheck({ steps }: Plan): boolean[] {
  const names = new Map<Value, number>();
  const nameOf = (value: Value) => {
    if (!names.has(value)) names.set(value, names.size);
    return names.get(value);
  };
  const made = new Set<string>();
  return steps.map((step) => {
    const indices = indexed(step);
    if (indices.length === 0) return false;
    const sides = step.inputs.map((value) =>
      indices.includes(value) ? nameOf(value) : value.shape,
    );
    const name = JSON.stringify([step.op, step.params, sides]);
    if (made.has(name) && !indices.some(isScratch)) return false;
    made.add(name);
    return true;
  });
}

const isScratch = (value: Value) => value.kind === 'scratch';

const indexed = ({ op, inputs }: Step): Value[] =>
  (INDEX_INPUTS[op] ?? []).map((index) => inputs[index]);

const sizeOf = (shape: readonly number[]) => shape.reduce((size, extent) => size * extent, 1);

/** Offsets of everything a plan needs: numbers of rows, inputs, scratch values. The first words are T and K. */
class Layout {
  readonly offsets = new Map<Value, number>();
  /** Fixed numbers of rows, in the words after T and K. */
  readonly #rows: number[] = [];
  readonly bytes: number;

  constructor(steps: readonly Touches[], outputs: readonly Value[]) {
    const lastUse = lastUses({ steps, outputs });
    const values = steps.flatMap(({ inputs, output }) => [...inputs, output]);
    for (const { extent, shape } of values) {
      const rows = shape[0] ?? 1;
      if (extent === undefined && !this.#rows.includes(rows)) this.#rows.push(rows);
    }
    const heap = new Heap(4 * (2 + this.#rows.length));
    const place = (value: Value) => {
      if (!('buffer' in value) && !this.offsets.has(value))
        this.offsets.set(value, heap.allocate(sizeOf(value.shape) * bytesPerElement[value.dtype]));
    };
    // Inputs are written before the first step, so they share their place with nobody.
    for (const value of values) if (value.kind === 'input') place(value);
    for (const [index, step] of steps.entries()) {
      const touched = new Set([...step.inputs, step.output]);
      for (const value of touched) place(value);
      for (const value of touched)
        if (value.kind === 'scratch' && lastUse.get(value) === index)
          heap.release(this.offsets.get(value)!);
    }
    this.bytes = heap.end;
  }

  /** Offset of the word with the rows of an extent, or with a fixed number of them. */
  rowsWord(rows: 'T' | 'K' | number): number {
    if (rows === 'T') return 0;
    if (rows === 'K') return 4;
    return 4 * (2 + this.#rows.indexOf(rows));
  }

  writeConstants(memory: WasmMemory, base: number): void {
    memory.view('i32', base + 8, this.#rows.length).set(this.#rows);
  }
}
