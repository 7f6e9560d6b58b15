// What linear does at the edges of a panel, in one place for all kinds of weights.

/** The bias is added to the rounded sum: y[t,o] += bias[o] for `count` outputs of `rows` rows. */
export function addBias(bias: usize, count: i32, rows: i32, y: usize, yStride: usize): void {
  for (let t = 0; t < rows; t++)
    for (let o = 0; o < count; o++) {
      const at = y + <usize>t * yStride + (<usize>o << 2);
      store<f32>(at, load<f32>(at) + load<f32>(bias + (<usize>o << 2)));
    }
}

/** A last panel that is not whole has been computed beside y: moves the outputs that are there. */
export function missing(y: usize, yStride: usize, beside: usize, rows: i32, outer: i32, panel: i32): void {
  const left = outer & (panel - 1);
  if (left === 0) return;
  const at = y + (<usize>(outer - left) << 2);
  for (let t = 0; t < rows; t++)
    memory.copy(at + <usize>t * yStride, beside + (<usize>(t * panel) << 2), left << 2);
}
