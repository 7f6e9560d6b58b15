// Runs a tape: instructions in memory, one after the other, without leaving WebAssembly. An instruction is
// [op, words, arguments …] in 32-bit words; tape.ts writes it. A count of rows is the address of a word, so that the
// same tape serves every number of rows. Each worker computes its share of an instruction, then all meet.
import { attention } from './attention';
import { linearBlocks } from './blocks';
import { gather } from './gather';
import { linear, pack } from './linear';
import { add, rmsNorm, rope, scatter, siluMul } from './pointwise';
import { quantise } from './quantise';
import {
  barrier,
  endOf,
  generationOf,
  join,
  next,
  scratchOf,
  start,
  takesPart,
  tapeOf,
  workersOf,
} from './team';

/** The run that the control block describes, as worker 0. */
export function run(control: usize): void {
  const workers = workersOf(control);
  if (workers > 1) start(control);
  play(control, 0, workers);
}

/** Takes part in every run until the team is closed. */
export function work(control: usize): void {
  // Before joining, so that the first run that counts on this worker is not missed.
  let generation = generationOf(control);
  const worker = join(control);
  while (true) {
    generation = next(control, generation);
    if (generation < 0) return;
    if (takesPart(control, worker, generation)) play(control, worker, workersOf(control));
  }
}

function play(control: usize, worker: i32, workers: i32): void {
  const end = endOf(control);
  const scratch = scratchOf(control, worker);
  let at = tapeOf(control);
  while (at < end) {
    const here = at;
    // Before the barrier: after the last one the tape may already be something else.
    at += <usize>load<i32>(here, 4) << 2;
    instruction(load<i32>(here), here + 8, worker, workers, scratch);
    if (workers > 1) barrier(control, workers);
  }
}

function instruction(op: i32, args: usize, worker: i32, workers: i32, scratch: usize): void {
  switch (op) {
    case 0:
      return linear(args, worker, workers, scratch);
    case 1:
      return rmsNorm(args, worker, workers);
    case 2:
      return rope(args, worker, workers);
    case 3:
      return scatter(args, worker, workers);
    case 4:
      return attention(args, worker, workers, scratch);
    case 5:
      return siluMul(args, worker, workers);
    case 6:
      return add(args, worker, workers);
    case 7:
      return gather(args, worker, workers);
    case 8:
      return quantise(args, worker, workers);
    case 9:
      return linearBlocks(args, worker, workers, scratch);
    case 10:
      return pack(args, worker, workers);
    default:
      unreachable();
  }
}
