// Runs a tape: instructions in memory, one after the other, without leaving WebAssembly. An instruction is
// [op and marks, words, arguments …] in 32-bit words; tape.ts writes it, sharing.ts the marks. A count of rows is the
// address of a word, so that the same tape serves every number of rows. Each worker computes its share of an instruction
// or, where sharing does not pay, worker 0 all of it; they meet where the marks say so.
import { arrange } from './arrange';
import { attention } from './attention';
import { linearBlocks } from './blocks';
import { elsewhere } from './elsewhere';
import { expertsHidden, expertsSum } from './experts';
import { gather } from './gather';
import { linear, pack } from './linear';
import { add, rmsNorm, rope, scatter, siluMul } from './pointwise';
import { quantise } from './quantise';
import { endOf, finish, join, meet, next, scratchOf, start, tapeOf, workersOf } from './team';

/** Marks of an instruction, beside its op: worker 0 does it alone; all meet before it. */
const ALONE: i32 = 1 << 16;
const MEET: i32 = 1 << 17;
const OP: i32 = ALONE - 1;

/** The run that the control block describes, as worker 0. */
export function run(control: usize): void {
  const workers = workersOf(control);
  if (workers > 1) start(control, workers);
  play(control, 0, workers);
}

/** Takes part in every run it is told of until the team is closed or has failed. */
export function work(control: usize): void {
  const worker = join(control);
  for (let runs = 0; next(control, worker, runs); runs++) play(control, worker, workersOf(control));
}

function play(control: usize, worker: i32, workers: i32): void {
  const end = endOf(control);
  const scratch = scratchOf(control, worker);
  for (let at = tapeOf(control); at < end; at += <usize>load<i32>(at, 4) << 2) {
    const word = load<i32>(at);
    if (workers > 1 && (word & MEET) !== 0 && !meet(control, worker, workers)) return;
    if ((word & ALONE) === 0) instruction(word & OP, at + 8, worker, workers, scratch);
    else if (worker === 0) instruction(word & OP, at + 8, 0, 1, scratch);
  }
  if (workers > 1) finish(control, worker, workers);
}

/** One instruction, for an annex; see elsewhere.ts. */
export function step(op: i32, args: usize, worker: i32, workers: i32, scratch: usize): void {
  instruction(op, args, worker, workers, scratch);
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
    case 11:
      return elsewhere(args, worker, workers, scratch);
    case 12:
      return arrange(args, worker, workers);
    case 13:
      return expertsHidden(args, worker, workers);
    case 14:
      return expertsSum(args, worker, workers);
    default:
      unreachable();
  }
}
