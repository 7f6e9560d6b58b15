// The numbers of a tensor in a few words, and whether they look like those that a fresh one starts with.
import { type Checkpoint, readRows } from '../../tensor/checkpoint.ts';
import { sizeOf } from '../../tensor/shape.ts';

/** Moments of numbers; those of what is no number are left out. */
export interface Moments {
  readonly count: number;
  /** Elements that are NaN or infinite. */
  readonly broken: number;
  readonly mean: number;
  /** Root of the mean of squares. */
  readonly size: number;
  /** Mean of fourth powers over the square of that of squares: 3 of a normal law about 0. */
  readonly kurtosis: number;
  readonly isOnes: boolean;
}

/** The moments of numbers that come in pieces. */
export async function momentsOf(
  pieces: AsyncIterable<ArrayLike<number>> | Iterable<ArrayLike<number>>,
): Promise<Moments> {
  let [count, broken, ones, sum, squares, fourths] = [0, 0, 0, 0, 0, 0];
  for await (const piece of pieces)
    for (let i = 0; i < piece.length; i++) {
      const value = piece[i];
      count += 1;
      if (!Number.isFinite(value)) {
        broken += 1;
        continue;
      }
      if (value === 1) ones += 1;
      const square = value * value;
      sum += value;
      squares += square;
      fourths += square * square;
    }
  const finite = Math.max(1, count - broken);
  return {
    count,
    broken,
    mean: sum / finite,
    size: Math.sqrt(squares / finite),
    kurtosis: squares > 0 ? (finite * fourths) / squares ** 2 : 0,
    isOnes: count > 0 && ones === count,
  };
}

/** Those of a tensor in a file, read once. */
export async function readMoments(
  checkpoint: Pick<Checkpoint, 'tensors' | 'readInto'>,
  name: string,
  signal?: AbortSignal | undefined,
): Promise<Moments> {
  const entry = checkpoint.tensors.get(name)!;
  // A number a row: no piece is larger than others, whatever the shape. Blocks stay in their rows.
  const flat = entry.dtype === null ? entry : { ...entry, shape: [sizeOf(entry.shape), 1] };
  const numbers = { ...checkpoint, tensors: new Map([[name, flat]]) };
  async function* pieces() {
    for await (const { data } of readRows(numbers, name, { dtype: 'f32', signal })) yield data;
  }
  return momentsOf(pieces());
}

/** What transformers draws the weights of a fresh model from, where a config is silent: `initializer_range`. */
export const INITIAL_SIZE = 0.02;

/** Of fewer numbers the moments say too little. */
const LEAST = 256;

/**
 * Within what moments of so many draws from N(0, initial) vary: six times their standard errors, or an eighth of a per cent of the
 * size. Training moves them by far more.
 */
export function looksInitial(
  { count, broken, mean, size, kurtosis }: Moments,
  initial = INITIAL_SIZE,
): boolean {
  if (broken > 0 || count < LEAST) return false;
  const within = (value: number, expected: number, error: number) =>
    Math.abs(value - expected) <= 6 * error;
  return (
    within(mean, 0, initial / Math.sqrt(count)) &&
    within(size, initial, initial * Math.max(1 / Math.sqrt(2 * count), 1 / 4800)) &&
    within(kurtosis, 3, Math.max(Math.sqrt(24 / count), 0.01))
  );
}
