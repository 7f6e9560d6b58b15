// The wasm backend: the decoder's ops as WebAssembly SIMD, written in AssemblyScript (assembly/), a plan as one tape of
// instructions. The rest of the vocabulary runs as the reference defines it, and the report says so.
import type { Backend, BackendReport, Program } from '../backend.ts';
import { closing } from '../closing.ts';
import { OptionError, UnsupportedError } from '../errors.ts';
import { allocBuffer, readElements, type WasmBuffer, writeElements } from './buffers.ts';
import { engine } from './engine.ts';
import { createMemory, MAXIMUM_BYTES } from './memory.ts';
import { chooseModule } from './module.ts';
import { placePlan, type WasmPlan } from './program.ts';
import { canStartThreads, createTeam, defaultThreads, type Kernels } from './team.ts';

/** Options of `wasm`. */
export interface WasmOptions {
  /**
   * Relaxed SIMD: multiply-adds with one rounding. By default where the engine has it; results may then differ in the last
   * bits from machine to machine, never on one. Node before 22 has it behind a flag of V8, which is set for the whole
   * process unless this is false.
   */
  readonly relaxed?: boolean;
  /** Threads, this one included; by default one per core, at most eight. A plan uses as many as make it faster. */
  readonly threads?: number;
  /**
   * Whether the memory is shared, by default where it can be; without, there is one thread. False is for tests, and for
   * pages that must not depend on cross-origin isolation.
   */
  readonly shared?: boolean;
  /** Milliseconds after which another thread that gives no answer in a run is given up; by default 10 000. */
  readonly patienceMs?: number;
}

interface WasmProgram extends Program {
  readonly placed: WasmPlan;
}

/** The wasm backend. Throws an UnsupportedError where WebAssembly SIMD is missing, or an option asks for what is. */
export function wasm(options: WasmOptions = {}): Backend {
  const { patienceMs = 10_000 } = options;
  const { bytes, relaxed, shared, notes } = chooseModule(options);
  const threads = options.threads ?? (shared ? defaultThreads() : 1);
  if (!Number.isInteger(threads) || threads < 1)
    throw new OptionError(`wasm: threads: expected a whole number from 1, got ${threads}`);
  if (threads > 1 && !(shared && canStartThreads()))
    throw new UnsupportedError(
      `wasm: threads: expected 1 where there is no shared memory or no worker_threads, got ${threads}`,
    );
  const memory = createMemory({
    shared,
    limit: MAXIMUM_BYTES,
    full: 'caches, results and small weights; reduce contextLength or maxRows',
  });
  const module = new engine.Module(bytes);
  const team = createTeam(memory, {
    module,
    threads,
    patienceMs,
    instantiate(sleep) {
      const env = { memory: memory.memory, sleep };
      return new engine.Instance(module, { env }).exports as Kernels;
    },
  });
  const report: BackendReport = {
    backend: 'wasm',
    executor: `${relaxed ? 'relaxed SIMD' : 'SIMD'}, ${team.threads} thread${team.threads > 1 ? 's' : ''}`,
    stepTimings: true,
    preferredRows: 64,
    notes: [
      "by the reference's definition: unary, compare, where, cast, reduce, softmax, matmul, transpose, concat, slice, binary but add, gather of f16 or of other axes",
      ...notes,
    ],
  };
  return closing({
    report,
    alloc: (dtype, length, columns) => allocBuffer(memory, dtype, length, columns ?? null),
    write(buffer, data, at = 0) {
      writeElements(memory, buffer as WasmBuffer, data, at);
    },
    prepare(plan): WasmProgram {
      const placed = placePlan(plan, memory, team.threads);
      return { plan, placed, outputs: placed.outputs, dispose: () => placed.release() };
    },
    run(program, call) {
      (program as WasmProgram).placed.run(call, team);
    },
    async read(buffer, from = 0, to = buffer.length) {
      team.check();
      return readElements(memory, buffer as WasmBuffer, from, to);
    },
    free(buffer) {
      memory.release((buffer as WasmBuffer).address);
    },
    dispose() {
      team.close();
      memory.close();
    },
  });
}
