// A plan as kernel calls over grids: what lowering gives and compiling takes. Types only.
import type { Extent, Step, Value } from '../plan.ts';
import type { Grid, Scalar } from './programs.ts';

/** A value that is on the host before a run. */
export type Constant = Extract<Value, { readonly kind: 'constant' | 'state' }>;
type Input = Extract<Value, { readonly kind: 'input' }>;

/**
 * What is made resident of constants, one below the other: elements as f32, of blocks their words (packed.ts) or their scales, or
 * words with the bits of the file (raw.ts).
 */
export interface Resident {
  readonly values: readonly Constant[];
  readonly part: 'elements' | 'words' | 'scales' | 'raw';
  readonly shape: readonly number[];
}

/** An array that comes with every run: an input, or rows of a table that stays on the host. */
export type ArgumentSource =
  | { readonly kind: 'input'; readonly input: Input }
  | { readonly kind: 'rows'; readonly table: Constant; readonly index: Input };

/** One call of one kernel. */
export interface KernelCall {
  readonly source: string;
  /** Columns and rows of the buffer; columns are a multiple of 4. */
  readonly size: readonly [number, number];
  /** Arrays in the order of the parameters a0, a1, ...; never constants. */
  readonly arrays: readonly Grid[];
  /** Numbers after the arrays. */
  readonly scalars: readonly Scalar[];
  /** Indices into `Lowered.constants`, named c0, c1, ... after that index. */
  readonly constants: readonly number[];
}

/** A result to read back: `columns` of all rows, or of `perExtent.rows` for each row in use. */
export interface Result {
  readonly call: number;
  readonly columns: number;
  readonly rows: number;
  readonly perExtent: { readonly extent: Extent; readonly rows: number } | null;
}

export interface Lowered {
  readonly calls: readonly KernelCall[];
  readonly constants: readonly Resident[];
  readonly arguments: readonly ArgumentSource[];
  readonly results: readonly Result[];
  /** The states the plan writes, with the call that holds each, and what it starts with: a constant, or zeros. */
  readonly states: readonly {
    readonly value: Constant;
    readonly call: number;
    readonly initial: number | null;
  }[];
  /** Steps whose indices are known before the run. */
  readonly indexed: readonly Step[];
  /** More than any loop takes; gpu.js cuts loops at 1000 without a word. */
  readonly loopLimit: number;
}
