// A larger model that computes the same function, made of a small one while it is loaded: real text at the memory traffic
// of a real model. Units, heads and layers are repeated as in Net2Net (Chen, Goodfellow, Shlens, 2016), with shares for the
// copies that are powers of two, so that no weight is rounded and results differ by the order of additions only.
//
//   width    C -> wC   the stream holds w equal copies; RMS norms see the same mean, their gains carry the shares
//   heads    H -> hH   whole groups with their k and v; the rows of v carry the shares
//   feed     F -> fF   hidden units; the rows of up carry the shares
//   layers   L -> nL   the new ones are copies that write zeros to the stream
import * as z from 'zod';
import { BLOCK_BYTES, isBlocked } from '../kernels/blocks.ts';
import { arrayFor, fromFloat32, reader, toFloat32, writer } from '../kernels/dtype.ts';
import { OptionError } from '../kernels/errors.ts';
import type { DType, TypedArray } from '../kernels/plan.ts';
import { bytesOf, type Checkpoint, type TensorEntry } from '../tensor/checkpoint.ts';
import { byteLength } from '../tensor/header.ts';
import { sizeOf } from '../tensor/shape.ts';
import type { ReadOptions } from '../tensor/source.ts';
import type { Architecture, WeightMap, WeightSpec } from './architecture.ts';
import type { DecoderConfig, Inflation, InflationFactors } from './config.ts';
import type { ModelFiles } from './files.ts';
import { countParameters, factorsFor, ONES, termsOf } from './inflate-factors.ts';
import { type Axis, EMBED, HEAD, LAYER, NORM, type Role, type Rule } from './inflate-rules.ts';
import { specsOf } from './weights.ts';

const factor = z.int().min(1).max(4096).default(1);

/** Checks `InflateOptions`. */
export const inflateSchema = z.union([
  z.strictObject({ parameters: z.number().positive().max(1e12) }),
  z.strictObject({ width: factor, heads: factor, ffn: factor, layers: factor }),
]);

/**
 * How large a model is made: about so many `parameters`, in a shape like that of models of that size; or the factors of
 * `width`, `heads` (k and v with them), `ffn` and `layers`, each a whole number, 1 by default.
 */
export type InflateOptions = z.input<typeof inflateSchema>;

/** A config with the tensors it describes. */
export interface ConfiguredCheckpoint {
  readonly config: DecoderConfig;
  readonly checkpoint: Checkpoint;
}

/**
 * The same function with more weights. Tensors of the result are computed when they are read, in any pieces; `config.inflation`
 * says what was done. The tensors must be those of `architecture.weights(config)`. Throws an OptionError for factors that
 * make no model, or a size below that of the model itself.
 */
export function inflate(
  architecture: Architecture,
  { config, checkpoint }: ConfiguredCheckpoint,
  options: InflateOptions,
): ConfiguredCheckpoint {
  const parsed = inflateSchema.safeParse(options);
  if (!parsed.success) throw new OptionError(`inflate: ${z.prettifyError(parsed.error)}`);
  const small = architecture.weights(config);
  const terms = termsOf(small);
  const factors =
    'parameters' in parsed.data
      ? factorsFor(parsed.data.parameters, config, terms)
      : { ...parsed.data };
  const large: DecoderConfig = {
    ...config,
    layers: config.layers * factors.layers,
    width: config.width * factors.width,
    heads: config.heads * factors.heads,
    kvHeads: config.kvHeads * factors.heads,
    ffnWidth: config.ffnWidth * factors.ffn,
    windows: config.windows.flatMap((window) => Array(factors.layers).fill(window)),
    inflation: {
      factors,
      from: countParameters(terms, ONES),
      to: countParameters(terms, factors),
    },
  };
  const sources = sourcesOf(architecture.weights(large), small, factors);
  return { config: large, checkpoint: repeated(checkpoint, sources) };
}

/** `inflate` for the files of a model, whose tensors may have other names and rows in another order. */
export function inflateFiles(files: ModelFiles, options: InflateOptions): ModelFiles {
  const { architecture, checkpoint, place } = files;
  const tensors = new Map(
    specsOf(architecture.weights(files.config)).map(({ name }) => [
      name,
      checkpoint.tensors.get(place(name).name)!,
    ]),
  );
  const own: Checkpoint = {
    tensors,
    metadata: checkpoint.metadata,
    read: (name, given) => checkpoint.read(place(name).name, given),
    readInto: (name, ...given) => checkpoint.readInto(place(name).name, ...given),
  };
  const large = inflate(architecture, { config: files.config, checkpoint: own }, options);
  // Heads are repeated whole, so rows keep their order within each.
  return { ...files, ...large, place: (name) => ({ ...place(name), name }) };
}

/** A line for reports. */
export function inflationNote({ from, to, factors }: Inflation): string {
  const { width, heads, ffn, layers } = factors;
  return `inflated from ${from} to ${to} parameters (width x${width}, heads x${heads}, feed-forward x${ffn}, layers x${layers}): the same function at the cost of that size`;
}

const times = (factors: InflationFactors, axis: Axis | undefined) => (axis ? factors[axis] : 1);

/** Where a tensor of the large model comes from. */
interface Source {
  /** Of the small model. */
  readonly spec: WeightSpec;
  /** In the large model. */
  readonly shape: readonly number[];
  readonly rowCopies: number;
  readonly columnCopies: number;
  readonly shares: boolean;
  readonly empty: boolean;
}

