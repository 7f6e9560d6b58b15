// The vocabulary: one function per op, which checks shapes and dtypes and then emits one kernel call. Where the call
// goes is the sink's business: `scope` runs it at once, `record` appends it to a plan. The meaning of every op is in
// kernels/reference.ts.
import type {
  BinaryFn,
  CompareFn,
  DType,
  Extent,
  OpName,
  OpParams,
  ReduceFn,
  UnaryFn,
} from '../kernels/plan.ts';
import { broadcastShape, check, resolveAxis, type Shape, sameShape, show } from './shape.ts';
import type { Tensor } from './tensor.ts';

/** Shape, dtype and extent of a result. */
export interface ResultSpec {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly extent?: Extent | undefined;
}

/** Where a checked kernel call goes. */
export type Emit = <Op extends OpName>(
  op: Op,
  inputs: readonly Tensor[],
  params: OpParams[Op],
  result: ResultSpec,
) => Tensor;

export type Ops = ReturnType<typeof createOps>;

const describe = (...tensors: readonly (Tensor | undefined)[]) =>
  tensors
    .filter((tensor) => tensor !== undefined)
    .map((tensor) => `${tensor.dtype} ${show(tensor.shape)}`)
    .join(', ');

const isFloat = (dtype: DType) => dtype === 'f32' || dtype === 'f16' || dtype === 'bf16';
const isIndex = (tensor: Tensor) => tensor.dtype === 'i32' && tensor.shape.length === 1;

