// Where an axis has its numbers.

/** Round numbers from 0 to `max`, at most `count` steps of 1, 2 or 5 times a power of ten. */
export function ticks(max: number, count: number): number[] {
  const raw = max / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10]
    .map((factor) => factor * power)
    .find((each) => each >= raw * (1 - 1e-9))!;
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  return Array.from({ length: Math.floor(max / step + 1e-9) + 1 }, (_, index) =>
    Number((index * step).toFixed(digits)),
  );
}
