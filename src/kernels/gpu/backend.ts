// Runs of the gpu backend. Everything that touches data waits its turn in one queue, so a program may use the results of
// another before they are there, and `run` never waits. States live inside the pipeline that writes them.
import type { Backend, BackendReport, Program } from '../backend.ts';
import { BLOCK, BLOCK_BYTES, type BlockDType, isBlocked } from '../blocks.ts';
import { closing } from '../closing.ts';
import { arrayFor, copyOf, elements, entriesOf } from '../dtype.ts';
import { ShapeError, UnsupportedError } from '../errors.ts';
import type { Call, DType, TypedArray, Value } from '../plan.ts';
import { sizeOf } from '../size.ts';
import { compileChain } from './chain.ts';
import type { GpuModule } from './gpujs.ts';
import { argumentData, checkStepIndices, takeInputs } from './inputs.ts';
import { lower } from './lower.ts';
import type { Constant, Lowered, Resident } from './lowered.ts';
import { packScales, packWords } from './packed.ts';
import { type CompiledPlan, compilePlan, type PipelineOptions } from './pipeline.ts';
import { packRawWords, type RawDType } from './raw.ts';
import {
  allocBuffer,
  bufferOf,
  checkIntegers,
  checkPresent,
  contentOf,
  floatsOf,
  type GpuBuffer,
  type Owner,
  store,
} from './storage.ts';

const LOST = 'gpu: a run failed and the states of its program are lost; prepare the plan again';

interface GpuProgram extends Program, Owner {
  readonly outputs: readonly GpuBuffer[];
  readonly lowered: Lowered;
  compiled: CompiledPlan | null;
  /** Versions of the constants when they were made resident. */
  versions: readonly number[];
}

/** The backend over a loaded package. */
export function createGpuBackend(
  module: GpuModule,
  options: PipelineOptions,
  notes: readonly string[],
): Backend {
  // Cells that a kernel does not return hold garbage in GL modes.
  const inPlace = options.mode !== 'webgl2';
  const executors = new Set<string>();
  const programs = new Set<GpuProgram>();
  let queue: Promise<void> = Promise.resolve();
  let waiting = 0;

  /** Runs a task that does not throw after all before it. */
  const enqueue = (task: () => void | Promise<void>) => {
    waiting++;
    queue = queue.then(task).then(() => {
      waiting--;
    });
  };

  const execute = async (
    program: GpuProgram,
    extents: Call['extents'],
    inputs: ReadonlyMap<string, TypedArray>,
  ) => {
    if (program.failure !== null) return;
    const { lowered } = program;
    try {
      const scalars = { ...extents, first: program.compiled === null ? 1 : 0 };
      checkConstants(program);
      checkStepIndices(lowered, extents, (value) =>
        value.kind === 'input' ? inputs.get(value.name) : 'buffer' in value && floatsOf(value),
      );
      const compile = inPlace ? compilePlan : compileChain;
      program.compiled ??= compile(module, lowered, options, (index) =>
        residentOf(lowered.constants[index]),
      );
      const arrays = lowered.arguments.map((source) => argumentData(source, inputs));
      const results = await program.compiled.run(arrays, scalars);
      if (program.compiled.executor !== null) executors.add(program.compiled.executor);
      for (const [index, { columns, rows, perExtent }] of lowered.results.entries()) {
        const used = perExtent === null ? rows : extents[perExtent.extent] * perExtent.rows;
        store(program.outputs[index], results[index].slice(0, used), columns);
      }
    } catch (error) {
      program.failure =
        error instanceof UnsupportedError || error instanceof ShapeError
          ? error
          : new Error(LOST, { cause: error });
    }
  };

  /** Moves a state into a program; one that its program returns is on the host after every run and can move on. */
  const claim = (state: GpuBuffer, program: GpuProgram) => {
    if (state.owner !== null)
      state.owner.retired ??= new UnsupportedError(
        'gpu: run: expected a program with its states, got one whose state has moved to another',
      );
    state.owner = program;
    if (!program.outputs.includes(state)) state.away = 'a state that is resident in its program';
  };

  return closing({
    get report(): BackendReport {
      const ran = [...executors].join(', ');
      return {
        backend: 'gpu',
        executor: ran === '' ? `${options.mode}, not run yet` : ran,
        stepTimings: false,
        preferredRows: 16,
        deviceMemory: options.mode === 'webgpu' || options.mode === 'webgl2',
        notes,
      };
    },
    alloc: allocBuffer,
    write(buffer, data, at = 0) {
      const target = buffer as GpuBuffer;
      checkIntegers('write', target.dtype, data);
      const from = entriesOf(target.dtype, at);
      if (at < 0 || from + data.length > target.data.length)
        throw new ShapeError(
          `gpu: write: expected elements up to ${target.length}, got ${at} + ${elementsIn(data, target.dtype)}`,
        );
      if (target.owner !== null)
        throw new UnsupportedError(
          'gpu: write: expected a buffer that no program writes, got a state or a result',
        );
      const set = (source: TypedArray) => {
        target.data.set(source, from);
        target.version++;
      };
      if (waiting === 0) set(data);
      else {
        const copy = data.slice();
        enqueue(() => set(copy));
      }
    },
    prepare(plan) {
      const hasData = (value: Value) =>
        bufferOf(value).owner !== null || bufferOf(value).version > 0;
      const lowered = lower(plan, {
        hasData,
        inPlace,
        layout: options.layout,
        raw: options.raw,
        maxColumns: options.maxSide,
      });
      const states = new Set(lowered.states.map(({ value }) => bufferOf(value)));
      for (const { values } of lowered.constants)
        for (const value of values) checkPresent('prepare', bufferOf(value));
      checkSizes(lowered, options);
      for (const state of states) checkPresent('prepare', state);
      const outputs = plan.outputs.map((value) =>
        'buffer' in value && states.has(bufferOf(value))
          ? bufferOf(value)
          : allocBuffer(value.dtype, sizeOf(value.shape)),
      );
      const program: GpuProgram = {
        plan,
        outputs,
        lowered,
        compiled: null,
        versions: [],
        failure: null,
        retired: null,
        dispose() {
          programs.delete(program);
          program.retired ??= new Error('gpu: run: expected a program, got a disposed one');
          enqueue(() => {
            program.compiled?.destroy();
            // Results that are still held must not hold its memory.
            program.compiled = null;
          });
        },
      };
      for (const state of states) claim(state, program);
      for (const output of outputs) output.owner = program;
      programs.add(program);
      return program;
    },
    run(program, call) {
      const target = program as GpuProgram;
      const refused = target.failure ?? target.retired;
      if (refused !== null) throw refused;
      const inputs = takeInputs(target.lowered, call);
      const extents = { ...call.extents };
      enqueue(() => execute(target, extents, inputs));
    },
    read(buffer, from = 0, to = buffer.length, into = undefined) {
      const source = buffer as GpuBuffer;
      return queue.then(() => {
        if (source.owner?.failure) throw source.owner.failure;
        checkPresent('read', source);
        const copy = copyOf(elements(source.data, source.dtype, from, to), into);
        checkIntegers('read', source.dtype, copy);
        return copy;
      });
    },
    free(buffer) {
      enqueue(() => {
        (buffer as GpuBuffer).data = arrayFor(buffer.dtype, 0);
      });
    },
    dispose() {
      for (const program of programs) program.dispose();
    },
  });
}

