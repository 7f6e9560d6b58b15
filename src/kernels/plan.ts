// What a forward pass becomes: a list of kernel calls over values of static shape. Types only.
//
// A value with an extent has a leading dimension of which only the first rows are in use in a given
// run: `T` token rows, or `K` rows kept for the head. Everything else about a plan is fixed when it
// is recorded, so a backend may compile it once.

/**
 * Element types. f16 and bf16 are held as their 16-bit patterns, bool as 0 or 1 in a byte; q8_0 and q4_0 are the weights
 * of a matrix in blocks of 32 along its rows (blocks.ts), in bytes.
 */
export type DType = 'f32' | 'f16' | 'bf16' | 'q8_0' | 'q4_0' | 'i8' | 'i32' | 'u8' | 'bool';

/** Host arrays: f32 Float32Array; f16, bf16 Uint16Array; i8 Int8Array; i32 Int32Array; u8, bool, q8_0, q4_0 Uint8Array. */
export type TypedArray = Float32Array | Uint16Array | Int8Array | Int32Array | Uint8Array;

/** Storage owned by one backend; opaque to everybody else. */
export interface Buffer {
  readonly dtype: DType;
  /** In elements. */
  readonly length: number;
}

/** Which run-time row count replaces the leading dimension of a value. */
export type Extent = 'T' | 'K';

/**
 * One tensor of a plan.
 * - `constant`: data that exists before the run (weights, tables); a plan never writes it.
 * - `state`: data that survives from run to run and is written in place (the key/value cache); zero at first.
 * - `input`: written by the caller before every run.
 * - `scratch`: the result of a step.
 */
export type Value =
  | (ValueBase & { readonly kind: 'constant'; readonly buffer: Buffer; readonly offset: number })
  | (ValueBase & { readonly kind: 'state'; readonly buffer: Buffer; readonly offset: number })
  | (ValueBase & { readonly kind: 'input'; readonly name: string })
  | (ValueBase & { readonly kind: 'scratch' });

interface ValueBase {
  readonly dtype: DType;
  /** Row-major and contiguous; the leading dimension is the largest one when there is an extent. */
  readonly shape: readonly number[];
  readonly extent?: Extent | undefined;
}

export type UnaryFn =
  | 'neg'
  | 'abs'
  | 'sign'
  | 'floor'
  | 'ceil'
  | 'square'
  | 'sqrt'
  | 'rsqrt'
  | 'reciprocal'
  | 'exp'
  | 'log'
  | 'sin'
  | 'cos'
  | 'tanh'
  | 'sigmoid'
  | 'relu'
  | 'silu'
  | 'gelu'
  | 'not';
export type BinaryFn = 'add' | 'sub' | 'mul' | 'div' | 'pow' | 'max' | 'min';
export type CompareFn = 'eq' | 'ne' | 'lt' | 'le' | 'gt' | 'ge';
export type ReduceFn = 'sum' | 'mean' | 'max' | 'min' | 'argmax' | 'argmin';

/**
 * The closed set of kernels, with what is fixed when a call is recorded. The comment gives inputs -> output;
 * `kernels/reference.ts` gives the meaning. A backend that misses one does not compile.
 */
export interface OpParams {
  /** x [T, I], weight [O, I], bias? [O] -> [T, O] */
  linear: Record<never, never>;
  /** x [T, N*D], gain [D] -> [T, N*D]; every one of the N groups is normalised by itself. */
  rmsNorm: { readonly eps: number };
  /**
   * x [T, heads*D], positions i32 [T], cos [P, R/2], sin [P, R/2] -> [T, heads*D]; pairs (d, d + R/2) of the first R columns of
   * every head, the others as they are.
   */
  rope: { readonly heads: number };
  /** state [S, W] (in place), rows [T, W], slots i32 [T] -> state */
  scatter: Record<never, never>;
  /**
   * q [T, H*D], keys [S, G*D], values [S, G*D], visible i32 [N], starts i32 [T], counts i32 [T] -> [T, H*D].
   * Row t sees the slots visible[starts[t] .. starts[t] + counts[t]), one per position in ascending order, of
   * which the last `window` (0 = all).
   */
  attention: {
    readonly heads: number;
    readonly kvHeads: number;
    readonly scale: number;
    readonly window: number;
  };
  /** gate [T, F], up [T, F] -> [T, F] */
  siluMul: Record<never, never>;
  /**
   * logits [T, E], bias? [E] -> shares [T, E]. The scores of a row are its softmax, or its sigmoids. The `count` largest are kept, of
   * equals the first ones, and others are 0; the bias is added to compare them, no longer. Of `groups` of neighbours only those
   * `groupsKept` count whose two largest have the largest sums. What is kept is divided by its sum where `normalised`, and
   * multiplied with `factor`.
   */
  route: {
    readonly count: number;
    readonly scores: 'softmax' | 'sigmoid';
    readonly normalised: boolean;
    readonly factor: number;
    readonly groups: number;
    readonly groupsKept: number;
  };
  /**
   * x [T, C], shares [T, E], gateUp [E, 2*F, C], down [E, C, F] -> [T, C]; experts without a share are not computed, and `count` of a
   * row have one.
   */
  experts: { readonly count: number };
  /** x, index i32 [N] -> x with `axis` replaced by N; every kind of float, blocks included, comes out as f32. */
  gather: { readonly axis: number };
  /** x -> same shape */
  unary: { readonly fn: UnaryFn };
  /** a, b (numpy broadcasting) -> the broadcast shape */
  binary: { readonly fn: BinaryFn };
  /** a, b (numpy broadcasting) -> bool */
  compare: { readonly fn: CompareFn };
  /** condition bool, a, b (numpy broadcasting) -> the broadcast shape */
  where: Record<never, never>;
  /** x -> same shape in the dtype of the output */
  cast: Record<never, never>;
  /** x -> x without `axis`; argmax and argmin give i32, ties to the lowest index */
  reduce: { readonly fn: ReduceFn; readonly axis: number };
  /** x -> same shape, over the last axis; `log` for log-softmax */
  softmax: { readonly log: boolean };
  /** a [..., M, I], b [..., I, N] with equal leading dimensions -> [..., M, N] */
  matmul: Record<never, never>;
  /** x -> its axes in the order given, copied */
  transpose: { readonly axes: readonly number[] };
  /** two or more tensors -> joined along `axis` */
  concat: { readonly axis: number };
  /** x -> x[from .. to) along `axis`, copied */
  slice: { readonly axis: number; readonly from: number; readonly to: number };
}

export type OpName = keyof OpParams;

/** One kernel call. `scatter` names its state as input 0 and as output. */
export interface Step<Op extends OpName = OpName> {
  readonly op: Op;
  readonly inputs: readonly Value[];
  readonly output: Value;
  readonly params: OpParams[Op];
}

/** A recorded computation. */
export interface Plan {
  readonly steps: readonly Step[];
  /** What a caller may read after a run. */
  readonly outputs: readonly Value[];
}

/** One run: how many rows are in use, and the inputs by name (a prefix of the input may be given). */
export interface Call {
  readonly extents: Readonly<Record<Extent, number>>;
  readonly inputs: Readonly<Record<string, TypedArray>>;
  /** Filled with milliseconds per step by backends whose report says `stepTimings`. */
  readonly timings?: Float64Array | undefined;
}
