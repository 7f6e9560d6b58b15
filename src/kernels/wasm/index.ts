// The wasm backend: the decoder's ops as WebAssembly SIMD, written in AssemblyScript (assembly/), a plan as one tape of
// instructions. The rest of the vocabulary runs as the reference defines it, and the report says so.
import type { Backend, BackendReport, Program } from '../backend.ts';
import { OptionError, UnsupportedError } from '../errors.ts';
import { binaries } from './binaries.ts';
import { allocBuffer, readElements, type WasmBuffer, writeElements } from './buffers.ts';
import { engine } from './engine.ts';
import { createMemory } from './memory.ts';
import { placePlan, type WasmPlan } from './program.ts';
import { createTeam, defaultThreads, type Kernels } from './team.ts';

/** Options of `wasm`. */
export interface WasmOptions {
  /**
   * Relaxed SIMD: multiply-adds with one rounding. By default where the engine has it; results may then differ in the last
   * bits from machine to machine, never on one.
   */
  readonly relaxed?: boolean;
  /** Threads, this one included; by default one per core, at most eight. A plan uses as many as make it faster. */
  readonly threads?: number;
  /** Milliseconds after which another thread that gives no answer in a run is given up; by default 10 000. */
  readonly patienceMs?: number;
}

interface WasmProgram extends Program {
  readonly placed: WasmPlan;
}

/** The wasm backend. Throws an UnsupportedError where WebAssembly SIMD or shared memory are missing. */
export function wasm({
  relaxed,
  threads = defaultThreads(),
  patienceMs = 10_000,
}: WasmOptions = {}): Backend {
  if (!Number.isInteger(threads) || threads < 1)
    throw new OptionError(`wasm: threads: expected a whole number from 1, got ${threads}`);
  const hasRelaxed = engine.validate(bytesFrom(binaries.relaxed));
  if (relaxed && !hasRelaxed)
    throw new UnsupportedError('wasm: expected an engine with relaxed SIMD, got one without');
  const bytes = bytesFrom((relaxed ?? hasRelaxed) ? binaries.relaxed : binaries.simd);
  if (!engine.validate(bytes))
    throw new UnsupportedError(
      'wasm: expected an engine with WebAssembly SIMD and shared memory, got one without',
    );
  const memory = createMemory();
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
    executor: `${(relaxed ?? hasRelaxed) ? 'relaxed SIMD' : 'SIMD'}, ${team.threads} thread${team.threads > 1 ? 's' : ''}`,
    stepTimings: true,
    preferredRows: 64,
    notes: [
      "by the reference's definition: unary, compare, where, cast, reduce, softmax, matmul, transpose, concat, slice, binary but add, gather of f16 or of other axes",
    ],
  };
  return {
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
    dispose: () => team.close(),
  };
}

function bytesFrom(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
