// Runs a tape: instructions in memory, one after the other, without leaving WebAssembly. An instruction is
// [op, words, arguments …] in 32-bit words; tape.ts writes it. A count of rows is the address of a word, so that the
// same tape serves every number of rows. A worker that is one of several computes its share of every instruction.
import { attention } from './attention';
import { linear } from './linear';
import { add, gather, rmsNorm, rope, scatter, siluMul } from './pointwise';

/** Instructions from `tape` up to `end`, as worker `worker` of `workers`, with scratch space of its own. */
export function run(tape: usize, end: usize, worker: i32, workers: i32, scratch: usize): void {
  for (let at = tape; at < end; at += (<usize>load<i32>(at, 4)) << 2) {
    const args = at + 8;
    switch (load<i32>(at)) {
      case 0:
        linear(args, worker, workers, scratch);
        break;
      case 1:
        rmsNorm(args, worker, workers);
        break;
      case 2:
        rope(args, worker, workers);
        break;
      case 3:
        scatter(args, worker, workers);
        break;
      case 4:
        attention(args, worker, workers, scratch);
        break;
      case 5:
        siluMul(args, worker, workers);
        break;
      case 6:
        add(args, worker, workers);
        break;
      case 7:
        gather(args, worker, workers);
        break;
      default:
        unreachable();
    }
  }
}
