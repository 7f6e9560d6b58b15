// The vocabulary: one function per op, which checks shapes and dtypes and then emits one kernel call. Where the call
// goes is the sink's business: `scope` runs it at once, `record` appends it to a plan. The meaning of every op is in
// kernels/reference.
import { decoderOps } from './decoder-ops.ts';
import type { Emit } from './emit.ts';
import { generalOps } from './general-ops.ts';

export type Ops = ReturnType<typeof createOps>;

/** The vocabulary over a sink. */
export function createOps(emit: Emit) {
  return { ...decoderOps(emit), ...generalOps(emit) };
}
