// Whether weights are numbers, and whether anybody has trained them. A converter that loses a name leaves the layer as it was made:
// norms of exactly 1 and matrices that are draws from N(0, s), s the initializer_range, which training does not leave alone.
import { type Checkpoint, readRows, type TensorEntry } from '../../tensor/checkpoint.ts';
import type { Finding } from './finding.ts';

/** Moments of a tensor; those of what is no number are left out. */
export interface TensorStats {
  readonly name: string;
  readonly isMatrix: boolean;
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

/** Reads every weight once and says what is wrong with them, and whether they are numbers. `initialSize` is the initializer_range. */
export async function examineWeights(
  checkpoint: Checkpoint,
  initialSize: number,
  signal?: AbortSignal | undefined,
): Promise<{ readonly findings: readonly Finding[]; readonly areNumbers: boolean }> {
  const all: TensorStats[] = [];
  for (const entry of checkpoint.tensors.values())
    if (isNumbers(entry)) all.push(await statsOf(checkpoint, entry, signal));
  const broken = brokenOnes(all);
  const findings = [...broken, ...untrained(all, initialSize)];
  const message = `${all.length} tensors of finite numbers, none as it was before training`;
  return {
    findings: findings.length > 0 ? findings : [{ gravity: 'fine', subject: 'weights', message }],
    areNumbers: broken.length === 0,
  };
}

/** Neither ids nor masks. */
const isNumbers = ({ dtype, unpack }: TensorEntry) =>
  dtype === null ? unpack !== undefined : !['bool', 'i8', 'i32', 'u8'].includes(dtype);

async function statsOf(
  checkpoint: Checkpoint,
  { name, shape }: TensorEntry,
  signal: AbortSignal | undefined,
): Promise<TensorStats> {
  let [count, broken, ones, sum, squares, fourths] = [0, 0, 0, 0, 0, 0];
  for await (const { data } of readRows(checkpoint, name, { dtype: 'f32', signal }))
    for (let i = 0; i < data.length; i++) {
      const value = data[i];
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
    name,
    isMatrix: shape.length > 1,
    count,
    broken,
    mean: sum / finite,
    size: Math.sqrt(squares / finite),
    kurtosis: squares > 0 ? (finite * fourths) / squares ** 2 : 0,
    isOnes: count > 0 && ones === count,
  };
}

function brokenOnes(all: readonly TensorStats[]): Finding[] {
  return all
    .filter(({ broken }) => broken > 0)
    .map(({ name, broken, count }) => ({
      gravity: 'error',
      subject: 'weights',
      message: `${name}: ${broken} of ${count} numbers are NaN or infinite`,
    }));
}

/** A module whose norms and matrices are all as they were made is an error; a matrix alone may be chance. */
function untrained(all: readonly TensorStats[], initialSize: number): Finding[] {
  const modules = new Map<string, TensorStats[]>();
  for (const stats of all)
    modules.set(moduleOf(stats.name), [...(modules.get(moduleOf(stats.name)) ?? []), stats]);
  return [...modules].flatMap(([module, members]): Finding[] => {
    const matrices = members.filter(({ isMatrix }) => isMatrix);
    const norms = members.filter(({ name, isMatrix }) => !isMatrix && /norm/.test(name));
    const initial = matrices.filter((stats) => looksInitial(stats, initialSize));
    if (initial.length === 0) return [];
    const law = `draws from N(0, ${initialSize})`;
    if (
      initial.length === matrices.length &&
      norms.length > 0 &&
      norms.every(({ isOnes }) => isOnes)
    )
      return [
        {
          gravity: 'error',
          subject: 'weights',
          message: `${module}: nobody has trained it: its ${norms.length} norms are all 1 and its ${matrices.length} matrices look like ${law}; a converter that lost the name of the layer leaves it so`,
        },
      ];
    return [
      {
        gravity: 'warning',
        subject: 'weights',
        message: `${initial.map(({ name }) => name).join(', ')}: not trained, it seems: like ${law}`,
      },
    ];
  });
}

/** `model.layers.3`, `layers.0`, `transformer`, or what lies beside the layers. */
const moduleOf = (name: string) =>
  /^.*\blayers\.\d+(?=\.)|^transformer(?=\.)/.exec(name)?.[0] ?? 'beside the layers';

/** Within what moments of so many draws from N(0, size) vary: four times their standard errors, or half a per cent. */
function looksInitial(
  { count, broken, mean, size, kurtosis }: TensorStats,
  initial: number,
): boolean {
  if (broken > 0 || count < LEAST) return false;
  const within = (value: number, expected: number, error: number) =>
    Math.abs(value - expected) < 4 * error;
  return (
    within(mean, 0, initial / Math.sqrt(count)) &&
    within(size, initial, initial * Math.max(1 / Math.sqrt(2 * count), 1 / 800)) &&
    within(kurtosis, 3, Math.max(Math.sqrt(24 / count), 0.02))
  );
}

/** Of fewer numbers the moments say too little. */
const LEAST = 256;
