// The bias is added to the rounded sum, in one place for all tiles.

/** y[t,o] += bias[o] for `count` outputs of `rows` rows. */
export function addBias(bias: usize, count: i32, rows: i32, y: usize, yStride: usize): void {
  for (let t = 0; t < rows; t++)
    for (let o = 0; o < count; o++) {
      const at = y + <usize>t * yStride + (<usize>o << 2);
      store<f32>(at, load<f32>(at) + load<f32>(bias + (<usize>o << 2)));
    }
}