/** What is put on the device of a constant. */
function residentOf({ values, part, shape }: Resident): Float32Array {
  const dataOf = (value: Constant): Float32Array => {
    if (part === 'elements') return floatsOf(value);
    const content = contentOf(value);
    if (part === 'raw') return packRawWords(content, value.dtype as RawDType);
    const pack = part === 'words' ? packWords : packScales;
    return pack(content as Uint8Array, value.dtype as BlockDType);
  };
  if (values.length === 1) return dataOf(values[0]);
  const all = new Float32Array(sizeOf(shape));
  let at = 0;
  for (const value of values) {
    const data = dataOf(value);
    all.set(data, at);
    at += data.length;
  }
  return all;
}

/** Elements of an array of a dtype. */
const elementsIn = ({ length }: TypedArray, dtype: DType): number =>
  isBlocked(dtype) ? (length / BLOCK_BYTES[dtype]) * BLOCK : length;

/** Every array is one buffer of the device. */
function checkSizes(
  { constants, calls }: Lowered,
  { maxBytes, maxSide }: Pick<PipelineOptions, 'maxBytes' | 'maxSide'>,
): void {
  const check = (what: string, shape: readonly number[]) => {
    const bytes = 4 * sizeOf(shape);
    if (bytes > maxBytes)
      throw new UnsupportedError(
        `gpu: expected arrays of at most ${maxBytes} bytes, which is what the device takes, got ${what} [${shape.join(', ')}] of ${bytes} bytes as f32`,
      );
  };
  for (const { values, shape } of constants) check(`a ${values[0].kind}`, shape);
  for (const { size } of calls) {
    check('a result', size);
    if (Math.max(...size) > maxSide)
      throw new UnsupportedError(
        `gpu: expected results of at most ${maxSide} rows and columns, which is what the device takes, got one of ${size[1]} rows and ${size[0]} columns`,
      );
  }
}

/** Resident copies of constants are made once; a change after that would not be seen. */
function checkConstants(program: GpuProgram): void {
  // What a state held before the first run is used once.
  const buffers = program.lowered.constants.flatMap(({ values }) => values.map(bufferOf));
  const versions = buffers.filter(({ owner }) => owner !== program).map(({ version }) => version);
  if (program.compiled === null) program.versions = versions;
  else if (versions.some((version, index) => version !== program.versions[index]))
    throw new UnsupportedError(
      'gpu: expected constants that stay as they were in the first run, got one that has been written since',
    );
}