/** By name in the large model. */
function sourcesOf(
  large: WeightMap,
  small: WeightMap,
  factors: InflationFactors,
): Map<string, Source> {
  const sources = new Map<string, Source>();
  const add = (to: WeightSpec, spec: WeightSpec, rule: Rule, empty = false) =>
    sources.set(to.name, {
      spec,
      shape: to.shape,
      rowCopies: times(factors, rule.rows),
      columnCopies: times(factors, rule.columns),
      shares: rule.shares === true,
      empty,
    });
  add(large.embed, small.embed, EMBED);
  add(large.norm, small.norm, NORM);
  if (large.head !== large.embed) add(large.head, small.head, HEAD);
  for (const [l, layer] of large.layers.entries()) {
    const original = small.layers[Math.floor(l / factors.layers)];
    for (const role of Object.keys(layer) as Role[]) {
      const rule = LAYER[role];
      add(layer[role]!, original[role]!, rule, rule.writes && l % factors.layers > 0);
    }
  }
  return sources;
}

/** The large tensors, computed from the small ones when they are read. */
function repeated(checkpoint: Checkpoint, sources: ReadonlyMap<string, Source>): Checkpoint {
  const entries = [...sources].map(([name, { spec, shape }]): [string, TensorEntry] => {
    const { file, ...entry } = checkpoint.tensors.get(spec.name)!;
    const [dtype, type] =
      entry.dtype === null ? (['f32', 'F32'] as const) : [entry.dtype, entry.type];
    // Only the size means anything: the bytes are in no file.
    return [name, { name, file, dtype, type, shape, from: 0, to: byteLength(dtype, shape) }];
  });
  const tensors = new Map(entries);
  // Of the tensor that was read last, as its pieces follow each other.
  let last: { readonly name: string; readonly pattern: Pattern } | null = null;
  const patternOf = async (name: string, source: Source, options?: ReadOptions) => {
    if (last?.name !== name) {
      const data = await checkpoint.read(source.spec.name, options);
      last = { name, pattern: makePattern(data, tensors.get(name)!.dtype!, source) };
    }
    return last.pattern;
  };
  const large: Checkpoint = {
    tensors,
    metadata: checkpoint.metadata,
    async read(name, options) {
      const entry = tensors.get(name);
      const data = arrayFor(entry?.dtype ?? 'f32', sizeOf(entry?.shape ?? []));
      await large.readInto(name, 0, bytesOf(data), options);
      return data;
    },
    async readInto(name, from, target, options) {
      options?.signal?.throwIfAborted();
      const source = sources.get(name);
      if (source === undefined)
        throw new OptionError(`inflate: ${name}: expected a tensor of the model, got another`);
      if (source.empty) target.fill(0);
      else fill(target, from, await patternOf(name, source, options));
    },
  };
  return large;
}

/** The bytes of a large tensor: for every copy of the rows a band of them, whose runs of `runBytes` come `repeats` times. */
interface Pattern {
  readonly bands: readonly Uint8Array[];
  readonly runBytes: number;
  readonly repeats: number;
}

function makePattern(data: TypedArray, dtype: DType, source: Source): Pattern {
  const { spec, rowCopies, columnCopies, shares } = source;
  const scales = Array.from({ length: rowCopies }, (_, copy) =>
    shares ? shareOf(copy, rowCopies) : 1,
  );
  const bands = new Map([...new Set(scales)].map((by) => [by, bytesOf(scaled(data, dtype, by))]));
  return {
    bands: scales.map((by) => bands.get(by)!),
    runBytes: columnCopies === 1 ? data.byteLength : byteLength(dtype, spec.shape.slice(1)),
    repeats: columnCopies,
  };
}

/** Fills `target` with the bytes from `from` on. */
function fill(target: Uint8Array, from: number, { bands, runBytes, repeats }: Pattern): void {
  const runs = bands[0].length / runBytes;
  let length: number;
  for (let at = 0; at < target.length; at += length) {
    const run = Math.floor((from + at) / (runBytes * repeats));
    const offset = (from + at) % runBytes;
    const start = (run % runs) * runBytes + offset;
    length = Math.min(runBytes - offset, target.length - at);
    target.set(bands[Math.floor(run / runs)].subarray(start, start + length), at);
  }
}

/** 1 for one copy, halves for two, a half and two quarters for three: powers of two that add up to one. */
function shareOf(copy: number, copies: number): number {
  const parts = 2 ** Math.ceil(Math.log2(copies));
  return (copy < parts - copies ? 2 : 1) / parts;
}

/** Every element times a power of two: exact but for numbers that become subnormal, which f16 does below 6e-5. */
function scaled(data: TypedArray, dtype: DType, by: number): TypedArray {
  if (by === 1) return data;
  if (isBlocked(dtype)) return scaledBlocks(data as Uint8Array, BLOCK_BYTES[dtype], by);
  const values = Float32Array.from(toFloat32(data, dtype));
  for (let i = 0; i < values.length; i++) values[i] *= by;
  return fromFloat32(values, dtype);
}

/** Only the scales of blocks, which come first in each. */
function scaledBlocks(data: Uint8Array, blockBytes: number, by: number): Uint8Array {
  const out = Uint8Array.from(data);
  const halves = new Uint16Array(out.buffer);
  const at = reader(halves, 'f16');
  const put = writer(halves, 'f16');
  for (let i = 0; i < halves.length; i += blockBytes / 2) put(i, at(i) * by);
  return out;
}
