// The wasm backend: the decoder's ops as WebAssembly SIMD, written in AssemblyScript (assembly/), a plan as one tape of
// instructions. The rest of the vocabulary runs as the reference defines it, and the report says so.
import type { Backend, BackendReport, Program } from '../backend.ts';
import { OptionError, UnsupportedError } from '../errors.ts';
import { binaries } from './binaries.ts';
import { allocBuffer, readElements, type WasmBuffer, writeElements } from './buffers.ts';
import { engine } from './engine.ts';
import { createMemory } from './memory.ts';
import { placePlan, type WasmPlan } from './program.ts';
import { multiplyAdds } from './tape.ts';
import { createTeam, defaultThreads, type Kernels, sleeper } from './team.ts';

/** Options of `wasm`. */
export interface WasmOptions {
  /**
   * Relaxed SIMD: multiply-adds with one rounding. By default where the engine has it; results may then differ in the last
   * bits from machine to machine, never on one.
   */
  readonly relaxed?: boolean;
  /**
   * Threads for every plan, this one included. By default one per core, at most eight, for plans of LARGE multiply-adds a
   * row or more, and one for smaller plans, where meeting costs more than sharing saves.
   */
  readonly threads?: number;
}

/** Multiply-adds a row from which a plan is shared; 1.0 ms against 2.5 ms for 3.4M on two threads. */
const LARGE = 2 ** 24;

interface WasmProgram extends Program {
  readonly placed: WasmPlan;
}

/** The wasm backend. Throws an UnsupportedError where WebAssembly SIMD or shared memory are missing. */
export function wasm({ relaxed, threads: wanted }: WasmOptions = {}): Backend {
  const threads = wanted ?? defaultThreads();
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
  const imports = { memory: memory.memory, sleep: sleeper(memory.memory) };
  const instance = new engine.Instance(module, { env: imports });
  const kernels = instance.exports as Kernels;
  const team = createTeam(memory, { module, kernels }, threads);
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
      const placed = placePlan(plan, memory, {
        threads: team.threads,
        workers: wanted === undefined && multiplyAdds(plan) < LARGE ? 1 : team.threads,
      });
      return { plan, placed, outputs: placed.outputs, dispose: () => placed.release() };
    },
    run(program, call) {
      (program as WasmProgram).placed.run(call, team);
    },
    async read(buffer, from = 0, to = buffer.length) {
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
