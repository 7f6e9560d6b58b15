// Pearson's chi-square test of counts against an exact law.

/** The outcome of a test. */
export interface ChiSquare {
  readonly statistic: number;
  readonly degrees: number;
  /** How often chance alone would differ at least as much. */
  readonly pValue: number;
}

/** Cells that expect less are counted together, or the statistic would not have its law. */
const LEAST_EXPECTED = 5;

/** Tests counts of outcomes against probabilities by the same keys; an outcome that the law excludes gives a p-value of 0. */
export function chiSquare(
  law: ReadonlyMap<string, number>,
  counts: ReadonlyMap<string, number>,
): ChiSquare {
  const runs = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const excluded = [...counts].some(([key, count]) => count > 0 && !((law.get(key) ?? 0) > 0));
  if (excluded) return { statistic: Number.POSITIVE_INFINITY, degrees: 0, pValue: 0 };
  const cells: { expected: number; count: number }[] = [];
  const rest = { expected: 0, count: 0 };
  for (const [key, probability] of law) {
    const cell = { expected: probability * runs, count: counts.get(key) ?? 0 };
    if (cell.expected >= LEAST_EXPECTED) cells.push(cell);
    else {
      rest.expected += cell.expected;
      rest.count += cell.count;
    }
  }
  if (rest.expected > 0) cells.push(rest);
  const statistic = cells.reduce(
    (sum, { expected, count }) => sum + (count - expected) ** 2 / expected,
    0,
  );
  const degrees = Math.max(0, cells.length - 1);
  return { statistic, degrees, pValue: degrees > 0 ? upperGamma(degrees / 2, statistic / 2) : 1 };
}

/**
 * The regularised upper incomplete gamma function Q(a, x), a > 0, x >= 0: its series below a + 1, its continued fraction
 * above (Abramowitz and Stegun, 6.5.29 and 6.5.31), to about 1e-12.
 */
export function upperGamma(a: number, x: number): number {
  if (x <= 0) return 1;
  const front = Math.exp(a * Math.log(x) - x - logGamma(a));
  if (x < a + 1) {
    let term = 1 / a;
    let sum = term;
    for (let n = 1; term > sum * 1e-15; n++) {
      term *= x / (a + n);
      sum += term;
    }
    return 1 - front * sum;
  }
  // Lentz's method, from the front.
  let b = x + 1 - a;
  let c = Number.MAX_VALUE;
  let d = 1 / b;
  let fraction = d;
  for (let n = 1, change = 0; Math.abs(change - 1) > 1e-15 && n < 10_000; n++) {
    const numerator = n * (a - n);
    b += 2;
    d = 1 / (b + numerator * d);
    c = b + numerator / c;
    change = c * d;
    fraction *= change;
  }
  return front * fraction;
}

/** ln Gamma(a), a > 0: Stirling's series, shifted to where it is exact to 1e-14. */
function logGamma(a: number): number {
  let shift = 0;
  let z = a;
  for (; z < 16; z += 1) shift += Math.log(z);
  const w = 1 / (z * z);
  const series = (1 / 12 - w * (1 / 360 - w * (1 / 1260 - w / 1680))) / z;
  return (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + series - shift;
}
