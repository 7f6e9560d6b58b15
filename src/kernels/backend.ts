// The interface of a backend: storage, and running recorded plans. Types only.
import type { Buffer, Call, DType, Plan, TypedArray } from './plan.ts';

/** What really runs, in words a user can act on. */
export interface BackendReport {
  /** `reference`, `cpu`, `gpu`. */
  readonly backend: string;
  /** The mode or executor that runs, e.g. `float64 loops`, `typed arrays`, `webasm fused-sync`. */
  readonly executor: string;
  /** True when `Call.timings` is filled per step. */
  readonly stepTimings: boolean;
  /** Rows a plan should be recorded for when the caller has no reason to choose: more cost memory, fewer cost calls. */
  readonly preferredRows: number;
  /** True where results come from the memory of a device, so that choosing there costs less than reading a vocabulary. */
  readonly deviceMemory?: boolean;
  /** Anything a user should know: casts, ops without an own kernel, thread counts, why a mode was chosen. */
  readonly notes: readonly string[];
}

/** A plan made ready by a backend; `outputs[i]` holds `plan.outputs[i]` after each run. */
export interface Program {
  readonly plan: Plan;
  readonly outputs: readonly Buffer[];
  /** Gives back the scratch and output buffers. Constants and states stay. */
  dispose(): void;
}

/**
 * Allocate, write, prepare and run plans, read, free. Runs happen in the order they are asked for; `run` never
 * waits, `read` is the only wait and sees every run before it.
 */
export interface Backend {
  readonly report: BackendReport;
  /**
   * Zero-filled. `columns`, the width of a row, says that this is a matrix for `linear` and `gather`: a backend may keep it in
   * an order of its own. Throws an UnsupportedError for a dtype it does not hold.
   */
  alloc(dtype: DType, length: number, columns?: number): Buffer;
  /** Copies `data` to `buffer` from element `at` on, whole blocks; `data` has the array type of the buffer's dtype. */
  write(buffer: Buffer, data: TypedArray, at?: number): void;
  /**
   * The storage itself, in the layout of a file, where the host can reach it; a loader reads into it instead of `write`.
   * Absent or null where a backend keeps another layout. Valid until the next `alloc`.
   */
  bytes?(buffer: Buffer): Uint8Array | null;
  prepare(plan: Plan): Program;
  run(program: Program, call: Call): void;
  /** A copy of elements [from, to), in `into` where that is given: an array of the dtype with so many entries. */
  read(buffer: Buffer, from?: number, to?: number, into?: TypedArray): Promise<TypedArray>;
  free(buffer: Buffer): void;
  /** Gives back everything, at once and once: later calls do nothing, and every other use throws. */
  dispose(): void;
  [Symbol.dispose](): void;
}
