// A cache at run time: the slots of its sequences, and the program that reads and writes them.
import type { Program } from '../kernels/backend.ts';
import { type SlotPool, SlotSequence } from './cache.ts';
import type { Cache, Sequence } from './model.ts';
import type { RowBuffers } from './rows.ts';

/** The cache of a decoder. */
export class DecoderCache implements Cache {
  /** The parts of the model that made it, which tell it from other models. */
  readonly owner: object;
  readonly pool: SlotPool;
  readonly taps: readonly number[];
  readonly argmax: boolean;
  readonly program: Program;
  readonly buffers: RowBuffers;
  /** Null until somebody wants them. */
  timings: Float64Array | null = null;
  readonly #release: () => void;
  #disposed = false;

  constructor(parts: {
    owner: object;
    pool: SlotPool;
    taps: readonly number[];
    argmax: boolean;
    program: Program;
    buffers: RowBuffers;
    release: () => void;
  }) {
    this.owner = parts.owner;
    this.pool = parts.pool;
    this.taps = parts.taps;
    this.argmax = parts.argmax;
    this.program = parts.program;
    this.buffers = parts.buffers;
    this.#release = parts.release;
  }

  get slots(): number {
    return this.pool.slots;
  }

  get freeSlots(): number {
    return this.pool.freeSlots;
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  sequence(): Sequence {
    return new SlotSequence(this.pool);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.program.dispose();
    this.#release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
