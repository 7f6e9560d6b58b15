// The wasm backend: the decoder's ops as WebAssembly SIMD, written in AssemblyScript (assembly/), a plan as one tape of
// instructions. The rest of the vocabulary runs as the reference defines it, and the report says so.
import type { Backend, BackendReport, Program } from '../backend.ts';
import { closing } from '../closing.ts';
import { OptionError, UnsupportedError } from '../errors.ts';
import { allocBuffer, readElements, type WasmBuffer, writeElements } from './buffers.ts';
import { engine } from './engine.ts';
import { MAXIMUM_BYTES } from './memory.ts';
import { chooseModule } from './module.ts';
import { createPaces } from './pace.ts';
import { placePlan, type WasmPlan } from './program.ts';
import { createStorage } from './storage.ts';
import { canStartThreads, createTeam, defaultThreads, type Kernels } from './team.ts';

/** Options of `wasm`. */
export interface WasmOptions {
  /**
   * Relaxed SIMD: multiply-adds with one rounding. By default where the engine has it; results may then differ in the last
   * bits from machine to machine, never on one. Node before 22 has it behind a flag of V8, which is set for the whole
   * process unless this is false.
   */
  readonly relaxed?: boolean;
  /**
   * 256 bits at a time: V8 joins pairs of operations where the processor has AVX2, which changes no bit of a result. By default in
   * Node 24 to 26 on x64, which have it behind a flag that is set for the whole process unless this is false.
   */
  readonly wide?: boolean;
  /** Threads, this one included; by default one per core, at most eight. A plan uses as many as make it faster. */
  readonly threads?: number;
  /**
   * Whether the memory is shared, by default where it can be; without, there is one thread. False is for tests, and for
   * pages that must not depend on cross-origin isolation.
   */
  readonly shared?: boolean;
  /** Milliseconds after which another thread that gives no answer in a run is given up; by default 10 000. */
  readonly patienceMs?: number;
  /**
   * Bytes of one memory, by default 4 GiB, all that 32-bit addresses reach. Matrices that do not fit go to further memories,
   * so the system's memory is the limit of a model. Lower it to test that.
   */
  readonly memoryLimit?: number;
}

interface WasmProgram extends Program {
  readonly placed: WasmPlan;
}

/** The wasm backend. Throws an UnsupportedError where WebAssembly SIMD is missing, or an option asks for what is. */
export function wasm(options: WasmOptions = {}): Backend {
  const { patienceMs = 10_000, memoryLimit = MAXIMUM_BYTES } = options;
  const { bytes, relaxed, shared, notes } = chooseModule(options);
  const threads = options.threads ?? (shared ? defaultThreads() : 1);
  if (!Number.isInteger(threads) || threads < 1)
    throw new OptionError(`wasm: threads: expected a whole number from 1, got ${threads}`);
  if (threads > 1 && !(shared && canStartThreads()))
    throw new UnsupportedError(
      `wasm: threads: expected 1 where there is no shared memory or no worker, got ${threads}`,
    );
  if (!Number.isInteger(memoryLimit) || memoryLimit < 2 ** 18 || memoryLimit > MAXIMUM_BYTES)
    throw new OptionError(
      `wasm: memoryLimit: expected a whole number from ${2 ** 18} to ${MAXIMUM_BYTES}, got ${memoryLimit}`,
    );
  const storage = createStorage({ shared, limit: memoryLimit }, (annex) => team.addAnnex(annex));
  const module = new engine.Module(bytes);
  const team = createTeam(storage.main, {
    module,
    threads,
    patienceMs,
    instantiate: (memory, imports) =>
      new engine.Instance(module, { env: { memory, ...imports } }).exports as Kernels,
  });
  const paceOf = createPaces();
  const executor = `${relaxed ? 'relaxed SIMD' : 'SIMD'}, ${threads} thread${threads > 1 ? 's' : ''}`;
  return closing({
    get report(): BackendReport {
      const annexes = storage.annexes();
      return {
        backend: 'wasm',
        executor,
        stepTimings: true,
        preferredRows: 64,
        notes: [
          "by the reference's definition: unary, compare, where, cast, reduce, softmax, route, matmul, transpose, concat, slice, binary but add, gather of f16 or of other axes",
          ...notes,
          ...team.notes,
          ...(annexes > 0 ? [`matrices in ${annexes + 1} memories, for want of room in one`] : []),
        ],
      };
    },
    alloc: (dtype, length, columns) => allocBuffer(storage, dtype, length, columns ?? null),
    write(buffer, data, at = 0) {
      writeElements(storage, buffer as WasmBuffer, data, at);
    },
    prepare(plan): WasmProgram {
      const placed = placePlan(plan, storage, { threads: team.threads, paceOf });
      return { plan, placed, outputs: placed.outputs, dispose: () => placed.release() };
    },
    run(program, call) {
      (program as WasmProgram).placed.run(call, team);
    },
    async read(buffer, from = 0, to = buffer.length, into = undefined) {
      team.check();
      return readElements(storage, buffer as WasmBuffer, { from, to, into });
    },
    free(buffer) {
      const { annex, address } = buffer as WasmBuffer;
      storage.release(annex, address);
    },
    dispose() {
      team.close();
      storage.close();
    },
  });
}
