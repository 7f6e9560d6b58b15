// y = x·Wᵀ + b for weights in blocks of 32 with one scale (q8_0, q4_0), in whole numbers: within a block
// Σ w·x = d_w·d_x·Σ q_w·q_x, and the inner sum is exact. So every tile gives the same bits, with or without relaxed SIMD.
//
// Weights lie in panels of eight rows (block-panels.ts has the layout). Four lanes are four outputs, so a sum needs no adding
// across lanes, and an input is broadcast: 2.3x over dot products along the rows. Rows of x are quantised beforehand
// (quantise.ts), up to four rows to a tile.
// The tiles are in words.ts and nibbles.ts.
import { addBias, missing } from './edges';
import { nibbles1, nibbles2, nibbles3, nibbles4 } from './nibbles';
import { share } from './pointwise';
import { XSCALE_BYTES, xTileBytes } from './quantise';
import { clearZeros, firstOf, GROUP, sumsOf, tilesOf, zerosOf } from './tiles';
import { words1, words2, words3, words4 } from './words';

/** Outputs of a panel, and blocks of a chunk. */
export const PANEL: i32 = 8;
const CHUNK: i32 = 16;
const Q8_0: i32 = 3;

/** [y, x quantised, weight, bias or 0, rows, inner, outer, type of weight: 3 q8_0, 4 q4_0, rows at most] */
export function linearBlocks(args: usize, worker: i32, workers: i32, scratch: usize): void {
  const y = <usize>load<u32>(args);
  const x = <usize>load<u32>(args, 4);
  const weight = <usize>load<u32>(args, 8);
  const bias = <usize>load<u32>(args, 12);
  const rows = load<i32>(<usize>load<u32>(args, 16));
  const inner = load<i32>(args, 20);
  const outer = load<i32>(args, 24);
  const wide = load<i32>(args, 28) === Q8_0;
  const most = load<i32>(args, 32);
  const size: usize = wide ? 272 : 144;
  const scales = x + xTileBytes(inner, wide, most);
  const blocks = inner >> 5;
  const panels = (outer + PANEL - 1) / PANEL;
  const yStride = <usize>outer << 2;
  const from = share(panels, worker, workers, 1);
  const to = share(panels, worker + 1, workers, 1);
  // A chunk of x stays in the first-level cache while the panels of the chunk stream by, one after the other in memory.
  const tiles = tilesOf(rows);
  const zeros = zerosOf(scratch, PANEL);
  clearZeros(scratch, PANEL);
  for (let g = 0; g < tiles; g += GROUP) {
    const start = firstOf(g, rows);
    const height = firstOf(min(g + GROUP, tiles), rows) - start;
    const half = firstOf(g + 1, rows) - start;
    for (let b = 0; b < blocks; b += CHUNK) {
      const length = min(CHUNK, blocks - b);
      const chunk = weight + <usize>(b * panels) * size;
      const last = b + length === blocks;
      for (let p = from; p < to; p++) {
        const w = chunk + <usize>(p * length) * size;
        const sums = sumsOf(scratch, p - from, height, PANEL);
        // The missing outputs of the last panel are computed beside y.
        const whole = (p + 1) * PANEL <= outer;
        const out = last ? (whole ? y + <usize>start * yStride + (<usize>p << 5) : scratch) : sums;
        const stride = last && whole ? yStride : 32;
        for (let i = g, t = 0; t < height; i++) {
          const R = i === g ? half : height - half;
          const xt = x + xTileBytes(inner, wide, start + t) + xTileBytes(b << 5, wide, R);
          const dt = scales + <usize>(i * blocks + b) * XSCALE_BYTES;
          tile(R, wide, w, xt, dt, length, b === 0 ? zeros : sums + <usize>(t << 5), out + <usize>t * stride, stride);
          t += R;
        }
      }
    }
    if (to === panels) missing(y + <usize>start * yStride, yStride, scratch, height, outer, PANEL);
  }
  if (bias !== 0 && from < to) {
    const o = from * PANEL;
    addBias(bias + (<usize>o << 2), min(outer, to * PANEL) - o, rows, y + (<usize>o << 2), yStride);
  }
}

function tile(height: i32, wide: bool, w: usize, x: usize, d: usize, blocks: i32, sums: usize, y: usize, stride: usize): void {
  if (wide) {
    if (height === 1) words1(w, x, d, blocks, sums, y, stride);
    else if (height === 2) words2(w, x, d, blocks, sums, y, stride);
    else if (height === 3) words3(w, x, d, blocks, sums, y, stride);
    else words4(w, x, d, blocks, sums, y, stride);
  } else if (height === 1) nibbles1(w, x, d, blocks, sums, y, stride);
  else if (height === 2) nibbles2(w, x, d, blocks, sums, y, stride);
  else if (height === 3) nibbles3(w, x, d, blocks, sums, y, stride);
  else nibbles4(w, x, d, blocks, sums, y, stride);
}
