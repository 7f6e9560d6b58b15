// Whether weights are numbers, and whether anybody has trained them. A converter that loses a name leaves the layer as it was made:
// norms of exactly 1 and matrices that are draws from N(0, s), s the initializer_range, which training does not leave alone.
import type { Checkpoint, TensorEntry } from '../../tensor/checkpoint.ts';
import { looksInitial, type Moments, readMoments } from '../speculators/moments.ts';
import { isNorm, layerOf } from '../speculators/untrained.ts';
import type { Finding } from './finding.ts';

/** A tensor that was looked at. */
interface Seen extends Moments {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Reads every weight once and says what is wrong with them, and whether they are numbers. `initialSize` is the initializer_range. */
export async function examineWeights(
  checkpoint: Checkpoint,
  initialSize: number,
  signal?: AbortSignal | undefined,
): Promise<{ readonly findings: readonly Finding[]; readonly areNumbers: boolean }> {
  const all: Seen[] = [];
  for (const entry of checkpoint.tensors.values()) {
    const { name, shape } = entry;
    if (isNumbers(entry))
      all.push({ name, shape, ...(await readMoments(checkpoint, name, signal)) });
  }
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

function brokenOnes(all: readonly Seen[]): Finding[] {
  return all
    .filter(({ broken }) => broken > 0)
    .map(({ name, broken, count }) => ({
      gravity: 'error',
      subject: 'weights',
      message: `${name}: ${broken} of ${count} numbers are NaN or infinite`,
    }));
}

/** A module whose norms and matrices are all as they were made is an error; a matrix alone may be chance. */
function untrained(all: readonly Seen[], initialSize: number): Finding[] {
  const modules = new Map<string, Seen[]>();
  for (const seen of all) {
    const module = layerOf(seen.name) ?? 'beside the layers';
    modules.set(module, [...(modules.get(module) ?? []), seen]);
  }
  return [...modules].flatMap(([module, members]): Finding[] => {
    const matrices = members.filter(({ shape }) => shape.length > 1);
    const norms = members.filter(isNorm);
    const initial = matrices.filter((seen) => looksInitial(seen, initialSize));
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
