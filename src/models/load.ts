// From files to a running model: config, weights in the dtype asked for, tokenizer. The files are a Hugging Face folder or
// a GGUF (open.ts); the weights stream (weights.ts), so that memory never holds the model twice.
import * as z from 'zod';
import type { Backend } from '../kernels/backend.ts';
import { cpu } from '../kernels/cpu/index.ts';
import { OptionError, UnsupportedError } from '../kernels/errors.ts';
import { wasm } from '../kernels/wasm/index.ts';
import type { FolderSource } from '../tensor/source.ts';
import { createDecoder, type Decoder, tensorsOf } from './decoder.ts';
import type { ModelFiles } from './files.ts';
import { inflateFiles, inflateSchema, inflationNote } from './inflate.ts';
import { withModel } from './open.ts';
import { createTokenizer, named, type Tokenizer } from './tokenizer.ts';
import { checkWeights, type LoadProgress, loadWeights, WEIGHT_DTYPES } from './weights.ts';

export type { LoadProgress } from './weights.ts';

const LoadSchema = z.strictObject({
  backend: z.custom<Backend>(has('alloc', 'prepare', 'run'), 'expected a backend').optional(),
  dtype: z.enum(['auto', ...WEIGHT_DTYPES]).default('auto'),
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
 * - `backend`: who computes; by default a new `wasm` backend that is disposed with the model, or `cpu` where WebAssembly
 *   SIMD is missing, which the report then says.
 * - `dtype`: element type of the matrices, embedding and head among them, by default (`auto`) the one of the file; q8_0 and
 *   q4_0 quantise on the way, and a matrix whose rows are no whole blocks of 32 stays as in the file. Vectors are f32.
 * - `contextLength`: positions a sequence may have; by default what the file allows, at most 4096.
 * - `maxRows`: rows per recorded plan; by default what the backend prefers. Longer forwards run the plan again.
 * - `inflate`: makes the model larger without changing its function (`InflateOptions`), to see what a size costs.
 * - `onProgress`, `signal`: called after every piece of a few megabytes; aborts between pieces and frees what was loaded.
 */
export type LoadOptions = z.input<typeof LoadSchema>;

/** A model with its tokenizer, ready for `generate`. */
export interface LoadedModel {
  readonly model: Decoder;
  readonly tokenizer: Tokenizer;
  /** Milliseconds from the call of `load` to here. */
  readonly loadMs: number;
  dispose(): void;
  [Symbol.dispose](): void;
}

/** Positions a cache is made for when the file allows more and the caller does not say. */
const DEFAULT_CONTEXT = 4096;

/**
 * Loads a model: a Hugging Face folder (config.json, safetensors, tokenizer.json), a .gguf file, or a folder with one.
 * Throws FormatError for broken files, UnsupportedError for what this version or backend does not do, OptionError for
 * options.
 */
export async function load(
  from: string | FolderSource,
  options: LoadOptions = {},
): Promise<LoadedModel> {
  const start = performance.now();
  const parsed = readOptions(options);
  return withModel(from, async (files) => {
    // First, because it is small and a missing one should not cost a gigabyte of reading.
    const tokenizer = await tokenizerOf(files);
    const model = await loadChecked(files, parsed);
    const dispose = () => model.dispose();
    const loadMs = performance.now() - start;
    return { model, tokenizer, loadMs, dispose, [Symbol.dispose]: dispose };
  });
}

/** `load` without the tokenizer, for callers that work with token ids. */
export async function loadModel(
  from: string | FolderSource,
  options: LoadOptions = {},
): Promise<Decoder> {
  const parsed = readOptions(options);
  return withModel(from, (files) => loadChecked(files, parsed));
}

/** The tokenizer of a model; errors name its folder or file. */
export async function tokenizerOf(files: ModelFiles): Promise<Tokenizer> {
  const parts = await files.tokenizerFiles();
  return named(files.name, () => createTokenizer(parts));
}

function readOptions(options: LoadOptions): z.output<typeof LoadSchema> {
  const parsed = LoadSchema.safeParse(options);
  if (!parsed.success) throw new OptionError(`load: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

async function loadChecked(
  opened: ModelFiles,
  options: z.output<typeof LoadSchema>,
): Promise<Decoder> {
  const { maxPositions } = opened.config;
  const contextLength = options.contextLength ?? Math.min(maxPositions, DEFAULT_CONTEXT);
  if (contextLength > maxPositions)
    throw new OptionError(
      `load: contextLength: expected at most max_position_embeddings ${maxPositions}, got ${contextLength}`,
    );
  const notes = checkWeights(opened, opened.architecture.weights(opened.config));
  const files = options.inflate === undefined ? opened : inflateFiles(opened, options.inflate);
  const { architecture, config } = files;
  if (config.inflation !== undefined) notes.push(inflationNote(config.inflation));
  const backend = options.backend ?? defaultBackend(notes);
  try {
    const loaded = await loadWeights(files, architecture.weights(config), backend, options);
    notes.push(...loaded.notes);
    if (options.contextLength === undefined && contextLength < maxPositions)
      notes.push(
        `contextLength: ${contextLength} of the ${maxPositions} positions the file allows`,
      );
    const { weights } = loaded;
    return createDecoder({
      config,
      forward: (ops, context) => architecture.forward(ops, { ...context, weights }),
      tensors: tensorsOf(weights),
      lent: weights,
      body: { architecture, weights },
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

/** The fastest backend that runs here; a note when it is not the usual one. */
function defaultBackend(notes: string[]): Backend {
  try {
    return wasm();
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    notes.push(`backend: cpu instead of wasm (${error.message})`);
    return cpu();
  }
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
