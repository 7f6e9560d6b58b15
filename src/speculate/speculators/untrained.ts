// Decoder layers that nobody trained. Conversions of the Python project in versions 0.2 to 0.4 lost the names of EAGLE-3's layer and
// wrote the numbers that a fresh one starts with: norms of exactly 1, matrices from a normal distribution of deviation 0.02.
// Such a head loads and drafts, and nothing that it drafts is accepted.
import { arrayFor, toFloat32 } from '../../kernels/dtype.ts';
import type { Checkpoint } from '../../tensor/checkpoint.ts';
import { sizeOf } from '../../tensor/shape.ts';

/** A tensor as numbers. */
export interface NamedValues {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: ArrayLike<number>;
}

/** What transformers draws the weights of a fresh model from. */
const DEVIATION = 0.02;
const IN_LAYER = /^(.*?(?:layers\.\d+|midlayer|transformer))\.(.+)$/;

/** Prefixes of the decoder layers, as `layers.0`, whose norms are all 1 and whose matrices are all fresh random numbers. */
export function findUntrained(tensors: Iterable<NamedValues>): readonly string[] {
  const values = new Map([...tensors].map((tensor) => [tensor.name, tensor]));
  return layersOf(values.values())
    .filter(
      ({ norms, matrices }) =>
        norms.every((name) => isOnes(values.get(name)!.values)) &&
        matrices.every((name) => isFresh(values.get(name)!.values)),
    )
    .map(({ prefix }) => prefix);
}

/** The same of a checkpoint; matrices are read only where the norms are all 1. */
export async function readUntrained(
  checkpoint: Pick<Checkpoint, 'tensors' | 'readInto'>,
): Promise<readonly string[]> {
  const all = async (names: readonly string[], holds: (values: ArrayLike<number>) => boolean) => {
    for (const name of names) {
      const values = await valuesOf(checkpoint, name);
      if (values === null || !holds(values)) return false;
    }
    return true;
  };
  const found: string[] = [];
  for (const { prefix, norms, matrices } of layersOf(checkpoint.tensors.values()))
    if ((await all(norms, isOnes)) && (await all(matrices, isFresh))) found.push(prefix);
  return found;
}

/** What to say of such layers. */
export const untrainedNote = (layers: readonly string[]): string =>
  `${layers.join(', ')}: norms of 1 and random matrices, as in a layer that nobody trained; conversions by speculators 0.2 to 0.4 wrote such, and nothing that they draft is accepted`;

/** Norms and matrices by layer, of layers that have both. */
function layersOf(tensors: Iterable<Pick<NamedValues, 'name' | 'shape'>>) {
  const layers = new Map<string, { norms: string[]; matrices: string[] }>();
  for (const { name, shape } of tensors) {
    const prefix = IN_LAYER.exec(name)?.[1];
    if (prefix === undefined) continue;
    const layer = layers.get(prefix) ?? { norms: [], matrices: [] };
    layers.set(prefix, layer);
    if (shape.length > 1) layer.matrices.push(name);
    else if (name.endsWith('norm.weight')) layer.norms.push(name);
  }
  return [...layers]
    .map(([prefix, layer]) => ({ prefix, ...layer }))
    .filter(({ norms, matrices }) => norms.length > 0 && matrices.length > 0);
}

function isOnes(values: ArrayLike<number>): boolean {
  for (let i = 0; i < values.length; i++) if (values[i] !== 1) return false;
  return true;
}

/**
 * Mean, deviation and fourth moment of a normal distribution, each within six standard errors of so many draws. Training
 * moves them by far more: a matrix of 2^20 numbers has to have its deviation within half a percent.
 */
function isFresh(values: ArrayLike<number>): boolean {
  const count = values.length;
  let [sum, squares, fourths] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    const square = values[i] ** 2;
    sum += values[i];
    squares += square;
    fourths += square ** 2;
  }
  const variance = squares / count;
  const within = (value: number, expected: number, error: number) =>
    Math.abs(value - expected) <= 6 * error;
  return (
    within(sum / count / DEVIATION, 0, 1 / Math.sqrt(count)) &&
    within(Math.sqrt(variance) / DEVIATION, 1, 1 / Math.sqrt(2 * count)) &&
    within(fourths / count / variance ** 2, 3, Math.sqrt(24 / count))
  );
}

/** A tensor as floats, or null for one of another kind. */
async function valuesOf(
  { tensors, readInto }: Pick<Checkpoint, 'tensors' | 'readInto'>,
  name: string,
): Promise<ArrayLike<number> | null> {
  const { dtype, shape, from, to } = tensors.get(name)!;
  if (dtype !== 'f32' && dtype !== 'f16' && dtype !== 'bf16') return null;
  const data = arrayFor(dtype, sizeOf(shape));
  await readInto(name, 0, new Uint8Array(data.buffer, 0, to - from));
  return toFloat32(data, dtype);
}
