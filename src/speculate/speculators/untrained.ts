// Decoder layers that nobody trained. Conversions of the Python project in versions 0.2 to 0.4 lost the names of EAGLE-3's layer and
// wrote the numbers that a fresh one starts with: norms of exactly 1, matrices from a normal distribution of deviation 0.02.
// Such a head loads and drafts, and nothing that it drafts is accepted.
import { FormatError } from '../../kernels/errors.ts';
import type { Checkpoint } from '../../tensor/checkpoint.ts';
import type { Json } from './config.ts';
import { INITIAL_SIZE, looksInitial, type Moments, momentsOf, readMoments } from './moments.ts';

/** A tensor as numbers. */
export interface NamedValues {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: ArrayLike<number>;
}

/**
 * Prefixes of the decoder layers, as `layers.0`, whose norms are all 1 and whose matrices are all fresh random numbers, of deviation
 * `initial` (default 0.02).
 */
export async function findUntrained(
  tensors: Iterable<NamedValues>,
  initial = INITIAL_SIZE,
): Promise<readonly string[]> {
  const values = new Map([...tensors].map((tensor) => [tensor.name, tensor]));
  const look = (name: string) => momentsOf([values.get(name)!.values]);
  return untrainedLayers(values.values(), initial, look);
}

/** The same of a checkpoint; matrices are read only where the norms are all 1. */
export function readUntrained(
  checkpoint: Pick<Checkpoint, 'tensors' | 'readInto'>,
  initial = INITIAL_SIZE,
): Promise<readonly string[]> {
  const floats = [...checkpoint.tensors.values()].filter(({ dtype }) => isFloat(dtype));
  return untrainedLayers(floats, initial, (name) => readMoments(checkpoint, name));
}

/** `initializer_range` of the decoder layers of a config.json; throws a FormatError for what is none. */
export function initialSizeOf(raw: Json, file = 'config.json'): number {
  const layer = (raw['transformer_layer_config'] ?? raw) as Json;
  const size = layer['initializer_range'] ?? INITIAL_SIZE;
  if (typeof size !== 'number' || !(size > 0))
    throw new FormatError(
      `${file}: initializer_range: expected a positive number, got ${JSON.stringify(size)}`,
    );
  return size;
}

/** What to say of such layers. */
export const untrainedNote = (layers: readonly string[]): string =>
  `${layers.join(', ')}: norms of 1 and random matrices, as in a layer that nobody trained; conversions by speculators 0.2 to 0.4 wrote such, and nothing that they draft is accepted`;

/** The decoder layer of a tensor, as `layers.0`; null for what lies beside the layers. */
export const layerOf = (name: string): string | null =>
  /^(.*?(?:layers\.\d+|midlayer|transformer))\./.exec(name)?.[1] ?? null;

export const isNorm = ({ name, shape }: Pick<NamedValues, 'name' | 'shape'>): boolean =>
  shape.length === 1 && name.endsWith('norm.weight');

const isFloat = (dtype: string | null) => dtype === 'f32' || dtype === 'f16' || dtype === 'bf16';

async function untrainedLayers(
  tensors: Iterable<Pick<NamedValues, 'name' | 'shape'>>,
  initial: number,
  look: (name: string) => Promise<Moments>,
): Promise<readonly string[]> {
  const all = async (names: readonly string[], holds: (moments: Moments) => boolean) => {
    for (const name of names) if (!holds(await look(name))) return false;
    return true;
  };
  const found: string[] = [];
  for (const { layer, norms, matrices } of layersOf(tensors))
    if (
      (await all(norms, ({ isOnes }) => isOnes)) &&
      (await all(matrices, (moments) => looksInitial(moments, initial)))
    )
      found.push(layer);
  return found;
}

/** Norms and matrices by layer, of layers that have both. */
function layersOf(tensors: Iterable<Pick<NamedValues, 'name' | 'shape'>>) {
  const layers = new Map<string, { norms: string[]; matrices: string[] }>();
  for (const tensor of tensors) {
    const layer = layerOf(tensor.name);
    if (layer === null) continue;
    const members = layers.get(layer) ?? { norms: [], matrices: [] };
    layers.set(layer, members);
    if (tensor.shape.length > 1) members.matrices.push(tensor.name);
    else if (isNorm(tensor)) members.norms.push(tensor.name);
  }
  return [...layers]
    .map(([layer, members]) => ({ layer, ...members }))
    .filter(({ norms, matrices }) => norms.length > 0 && matrices.length > 0);
}
