// A step whose matrix lies in an annex: another memory, where the same module runs as another instance. A worker copies what
// it reads to an area of its own there, has its share computed by the instance of the annex, and copies the outputs of the
// share back. That is kilobytes for megabytes of weights, and needs no meeting.
//
// An area, all parts on cache lines: the arguments and the rows in use, what is read (x or the indices), the bias, y, and the
// scratch space of the kernel. annexes.ts says how large it has to be.
import { rowBytes } from './arrange';
import { PANEL as BLOCK_PANEL } from './blocks';
import { PANEL as FLOAT_PANEL } from './linear';
import { share } from './pointwise';
import { XSCALE_BYTES, xTileBytes } from './quantise';

/** Copies bytes to an annex, or back. */
@external('env', 'move')
declare function move(annex: i32, there: usize, here: usize, bytes: usize, back: bool): void;

/** Runs an instruction by the instance of an annex. */
@external('env', 'call')
declare function call(annex: i32, op: i32, args: usize, worker: i32, workers: i32, scratch: usize): void;

const GATHER: i32 = 7;
const LINEAR_BLOCKS: i32 = 9;
/** Words of the arguments, the one for the rows included. */
const WORDS: i32 = 16;
const ARGUMENTS: usize = 64;

/** [annex, area of worker 0, bytes of an area, op, arguments of the op …]: linear, linearBlocks or gather. */
export function elsewhere(args: usize, worker: i32, workers: i32, scratch: usize): void {
  const annex = load<i32>(args);
  const area = <usize>load<u32>(args, 4) + <usize>worker * load<u32>(args, 8);
  const op = load<i32>(args, 12);
  // Arguments are put together here, in the scratch space, and copied once they are complete.
  memory.copy(scratch, args + 16, ARGUMENTS - 4);
  if (op === GATHER) rowsElsewhere(annex, area, worker, workers, scratch);
  else linearElsewhere(annex, op, area, worker, workers, scratch);
}

/** `at` on the next cache line. */
@inline
function line(at: usize): usize {
  return (at + 63) & ~63;
}

/** Writes the arguments to the area, with the number of rows beside them, and runs the instruction. */
function run(annex: i32, op: i32, area: usize, rows: i32, worker: i32, workers: i32, args: usize, end: usize): void {
  store<i32>(args + ((WORDS - 1) << 2), rows);
  move(annex, area, args, ARGUMENTS, false);
  call(annex, op, area, worker, workers, end);
}

function linearElsewhere(annex: i32, op: i32, area: usize, worker: i32, workers: i32, args: usize): void {
  const y = <usize>load<u32>(args);
  const x = <usize>load<u32>(args, 4);
  const bias = <usize>load<u32>(args, 12);
  const rows = load<i32>(<usize>load<u32>(args, 16));
  const inner = load<i32>(args, 20);
  const outer = load<i32>(args, 24);
  const unit = op === LINEAR_BLOCKS ? BLOCK_PANEL : FLOAT_PANEL;
  const from = share(outer, worker, workers, unit);
  const count = <usize>(share(outer, worker + 1, workers, unit) - from) << 2;
  if (count === 0 || rows === 0) return;

  const xThere = area + ARGUMENTS;
  const biasThere = xThere + line(op === LINEAR_BLOCKS ? quantised(annex, xThere, x, rows, args) : floats(annex, xThere, x, <usize>rows * rowBytes(inner)));
  const first = <usize>from << 2;
  if (bias !== 0) move(annex, biasThere + first, bias + first, count, false);
  const yThere = biasThere + line(<usize>outer << 2);
  const stride = <usize>outer << 2;
  store<u32>(args, <u32>yThere);
  store<u32>(args, <u32>xThere, 4);
  if (bias !== 0) store<u32>(args, <u32>biasThere, 12);
  store<u32>(args, <u32>(area + ((WORDS - 1) << 2)), 16);
  run(annex, op, area, rows, worker, workers, args, yThere + line(<usize>rows * stride));
  for (let t = 0; t < rows; t++) {
    const at = <usize>t * stride + first;
    move(annex, yThere + at, y + at, count, true);
  }
}

/** Copies arranged rows of x; their bytes. */
function floats(annex: i32, there: usize, x: usize, bytes: usize): usize {
  move(annex, there, x, bytes, false);
  return bytes;
}

/** Copies the rows in use of quantised x, and their scales, which come after all rows; bytes of all. */
function quantised(annex: i32, there: usize, x: usize, rows: i32, args: usize): usize {
  const inner = load<i32>(args, 20);
  const wide = load<i32>(args, 28) === 3;
  const most = load<i32>(args, 32);
  const scales = xTileBytes(inner, wide, most);
  const tileScales = <usize>(inner >> 5) * XSCALE_BYTES;
  move(annex, there, x, xTileBytes(inner, wide, rows), false);
  move(annex, there + scales, x + scales, <usize>((rows + 3) >> 2) * tileScales, false);
  return scales + <usize>((most + 3) >> 2) * tileScales;
}

function rowsElsewhere(annex: i32, area: usize, worker: i32, workers: i32, args: usize): void {
  const y = <usize>load<u32>(args);
  const index = <usize>load<u32>(args, 8);
  const rows = load<i32>(<usize>load<u32>(args, 12));
  const columns = load<i32>(args, 16);
  const from = share(rows, worker, workers, 1);
  const count = share(rows, worker + 1, workers, 1) - from;
  if (count === 0) return;
  const indexThere = area + ARGUMENTS;
  const yThere = indexThere + line(<usize>rows << 2);
  move(annex, indexThere, index, <usize>rows << 2, false);
  store<u32>(args, <u32>yThere);
  store<u32>(args, <u32>indexThere, 8);
  store<u32>(args, <u32>(area + ((WORDS - 1) << 2)), 12);
  run(annex, GATHER, area, rows, worker, workers, args, yThere + line(<usize>(rows * columns) << 2));
  const first = (<usize>from * columns) << 2;
  move(annex, yThere + first, y + first, <usize>(count * columns) << 2, true);
}
