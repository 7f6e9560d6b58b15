// The vocabulary: one function per op, which checks shapes and dtypes and then emits one kernel call. Where the call
// goes is the sink's business: `scope` runs it at once, `record` appends it to a plan. The meaning of every op is in
// kernels/reference.
import { isBlocked } from '../kernels/blocks.ts';
import { decoderOps } from './decoder-ops.ts';
import { describe, type Emit } from './emit.ts';
import { generalOps } from './general-ops.ts';
import { check } from './shape.ts';

export type Ops = ReturnType<typeof createOps>;

/** The vocabulary over a sink. */
export function createOps(emit: Emit) {
  const guarded: Emit = (op, inputs, params, result) => {
    const { dtype } = result;
    // Kernels write elements, and those of a block share a scale.
    check(
      !isBlocked(dtype),
      op,
      'a result whose elements stand alone',
      `${dtype} of ${describe(...inputs)}`,
    );
    return emit(op, inputs, params, result);
  };
  return { ...decoderOps(guarded), ...generalOps(guarded) };
}
