// The ordinary tensor vocabulary: each op checks shapes and dtypes and emits one kernel call.
import type { BinaryFn, CompareFn, DType, Extent, ReduceFn, UnaryFn } from '../kernels/plan.ts';
import { describe, type Emit, like, type ResultSpec } from './emit.ts';
import { broadcastShape, check, resolveAxis, type Shape, sameShape, show } from './shape.ts';
import type { Tensor } from './tensor.ts';

/** The general part of the vocabulary. */
export function generalOps(emit: Emit) {
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
    /** Comparisons with NaN are false: only a NaN in front stays. The same for the three below. */
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
