// A plan made ready: values placed in memory, instructions written, and what stays with the host between them.
import { checkIndices, INDEX_INPUTS } from '../indices.ts';
import type { Kernel } from '../operand.ts';
import type { Call, OpName, Plan, Step, TypedArray, Value } from '../plan.ts';
import { referenceKernels } from '../reference/index.ts';
import { sizeOf } from '../size.ts';
import { type Areas, placeAreas } from './areas.ts';
import type { WasmBuffer } from './buffers.ts';
import { expand, type Work } from './expand.ts';
import { Layout } from './layout.ts';
import { createMarks, type PacedSharing, type PaceOf } from './marks.ts';
import type { Item } from './sharing.ts';
import type { Storage } from './storage.ts';
import { instruction, scratchBytes } from './tape.ts';
import type { Team } from './team.ts';
import { createValues, type Values } from './values.ts';

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
    const work = expand(plan);
    const scratch = scratchBytes(plan);
    const areas = placeAreas(work, { storage, threads, scratchBytes: scratch });
    own.push(areas.release);
    return {
      ...place(plan, work, { storage, threads, paceOf, areas, scratch, allocate }),
      release,
    };
  } catch (error) {
    release();
    throw error;
  }
}

function place(
  plan: Plan,
  work: readonly Work[],
  {
    storage,
    threads,
    paceOf,
    areas,
    scratch: scratchEach,
    allocate,
  }: {
    readonly storage: Storage;
    readonly threads: number;
    readonly paceOf: PaceOf;
    readonly areas: Areas;
    /** Bytes a worker. */
    readonly scratch: number;
    readonly allocate: (bytes: number) => number;
  },
): Omit<WasmPlan, 'release'> {
  const memory = storage.main;
  const layout = new Layout(
    work.map(({ step }) => step),
    plan.outputs,
  );
  const base = allocate(layout.bytes);
  const extents = { T: 0, K: 0 };
  const values = createValues(storage, { layout, base, extents });
  const { words, starts, items, stretches } = encode(plan, work, areas, values);
  const tape = allocate(words.length * 4);
  memory.view('i32', tape, words.length).set(words);
  const stride = 64 + Math.ceil(scratchEach / 64) * 64;
  const scratch = allocate(stride * threads);
  layout.writeConstants(memory, base);
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
  const at = (index: number) => tape + 4 * starts[index];
  const runOn = (team: Team) => (from: number, to: number, workers: number) =>
    team.run({ tape: at(from), end: at(to), scratch, stride, workers });
  const setInputs = inputSetter(plan, values);
  const checks = indexChecks(plan, values, extents, stretches);

  return {
    outputs: plan.outputs.map((value) => ({
      dtype: value.dtype,
      length: sizeOf(value.shape),
      columns: null,
      annex: 0,
      address: values.address(value),
    })),
    run(call, team) {
      extents.T = call.extents.T;
      extents.K = call.extents.K;
      values.begin();
      setInputs(call);
      const shares = marks(extents);
      const runTape = runOn(team);
      for (let index = 0; index < stretches.length; index++) {
        for (const check of checks[index]) check();
        runStretch(stretches[index], shares[index], call.timings, runTape);
      }
    },
  };
}

/** Runs a stretch by `runTape`, step by step only for those who want to know how long each takes. */
function runStretch(
  { first, last, host }: Stretch,
  { pace, workers }: PacedSharing,
  timings: Call['timings'],
  runTape: (from: number, to: number, workers: number) => number,
): void {
  const steps = timings ? 1 : last - first + 1;
  for (let index = first; index <= last; index += steps) {
    const startMs = performance.now();
    let count = 0;
    if (host) host();
    else count = runTape(index, index + steps, timings ? workers : pace.workers());
    const elapsedMs = performance.now() - startMs;
    if (timings) timings[index] = elapsedMs;
    else pace.took(count, elapsedMs);
  }
}

/** A plan as the words of its tape. */
interface Tape {
  readonly words: readonly number[];
  /** The word at which each step begins, and the end. */
  readonly starts: readonly number[];
  readonly items: readonly Item[];
  readonly stretches: readonly Stretch[];
}

function encode(plan: Plan, work: readonly Work[], areas: Areas, values: Values): Tape {
  const words: number[] = [];
  const starts: number[] = [];
  const items: Item[] = [];
  const stretches: Stretch[] = [];
  for (const item of work) {
    const code = areas.elsewhere(item, instruction(item, values));
    const { index } = item;
    if (starts.length === index) starts.push(words.length);
    const { inputs, output } = item.step;
    if (code !== null)
      items.push({
        work: item,
        at: words.length,
        reads: inputs.map(values.range),
        write: values.range(output),
      });
    words.push(...(code ?? []));
    if (item.kind === 'rows' || item.kind === 'pack' || item.kind === 'hidden') continue;
    const step = plan.steps[index];
    const host = code === null ? hostStep(step, values) : null;
    const before = stretches.at(-1);
    // A step whose indices are computed in this run starts a new stretch: they are checked before it.
    if (host === null && before?.host === null && !indexed(step).some(isScratch))
      before.last = index;
    else stretches.push({ first: index, last: index, host });
  }
  starts.push(words.length);
  return { words, starts, items, stretches };
}

/** A step by the definition of the reference. */
function hostStep({ op, inputs, output, params }: Step, { operand }: Values): () => void {
  const kernel = referenceKernels[op] as Kernel<OpName>;
  return () => kernel(operand(output), inputs.map(operand), params);
}

/** Copies the inputs of a call to memory. */
function inputSetter({ steps }: Plan, { view }: Values): (call: Call) => void {
  const inputs = [...new Set(steps.flatMap((step) => step.inputs))].filter(
    (value) => value.kind === 'input',
  );
  return (call) => {
    for (const value of inputs) {
      const data = call.inputs[value.name];
      if (data === undefined)
        throw new Error(`internal: the plan has an input ${value.name}, the call does not`);
      const place = view(value);
      for (let i = 0; i < data.length; i++) if (place[i] !== data[i]) place[i] = data[i];
    }
  };
}

/** For each stretch what checks the indices that its steps read; made once, for a short plan feels every object. */
function indexChecks(
  plan: Plan,
  { view }: Values,
  extents: Call['extents'],
  stretches: readonly Stretch[],
): (() => void)[][] {
  const needed = needsCheck(plan);
  const checkOf = ({ op, inputs, params }: Step) => {
    const indices = INDEX_INPUTS[op] ?? [];
    const sides = inputs.map((value, side) => ({
      value: indices.includes(side) ? value : null,
      extent: value.extent,
      shape: [...value.shape],
      data: NOTHING as TypedArray,
    }));
    return () => {
      for (const side of sides) {
        if (side.extent) side.shape[0] = extents[side.extent];
        if (side.value !== null) side.data = view(side.value);
      }
      checkIndices(op, sides, params);
    };
  };
  return stretches.map(({ first, last }) =>
    plan.steps.filter((_, index) => first <= index && index <= last && needed[index]).map(checkOf),
  );
}

const NOTHING = new Int32Array(0);

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
