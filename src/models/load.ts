// From a folder to a running model: config, weights in the dtype asked for, tokenizer. One tensor is in flight at a time,
// so memory never holds the checkpoint twice.
import * as z from 'zod';
import type { Backend } from '../kernels/backend.ts';
import { cpu } from '../kernels/cpu/index.ts';
import { convert } from '../kernels/dtype.ts';
import { FormatError, OptionError } from '../kernels/errors.ts';
import type { DType } from '../kernels/plan.ts';
import type { Checkpoint, TensorEntry } from '../tensor/checkpoint.ts';
import { openCheckpoint } from '../tensor/safetensors.ts';
import { sameShape, show, sizeOf as sizeOfShape } from '../tensor/shape.ts';
import { type FolderSource, openFolder } from '../tensor/source.ts';
import { Tensor } from '../tensor/tensor.ts';
import type { LayerTree, WeightMap, WeightSpec, Weights, WeightTree } from './architecture.ts';
import { architectureOf } from './architectures.ts';
import type { DecoderConfig } from './config.ts';
import { createDecoder, type Decoder } from './decoder.ts';
import { inflate, inflateSchema, inflationNote } from './inflate.ts';
import { columnsOf } from './layers.ts';
import { parse, tokens } from './schema.ts';
import { loadTokenizer, type Tokenizer } from './tokenizer.ts';

/** How far a load has come, in bytes of the tensors the model needs. */
export interface LoadProgress {
  readonly loadedBytes: number;
  readonly totalBytes: number;
  /** The tensor that was just loaded. */
  readonly tensor: string;
}

const LoadSchema = z.strictObject({
  backend: z.custom<Backend>(has('alloc', 'prepare', 'run'), 'expected a backend').optional(),
  dtype: z.enum(['auto', 'f32', 'bf16', 'f16', 'q8_0', 'q4_0']).default('auto'),
  contextLength: z.int().min(1).optional(),
  maxRows: z.int().min(1).max(4096).optional(),
  inflate: inflateSchema.optional(),
  onProgress: z
    .custom<(progress: LoadProgress) => void>(isFunction, 'expected a function')
    .optional(),
  signal: z.custom<AbortSignal>(has('throwIfAborted'), 'expected an AbortSignal').optional(),
});

/**
 * Options of `load`.
 * - `backend`: who computes; by default a new `cpu` backend that is disposed with the model.
 * - `dtype`: element type of the matrices, by default (`auto`) the one of the file; vectors are always f32.
 * - `contextLength`: positions a sequence may have; by default what the file allows, at most 4096.
 * - `maxRows`: rows per recorded plan; by default what the backend prefers. Longer forwards run the plan again.
 * - `inflate`: makes the model larger without changing its function (`InflateOptions`), to see what a size costs.
 * - `onProgress`, `signal`: called after every tensor; aborts between reads and frees what was loaded.
 */
export type LoadOptions = z.input<typeof LoadSchema>;

/** A model with its tokenizer, ready for `generate`. */
export interface LoadedModel {
  readonly model: Decoder;
  readonly tokenizer: Tokenizer;
  dispose(): void;
  [Symbol.dispose](): void;
}

/** Positions a cache is made for when the file allows more and the caller does not say. */
const DEFAULT_CONTEXT = 4096;

/**
 * Loads a Hugging Face folder: config.json, safetensors (single or sharded) and tokenizer.json. Throws FormatError for
 * broken files, UnsupportedError for what this version does not do, OptionError for options.
 */
export async function load(
  folder: string | FolderSource,
  options: LoadOptions = {},
): Promise<LoadedModel> {
  readOptions(options);
  const source = await sourceOf(folder);
  try {
    // First, because it is small and a missing one should not cost a gigabyte of reading.
    const tokenizer = await loadTokenizer(source);
    const model = await loadModel(source, options);
    const dispose = () => model.dispose();
    return { model, tokenizer, dispose, [Symbol.dispose]: dispose };
  } finally {
    if (typeof folder === 'string') await source.close();
  }
}

