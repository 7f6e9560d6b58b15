// The ops of a Llama decoder: each checks shapes and dtypes and emits one kernel call.
import { BLOCK, isBlocked } from '../kernels/blocks.ts';
import type { OpParams } from '../kernels/plan.ts';
import { describe, type Emit, isFloat, isIndex, like } from './emit.ts';
import { check, resolveAxis, sameShape } from './shape.ts';
import type { Tensor } from './tensor.ts';

/** How rows are given to experts; by default by a softmax, from one group of all. */
type RouteOptions = Pick<OpParams['route'], 'count' | 'normalised'> & Partial<OpParams['route']>;

const isCount = (value: number, most: number) =>
  Number.isInteger(value) && value >= 1 && value <= most;

function checkRoute(params: OpParams['route'], experts: number, isBiased: boolean): void {
  const { count, scores, groups, groupsKept, factor } = params;
  const size = experts / groups;
  check(
    isCount(groups, experts) && Number.isInteger(size) && (groups === 1 || size > 1),
    'route',
    `groups of equal size, more than 1, of ${experts}`,
    `${groups}`,
  );
  check(isCount(groupsKept, groups), 'route', `groupsKept from 1 to ${groups}`, `${groupsKept}`);
  const most = size * groupsKept;
  check(isCount(count, most), 'route', `a count from 1 to ${most}`, `${count}`);
  check(
    scores === 'sigmoid' || (groups === 1 && !isBiased),
    'route',
    'scores "sigmoid" with a bias or groups',
    `"${scores}"`,
  );
  check(factor > 0 && Number.isFinite(factor), 'route', 'a positive factor', `${factor}`);
}

/** The decoder's part of the vocabulary. */
export function decoderOps(emit: Emit) {
  return {
    /** x f32 [T, I] · weight [O, I]ᵀ + bias f32 [O] -> f32 [T, O]; the weight may be of any float dtype. */
    linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
      const [rows, inner] = x.shape;
      const [outer] = weight.shape;
      check(
        x.dtype === 'f32' &&
          x.shape.length === 2 &&
          weight.shape.length === 2 &&
          weight.shape[1] === inner &&
          isFloat(weight.dtype) &&
          (!isBlocked(weight.dtype) || inner % BLOCK === 0) &&
          (!bias || (bias.dtype === 'f32' && sameShape(bias.shape, [outer]))),
        'linear',
        'x f32 [T, I], weight f32, f16, bf16, or with whole blocks a row q8_0 or q4_0 [O, I], bias f32 [O]',
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

    /**
     * Rotary positions, half-split pairs: x f32 [T, heads*D], positions i32 [T], cos and sin f32 [P, R/2]. The first R columns of a
     * head turn, and the others stay where `headDim` says that there are more.
     */
    rope(
      x: Tensor,
      positions: Tensor,
      cos: Tensor,
      sin: Tensor,
      heads: number,
      headDim = 2 * cos.shape[1],
    ): Tensor {
      check(
        x.dtype === 'f32' &&
          x.shape.length === 2 &&
          isIndex(positions) &&
          positions.shape[0] === x.shape[0] &&
          sameShape(cos.shape, sin.shape) &&
          x.shape[1] === heads * headDim &&
          2 * cos.shape[1] <= headDim,
        'rope',
        `x f32 [T, ${heads}*${headDim}], positions i32 [T], cos and sin f32 [P, R/2], R up to ${headDim}`,
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

    /**
     * Which of E experts each row goes to, and its shares of them: scores of the `count` largest (of equals the first ones), else 0.
     * Scores are a softmax, or sigmoids, to which a `bias` f32 [E] is added for the choice alone; of `groups` of neighbours
     * those are kept whose two largest have the largest sums. Shares are divided by their sum where `normalised`, and
     * multiplied with `factor`. f32 [T, E] -> f32 [T, E]
     */
    route(logits: Tensor, options: RouteOptions, bias?: Tensor): Tensor {
      const [, experts] = logits.shape;
      check(
        logits.dtype === 'f32' &&
          logits.shape.length === 2 &&
          (!bias || (bias.dtype === 'f32' && sameShape(bias.shape, [experts]))),
        'route',
        'logits f32 [T, E], bias f32 [E]',
        describe(logits, bias),
      );
      const params = {
        scores: 'softmax',
        factor: 1,
        groups: 1,
        groupsKept: 1,
        ...options,
      } as const;
      checkRoute(params, experts, bias !== undefined);
      return emit('route', bias ? [logits, bias] : [logits], params, like(logits));
    },

    /**
     * A mixture of experts, each a SwiGLU: Σ_e shares[t,e] · down_e(silu(gate_e(x)) * up_e(x)), of the experts that have a share. x f32
     * [T, C], shares f32 [T, E] with `count` in a row that are not 0, gateUp [E, 2*F, C] (gate first) and down [E, C, F] of any
     * float dtype -> f32 [T, C]
     */
    experts(
      x: Tensor,
      shares: Tensor,
      weights: { readonly gateUp: Tensor; readonly down: Tensor },
      params: OpParams['experts'],
    ): Tensor {
      const { gateUp, down } = weights;
      const [rows, width] = x.shape;
      const [experts, , inner] = down.shape;
      const isMatrices = ({ dtype, shape }: Tensor) =>
        isFloat(dtype) && shape.length === 3 && (!isBlocked(dtype) || shape[2] % BLOCK === 0);
      check(
        x.dtype === 'f32' &&
          x.shape.length === 2 &&
          shares.dtype === 'f32' &&
          sameShape(shares.shape, [rows, experts]) &&
          isMatrices(gateUp) &&
          isMatrices(down) &&
          sameShape(gateUp.shape, [experts, 2 * inner, width]) &&
          down.shape[1] === width,
        'experts',
        'x f32 [T, C], shares f32 [T, E], gateUp [E, 2*F, C] and down [E, C, F] in floats, or in whole blocks a row',
        describe(x, shares, gateUp, down),
      );
      check(
        isCount(params.count, experts),
        'experts',
        `a count from 1 to ${experts}`,
        `${params.count}`,
      );
      return emit('experts', [x, shares, gateUp, down], params, like(x));
    },

    /** The slices index i32 [N] of x along an axis; every float dtype comes out as f32. Embedding is a gather of rows. */
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
  };
}