/** The vocabulary over a sink. */
export function createOps(emit: Emit) {
  /** Same shape and extent as `x`. */
  const like = (x: Tensor, dtype: DType = x.dtype): ResultSpec => ({
    shape: x.shape,
    dtype,
    extent: x.extent,
  });

  const broadcast = (op: string, dtype: DType, ...tensors: readonly Tensor[]): ResultSpec => {
    let shape: Shape = [];
    let extent: Extent | undefined;
    for (const tensor of tensors) {
      shape = broadcastShape(op, shape, tensor.shape);
      check(
        !extent || !tensor.extent || extent === tensor.extent,
        op,
        'rows of one kind',
        `${extent} and ${tensor.extent}`,
      );
      extent ??= tensor.extent;
    }
    return { shape, dtype, extent };
  };

  const unary = (fn: UnaryFn) => (x: Tensor) => {
    check(
      fn === 'not' ? x.dtype === 'bool' : x.dtype === 'f32',
      fn,
      fn === 'not' ? 'bool' : 'f32',
      describe(x),
    );
    return emit('unary', [x], { fn }, like(x));
  };

  const binary = (fn: BinaryFn) => (a: Tensor, b: Tensor) => {
    check(
      a.dtype === b.dtype && (a.dtype === 'f32' || a.dtype === 'i32'),
      fn,
      'two f32 or two i32',
      describe(a, b),
    );
    return emit('binary', [a, b], { fn }, broadcast(fn, a.dtype, a, b));
  };

  const compare = (fn: CompareFn) => (a: Tensor, b: Tensor) => {
    check(a.dtype === b.dtype, fn, 'two tensors of one dtype', describe(a, b));
    return emit('compare', [a, b], { fn }, broadcast(fn, 'bool', a, b));
  };

  const reduce =
    (fn: ReduceFn) =>
    (x: Tensor, axis = -1) => {
      check(x.dtype === 'f32' || x.dtype === 'i32', fn, 'f32 or i32', describe(x));
      const at = resolveAxis(fn, axis, x.shape.length);
      check(x.shape[at] > 0, fn, 'an axis with elements', describe(x));
      check(!(at === 0 && x.extent), fn, 'an axis other than the rows of the call', describe(x));
      const dtype: DType = fn.startsWith('arg') ? 'i32' : x.dtype;
      return emit(
        'reduce',
        [x],
        { fn, axis: at },
        { shape: x.shape.toSpliced(at, 1), dtype, extent: x.extent },
      );
    };

  const softmax = (log: boolean) => (x: Tensor) => {
    check(x.dtype === 'f32' && x.shape.length > 0, 'softmax', 'f32 [..., N]', describe(x));
    return emit('softmax', [x], { log }, like(x));
  };

  return {
    /** x f32 [T, I] · weight [O, I]ᵀ + bias f32 [O] -> f32 [T, O]; the weight may be f32, f16 or bf16. */
    linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
      const [rows, inner] = x.shape;
      const [outer] = weight.shape;
      check(
        x.dtype === 'f32' &&
          x.shape.length === 2 &&
          weight.shape.length === 2 &&
          weight.shape[1] === inner &&
          isFloat(weight.dtype) &&
          (!bias || (bias.dtype === 'f32' && sameShape(bias.shape, [outer]))),
        'linear',
        'x f32 [T, I], weight f32, f16 or bf16 [O, I], bias f32 [O]',
        describe(x, weight, bias),
      );
      const inputs = bias ? [x, weight, bias] : [x, weight];
      return emit('linear', inputs, {}, { shape: [rows, outer], dtype: 'f32', extent: x.extent });
    },

    /** Root-mean-square norm of every group of D columns: x f32 [T, N*D], gain f32 [D] -> f32 [T, N*D]. */
    rmsNorm(x: Tensor, gain: Tensor, eps: number): Tensor {
      check(
        x.dtype === 'f32' &&
          x.shape.length === 2 &&
          gain.dtype === 'f32' &&
          gain.shape.length === 1 &&
          x.shape[1] % gain.shape[0] === 0,
        'rmsNorm',
        'x f32 [T, N*D], gain f32 [D]',
        describe(x, gain),
      );
      return emit('rmsNorm', [x, gain], { eps }, like(x));
    },

    /** Rotary positions, half-split pairs: x f32 [T, heads*D], positions i32 [T], cos and sin f32 [P, D/2]. */
    rope(x: Tensor, positions: Tensor, cos: Tensor, sin: Tensor, heads: number): Tensor {
      check(
        x.dtype === 'f32' &&
          x.shape.length === 2 &&
          isIndex(positions) &&
          positions.shape[0] === x.shape[0] &&
          sameShape(cos.shape, sin.shape) &&
          x.shape[1] === heads * cos.shape[1] * 2,
        'rope',
        'x f32 [T, heads*D], positions i32 [T], cos and sin f32 [P, D/2]',
        describe(x, positions, cos, sin),
      );
      return emit('rope', [x, positions, cos, sin], { heads }, like(x));
    },

    /** Writes rows f32 [T, W] to the given slots of state f32 [S, W], in place; returns the state. */
    scatter(state: Tensor, rows: Tensor, slots: Tensor): Tensor {
      check(
        state.value.kind === 'state' &&
          state.dtype === rows.dtype &&
          state.shape[1] === rows.shape[1] &&
          isIndex(slots) &&
          slots.shape[0] === rows.shape[0],
        'scatter',
        'state [S, W], rows [T, W], slots i32 [T]',
        describe(state, rows, slots),
      );
      return emit('scatter', [state, rows, slots], {}, like(state));
    },

    /**
     * Grouped-query attention over slots: softmax(q·kᵀ·scale)·v. q f32 [T, H*D], keys and values f32 [S, G*D]; row t
     * sees visible[starts[t] .. starts[t] + counts[t]), of which the last `window` (0 = all). -> f32 [T, H*D]
     */
    attention(
      q: Tensor,
      keys: Tensor,
      values: Tensor,
      sight: { readonly visible: Tensor; readonly starts: Tensor; readonly counts: Tensor },
      params: OpParams['attention'],
    ): Tensor {
      const { visible, starts, counts } = sight;
      const headDim = q.shape[1] / params.heads;
      check(
        q.dtype === 'f32' &&
          sameShape(keys.shape, values.shape) &&
          keys.shape[1] === params.kvHeads * headDim &&
          params.heads % params.kvHeads === 0 &&
          isIndex(visible) &&
          isIndex(starts) &&
          isIndex(counts) &&
          starts.shape[0] === q.shape[0] &&
          counts.shape[0] === q.shape[0],
        'attention',
        'q f32 [T, H*D], keys and values f32 [S, G*D], visible i32 [N], starts and counts i32 [T]',
        describe(q, keys, values, visible, starts, counts),
      );
      return emit('attention', [q, keys, values, visible, starts, counts], params, like(q));
    },

    /** silu(gate) * up, the gated half of a SwiGLU feed-forward (Shazeer, 2020). Both f32 [T, F]. */
    siluMul(gate: Tensor, up: Tensor): Tensor {
      check(
        gate.dtype === 'f32' && up.dtype === 'f32' && sameShape(gate.shape, up.shape),
        'siluMul',
        'two f32 of one shape',
        describe(gate, up),
      );
      return emit('siluMul', [gate, up], {}, like(gate));
    },

    /** The slices index i32 [N] of x along an axis; f16 and bf16 come out as f32. Embedding is a gather of rows. */
    gather(x: Tensor, index: Tensor, axis = 0): Tensor {
      const at = resolveAxis('gather', axis, x.shape.length);
      check(isIndex(index), 'gather', 'index i32 [N]', describe(index));
      check(at === 0 || !index.extent, 'gather', 'row indices for rows of the call', `axis ${at}`);
      return emit(
        'gather',
        [x, index],
        { axis: at },
        {
          shape: x.shape.with(at, index.shape[0]),
          dtype: isFloat(x.dtype) ? 'f32' : x.dtype,
          extent: at === 0 ? index.extent : x.extent,
        },
      );
    },

    neg: unary('neg'),
    abs: unary('abs'),
    sign: unary('sign'),
    floor: unary('floor'),
    ceil: unary('ceil'),
    square: unary('square'),
    sqrt: unary('sqrt'),
    rsqrt: unary('rsqrt'),
    reciprocal: unary('reciprocal'),
    exp: unary('exp'),
    log: unary('log'),
    sin: unary('sin'),
    cos: unary('cos'),
    tanh: unary('tanh'),
    sigmoid: unary('sigmoid'),
    relu: unary('relu'),
    silu: unary('silu'),
    /** The exact form x·Φ(x), not the tanh approximation. */
    gelu: unary('gelu'),
    /** bool -> bool */
    not: unary('not'),

    add: binary('add'),
    sub: binary('sub'),
    mul: binary('mul'),
    /** For i32 the quotient is truncated towards zero. */
    div: binary('div'),
    pow: binary('pow'),
    maximum: binary('max'),
    minimum: binary('min'),

    eq: compare('eq'),
    ne: compare('ne'),
    lt: compare('lt'),
    le: compare('le'),
    gt: compare('gt'),
    ge: compare('ge'),

    /** condition ? a : b, element by element with broadcasting. */
    where(condition: Tensor, a: Tensor, b: Tensor): Tensor {
      check(
        condition.dtype === 'bool' && a.dtype === b.dtype,
        'where',
        'condition bool, two tensors of one dtype',
        describe(condition, a, b),
      );
      return emit('where', [condition, a, b], {}, broadcast('where', a.dtype, condition, a, b));
    },

    /** Rounds to the nearest for floats (ties to even), towards zero and clamped for integers, != 0 for bool. */
    cast(x: Tensor, dtype: DType): Tensor {
      return emit('cast', [x], {}, like(x, dtype));
    },

    sum: reduce('sum'),
    mean: reduce('mean'),
    max: reduce('max'),
    min: reduce('min'),
    /** Ties go to the lowest index. */
    argmax: reduce('argmax'),
    /** Ties go to the lowest index. */
    argmin: reduce('argmin'),

    /** Over the last axis. */
    softmax: softmax(false),
    /** Over the last axis. */
    logSoftmax: softmax(true),

    /** a f32 [..., M, I] · b f32 [..., I, N] -> f32 [..., M, N], leading dimensions equal. */
    matmul(a: Tensor, b: Tensor): Tensor {
      const rank = a.shape.length;
      check(
        a.dtype === 'f32' &&
          b.dtype === 'f32' &&
          rank >= 2 &&
          b.shape.length === rank &&
          sameShape(a.shape.slice(0, -2), b.shape.slice(0, -2)) &&
          a.shape[rank - 1] === b.shape[rank - 2],
        'matmul',
        'a f32 [..., M, I], b f32 [..., I, N]',
        describe(a, b),
      );
      return emit(
        'matmul',
        [a, b],
        {},
        { shape: a.shape.with(-1, b.shape[rank - 1]), dtype: 'f32', extent: a.extent },
      );
    },

    /** The axes in a new order, copied; reversed by default. */
    transpose(
      x: Tensor,
      axes: readonly number[] = x.shape.map((_, axis) => x.shape.length - 1 - axis),
    ): Tensor {
      check(
        axes.toSorted((a, b) => a - b).every((axis, index) => axis === index) &&
          axes.length === x.shape.length,
        'transpose',
        `a permutation of ${x.shape.length} axes`,
        show(axes),
      );
      check(!x.extent || axes[0] === 0, 'transpose', 'rows of the call in front', show(axes));
      return emit(
        'transpose',
        [x],
        { axes },
        { shape: axes.map((axis) => x.shape[axis]), dtype: x.dtype, extent: x.extent },
      );
    },

    /** Two or more tensors of one dtype joined along an axis. */
    concat(tensors: readonly Tensor[], axis = 0): Tensor {
      const [first] = tensors;
      check(first !== undefined, 'concat', 'at least one tensor', 'none');
      const at = resolveAxis('concat', axis, first.shape.length);
      check(
        tensors.every(
          (tensor) =>
            tensor.dtype === first.dtype &&
            tensor.extent === first.extent &&
            sameShape(tensor.shape.with(at, 0), first.shape.with(at, 0)),
        ),
        'concat',
        `tensors of one dtype that differ only in axis ${at}`,
        describe(...tensors),
      );
      check(
        !(at === 0 && first.extent),
        'concat',
        'an axis other than the rows of the call',
        'axis 0',
      );
      const length = tensors.reduce((sum, tensor) => sum + tensor.shape[at], 0);
      return emit(
        'concat',
        tensors,
        { axis: at },
        { shape: first.shape.with(at, length), dtype: first.dtype, extent: first.extent },
      );
    },

    /** x[from .. to) along an axis, copied. */
    slice(x: Tensor, axis: number, from: number, to: number): Tensor {
      const at = resolveAxis('slice', axis, x.shape.length);
      check(
        from >= 0 && from <= to && to <= x.shape[at] && !(at === 0 && x.extent),
        'slice',
        `0 <= from <= to <= ${x.shape[at]} along a fixed axis`,
        `${from} .. ${to} along axis ${at}`,
      );
      return emit(
        'slice',
        [x],
        { axis: at, from, to },
        { shape: x.shape.with(at, to - from), dtype: x.dtype, extent: x.extent },
      );
    },
  };
}