/** `load` without the tokenizer, for callers that work with token ids. */
export async function loadModel(
  folder: string | FolderSource,
  options: LoadOptions = {},
): Promise<Decoder> {
  const parsed = readOptions(options);
  const source = await sourceOf(folder);
  try {
    return await loadChecked(source, parsed);
  } finally {
    if (typeof folder === 'string') await source.close();
  }
}

function readOptions(options: LoadOptions): z.output<typeof LoadSchema> {
  const parsed = LoadSchema.safeParse(options);
  if (!parsed.success) throw new OptionError(`load: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

async function sourceOf(folder: string | FolderSource): Promise<FolderSource> {
  if (typeof folder === 'string') return openFolder(folder);
  if (!has('has', 'text', 'read')(folder))
    throw new OptionError(`load: expected the path of a folder or a FolderSource, got ${folder}`);
  return folder;
}

async function loadChecked(
  source: FolderSource,
  options: z.output<typeof LoadSchema>,
): Promise<Decoder> {
  const file = `${source.name}/config.json`;
  const json = await readJson(source, 'config.json');
  const architecture = architectureOf(json, file);
  const own = await withGenerationConfig(source, architecture.readConfig(json, file));
  const contextLength = options.contextLength ?? Math.min(own.maxPositions, DEFAULT_CONTEXT);
  if (contextLength > own.maxPositions)
    throw new OptionError(
      `load: contextLength: expected at most max_position_embeddings ${own.maxPositions}, got ${contextLength}`,
    );
  const opened = { config: own, checkpoint: await openCheckpoint(source) };
  const notes = checkWeights(source.name, opened.checkpoint, architecture.weights(own), own);
  const { config, checkpoint } =
    options.inflate === undefined ? opened : inflate(architecture, opened, options.inflate);
  if (config.inflation !== undefined) notes.push(inflationNote(config.inflation));
  if (options.contextLength === undefined && contextLength < own.maxPositions)
    notes.push(
      `contextLength: ${contextLength} of the ${own.maxPositions} positions the file allows`,
    );
  const backend = options.backend ?? cpu();
  try {
    return createDecoder(architecture, {
      config,
      weights: await loadWeights(checkpoint, architecture.weights(config), backend, options),
      backend,
      ownsBackend: options.backend === undefined,
      contextLength,
      maxRows: options.maxRows ?? backend.report.preferredRows,
      notes,
    });
  } catch (error) {
    if (options.backend === undefined) backend.dispose();
    throw error;
  }
}

/** Reads every weight of the map to the backend; frees them all when one fails. */
async function loadWeights(
  checkpoint: Checkpoint,
  map: WeightMap,
  backend: Backend,
  { dtype, onProgress, signal }: z.output<typeof LoadSchema>,
): Promise<Weights> {
  const specs = specsOf(map);
  const sizeOf = ({ from, to }: TensorEntry) => to - from;
  const entries = specs.map(({ name }) => checkpoint.tensors.get(name)!);
  const totalBytes = entries.reduce((sum, entry) => sum + sizeOf(entry), 0);
  const tensors = new Map<WeightSpec, Tensor>();
  let loadedBytes = 0;
  try {
    for (const [index, spec] of specs.entries()) {
      signal?.throwIfAborted();
      const entry = entries[index];
      const kept: DType =
        spec.shape.length < 2 ? 'f32' : dtype === 'auto' ? (entry.dtype as DType) : dtype;
      const data = convert(
        await checkpoint.read(spec.name, { signal }),
        entry.dtype as DType,
        kept,
      );
      const buffer = backend.alloc(kept, sizeOfShape(spec.shape), columnsOf(spec));
      tensors.set(
        spec,
        new Tensor(
          { kind: 'constant', dtype: kept, shape: spec.shape, buffer, offset: 0 },
          backend,
        ),
      );
      backend.write(buffer, data);
      loadedBytes += sizeOf(entry);
      onProgress?.({ loadedBytes, totalBytes, tensor: spec.name });
    }
  } catch (error) {
    for (const { value } of tensors.values()) if ('buffer' in value) backend.free(value.buffer);
    throw error;
  }
  return mapTree(map, (spec) => tensors.get(spec)!);
}

/** Compares checkpoint and weight map; every fault in one error, harmless surplus as notes. */
function checkWeights(
  folder: string,
  { tensors }: Checkpoint,
  map: WeightMap,
  config: DecoderConfig,
): string[] {
  const faults: string[] = [];
  const notes: string[] = [];
  const wanted = new Map(specsOf(map).map((spec) => [spec.name, spec.shape]));
  for (const [name, shape] of wanted) {
    const entry = tensors.get(name);
    if (entry === undefined) faults.push(`missing ${name} ${show(shape)}`);
    else if (!sameShape(entry.shape, shape))
      faults.push(
        `${name}: expected shape ${show(shape)}, got ${show(entry.shape)} in ${entry.file}`,
      );
    else if (entry.dtype !== 'f32' && entry.dtype !== 'f16' && entry.dtype !== 'bf16')
      faults.push(`${name}: expected F32, F16 or BF16, got ${entry.type} in ${entry.file}`);
  }
  for (const [name, { file }] of tensors) {
    if (wanted.has(name)) continue;
    if (name.endsWith('.rotary_emb.inv_freq'))
      notes.push(`ignored ${name}: computed from the config`);
    else if (name === 'lm_head.weight' && config.tied)
      notes.push(`ignored ${name}: tied to the embedding`);
    else faults.push(`unused ${name} in ${file}`);
  }
  if (faults.length > 0)
    throw new FormatError(
      `${folder}: expected the tensors of a ${config.modelType} model, got\n${faults.map((fault) => `  ${fault}`).join('\n')}`,
    );
  return notes;
}

/** Chat models often name their end-of-turn token only in generation_config.json. */
async function withGenerationConfig(
  source: FolderSource,
  config: DecoderConfig,
): Promise<DecoderConfig> {
  const path = 'generation_config.json';
  if (!(await source.has(path))) return config;
  const schema = z.looseObject({ eos_token_id: tokens.optional() });
  const { eos_token_id: ends } = parse(
    schema,
    await readJson(source, path),
    `${source.name}/${path}`,
  );
  if (ends == null) return config;
  return { ...config, eosTokens: [...new Set([...config.eosTokens, ...[ends].flat()])] };
}

async function readJson(source: FolderSource, path: string): Promise<unknown> {
  if (!(await source.has(path)))
    throw new FormatError(`${source.name}: expected a file ${path}, got none`);
  const text = await source.text(path);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FormatError(`${source.name}/${path}: expected JSON, got ${(error as Error).message}`);
  }
}

/** Every weight once, a tied head not again. */
function specsOf({ embed, layers, norm, head }: WeightMap): WeightSpec[] {
  const inLayers = layers.flatMap((layer) => Object.values(layer) as WeightSpec[]);
  return [...new Set([embed, ...inLayers, norm, head])];
}

function mapTree(map: WeightMap, leaf: (spec: WeightSpec) => Tensor): WeightTree<Tensor> {
  const layer = (specs: LayerTree<WeightSpec>) =>
    Object.fromEntries(
      Object.entries(specs).map(([role, spec]) => [role, leaf(spec)]),
    ) as unknown as LayerTree<Tensor>;
  return {
    embed: leaf(map.embed),
    layers: map.layers.map(layer),
    norm: leaf(map.norm),
    head: leaf(map.head),
  };
}

function has(...methods: readonly string[]) {
  return (value: unknown): boolean =>
    typeof value === 'object' &&
    value !== null &&
    methods.every((name) => isFunction((value as Record<string, unknown>)[name]));
}

function isFunction(value: unknown): boolean {
  return typeof value === 'function';
}
