// Rows of x as linear reads them: of each tile (tiles.ts) four columns of every row together, then the
// next four; what is missing of the last four is zero. A tile is one stream then, whose loads need no address of their own, and
// many rows do not meet in the same lines of the first-level cache, as rows of 2^n columns would: 1.5x for eight rows.
import { share } from './pointwise';
import { firstOf, tilesOf } from './tiles';

/** Bytes of a row. */
@inline
export function rowBytes(inner: i32): usize {
  return <usize>((inner + 3) & ~3) << 2;
}

/** [out, x, rows, inner] */
export function arrange(args: usize, worker: i32, workers: i32): void {
  const out = <usize>load<u32>(args);
  const x = <usize>load<u32>(args, 4);
  const rows = load<i32>(<usize>load<u32>(args, 8));
  const inner = load<i32>(args, 12);
  const even = inner & ~3;
  const from = share(inner, worker, workers, 16);
  const to = share(inner, worker + 1, workers, 16);
  for (let tile = 0; tile < tilesOf(rows); tile++) {
    const first = firstOf(tile, rows);
    const height = firstOf(tile + 1, rows) - first;
    const stride = <usize>height << 4;
    for (let r = 0; r < height; r++) {
      const row = x + ((<usize>(first + r) * inner) << 2);
      let at = out + <usize>first * rowBytes(inner) + (<usize>r << 4) + <usize>(from >> 2) * stride;
      for (let i = from; i < min(even, to); i += 4, at += stride) v128.store(at, v128.load(row + (<usize>i << 2)));
      if (even < to && even < inner) {
        v128.store(at, i32x4.splat(0));
        memory.copy(at, row + (<usize>even << 2), (inner - even) << 2);
      }
    }
  }
}
