// From options to the parts of a run: backend, models, drafter, verifier, settings of `generate`.
import { readFile } from 'node:fs/promises';
import { text as readAll } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { Backend } from '../kernels/backend.ts';
import { cpu } from '../kernels/cpu/index.ts';
import { reference } from '../kernels/reference/index.ts';
import { wasm } from '../kernels/wasm/index.ts';
import type { Decoder } from '../models/decoder.ts';
import { type LoadedModel, type LoadOptions, load, loadModel } from '../models/load.ts';
import { WEIGHT_DTYPES } from '../models/weights.ts';
import type { Drafter } from '../speculate/drafter.ts';
import { layerSkip } from '../speculate/drafters/layer-skip.ts';
import { draftModel } from '../speculate/drafters/model.ts';
import { ngram } from '../speculate/drafters/ngram.ts';
import { none } from '../speculate/drafters/none.ts';
import { prediction } from '../speculate/drafters/prediction.ts';
import { sharedVocabulary } from '../speculate/drafters/shared-vocabulary.ts';
import { suffix } from '../speculate/drafters/suffix.ts';
import type { Prompt } from '../speculate/generate.ts';
import type { GenerateOptions } from '../speculate/options.ts';
import { Speculator } from '../speculate/speculators/load.ts';
import { refuseResearch } from '../speculate/speculators/recognise.ts';
import type { Verifier } from '../speculate/verifier.ts';
import { VERIFIER_NAMES, VERIFIERS } from '../speculate/verifiers/named.ts';
import { progressBar } from './display.ts';
import type { OpenedDrafter } from './opened.ts';
import { type CliOptions, countOf, numberOf, oneOf, UsageError } from './options.ts';
import { openSpeculator } from './speculator.ts';

const embedded = (name: string) => fileURLToPath(new URL(`../../models/${name}`, import.meta.url));
const DRAFTERS = ['model', 'tree', 'ngram', 'suffix', 'prediction', 'layer-skip', 'none'] as const;

/** The backend of `--backend`. */
export async function openBackend(options: CliOptions): Promise<Backend> {
  switch (
    oneOf('backend', options.backend, ['wasm', 'cpu', 'reference', 'gpu-cpu', 'gpu-webasm'])
  ) {
    case 'wasm':
      return wasm();
    case 'cpu':
      return cpu();
    case 'reference':
      return reference();
    // Only here, because gpu.js is an optional package.
    case 'gpu-cpu':
      return (await import('../kernels/gpu/index.ts')).gpu({ mode: 'cpu' });
    case 'gpu-webasm':
      return (await import('../kernels/gpu/index.ts')).gpu({ mode: 'webasm' });
  }
}

interface LoadParts {
  readonly backend: Backend;
  readonly signal: AbortSignal;
  /** Parameters to inflate the model to. */
  readonly parameters?: number | undefined;
}

/**
 * The target model, with a progress bar, inflated as asked for. `parameters` is the size of the embedded one where nothing
 * was asked, on the backend that has the speed for it.
 */
export function loadTarget(
  options: CliOptions,
  { parameters, ...parts }: LoadParts,
): Promise<LoadedModel> {
  if (options['no-inflate'] && options.inflate !== undefined)
    throw new UsageError('--inflate: expected it or --no-inflate, got both');
  const asItIs = options['no-inflate'] || options.model !== undefined || options.backend !== 'wasm';
  return loadFolder(options.model ?? embedded('target'), options, {
    ...parts,
    parameters: countOf(options, 'inflate') ?? (asItIs ? undefined : parameters),
  });
}

/** A model with a progress bar. */
const loadFolder = (folder: string, options: CliOptions, parts: LoadParts): Promise<LoadedModel> =>
  loading(folder, options, parts, load);

/** The same without its tokenizer. */
export const loadDecoder = (
  folder: string,
  options: CliOptions,
  parts: LoadParts,
): Promise<Decoder> => loading(folder, options, parts, loadModel);

async function loading<Result>(
  folder: string,
  options: CliOptions,
  { backend, signal, parameters }: LoadParts,
  read: (folder: string, options: LoadOptions) => Promise<Result>,
): Promise<Result> {
  const bar = progressBar(`loading ${folder}`);
  try {
    return await read(folder, {
      backend,
      dtype: oneOf('dtype', options.dtype, ['auto', ...WEIGHT_DTYPES]),
      contextLength: numberOf(options, 'context-length'),
      inflate: parameters === undefined ? undefined : { parameters },
      onProgress: ({ loadedBytes, totalBytes }) => bar.update(loadedBytes, totalBytes),
      signal,
    });
  } finally {
    bar.end();
  }
}

/** The drafter of `--drafter`; without it that of `--draft`, or `fallback`. */
export async function openDrafter(
  options: CliOptions,
  fallback: 'model' | 'none',
  parts: { readonly backend: Backend; readonly target: LoadedModel; readonly signal: AbortSignal },
): Promise<OpenedDrafter> {
  const implied = options.draft === undefined ? fallback : 'model';
  const name = oneOf('drafter', options.drafter ?? implied, DRAFTERS);
  if (options.branching !== undefined && !['tree', 'ngram', 'suffix'].includes(name))
    throw new UsageError(
      `--branching: expected --drafter tree, ngram or suffix with it, got ${name}`,
    );
  if ((options.prediction !== undefined) !== (name === 'prediction'))
    throw new UsageError(
      `--prediction: expected a file exactly with --drafter prediction, got ${name} and ${options.prediction ?? 'no file'}`,
    );
  if ((options['draft-layers'] !== undefined) !== (name === 'layer-skip'))
    throw new UsageError(
      `--draft-layers: expected layers exactly with --drafter layer-skip, got ${name} and ${options['draft-layers'] ?? 'none'}`,
    );
  if (options.proposal !== undefined && (name !== 'model' || options.draft === undefined))
    throw new UsageError(
      `--proposal: expected the speculator of --draft with --drafter model, got ${name}${options.draft === undefined ? ' without --draft' : ''}`,
    );
  if (name !== 'model' && name !== 'tree') {
    if (options.draft !== undefined)
      throw new UsageError(`--draft: expected --drafter model or tree with it, got ${name}`);
    const drafter = await openModelless(name, options, parts.target);
    return { ...BARE, drafter, dispose: () => drafter.dispose?.() };
  }
  if (options.draft === undefined && options.model !== undefined)
    throw new UsageError(
      '--draft: expected the folder of a draft model for --model, got none; or use --drafter ngram',
    );
  const { target, ...rest } = parts;
  if (options.draft !== undefined && (await isSpeculator(options.draft)))
    return openSpeculator(options.draft, options, {
      target,
      shape: name === 'tree' ? treeOf(options, target) : undefined,
    });
  if (options.proposal !== undefined)
    throw new UsageError(`--proposal: expected a speculator in ${options.draft}, got a model`);
  if (options.draft !== undefined && !isGguf(options.draft)) await refuseResearch(options.draft);
  const draft = await loadFolder(options.draft ?? embedded('draft'), options, rest);
  const vocabulary = sharedVocabulary(draft, target);
  const drafter = draftModel(draft.model, {
    ...(name === 'tree' && treeOf(options, target)),
    vocabulary,
  });
  return {
    ...BARE,
    drafter,
    notes: vocabulary.note === null ? [] : [vocabulary.note],
    dispose() {
      drafter.dispose?.();
      draft.dispose();
    },
  };
}

/** A drafter that has no proposal method. */
const BARE = { proposal: null, settings: {}, notes: [] } as const;

async function openModelless(
  name: Exclude<(typeof DRAFTERS)[number], 'model' | 'tree'>,
  options: CliOptions,
  { model, tokenizer }: LoadedModel,
): Promise<Drafter> {
  if (name === 'none') return none();
  if (name === 'ngram') return ngram({ branches: branchesOf(options) });
  if (name === 'suffix') return suffix({ tree: isTree(options) });
  if (name === 'layer-skip')
    return layerSkip(model, { layers: layersOf(options['draft-layers']!) });
  const text = await readFile(options.prediction!, 'utf8').catch((error: Error) => {
    throw new UsageError(`--prediction: expected a text file, got ${error.message}`);
  });
  return prediction({ tokens: tokenizer.encode(text, { addSpecialTokens: false }) });
}

/** A folder with a speculator; anything else is a model, or an error of loading one. */
async function isSpeculator(path: string): Promise<boolean> {
  return !isGguf(path) && Speculator.isIn(path).catch(() => false);
}

const isGguf = (path: string) => /\.gguf$/i.test(path);

/** The shape of `--branching`. */
function treeOf({ branching = '3,2,1' }: CliOptions, { model }: LoadedModel) {
  if (branching === 'best') return { best: { ladder: model.ladder } };
  return { branching: branchingOf(branching) };
}

function branchingOf(list: string): number[] {
  const counts = list.split(',').map(Number);
  if (counts.some((count) => !Number.isInteger(count) || count < 1))
    throw new UsageError(
      `--branching: expected whole numbers from 1 like 3,2,1, or best, got ${JSON.stringify(list)}`,
    );
  return counts;
}

/** How many occurrences n-grams follow. */
function branchesOf({ branching = '1' }: CliOptions): number {
  if (!/^\d+$/.test(branching))
    throw new UsageError(
      `--branching: expected a whole number like 3 with --drafter ngram, got ${JSON.stringify(branching)}`,
    );
  return Number(branching);
}

/** Whether suffixes draft the most probable tree. */
function isTree({ branching }: CliOptions): boolean {
  if (branching !== undefined && branching !== 'best')
    throw new UsageError(
      `--branching: expected best with --drafter suffix, got ${JSON.stringify(branching)}`,
    );
  return branching === 'best';
}

/** `4` for the first four, or a list like 0,2,5. */
function layersOf(list: string): number | number[] {
  if (!/^\d+(,\d+)*$/.test(list))
    throw new UsageError(
      `--draft-layers: expected a number like 4 or a list like 0,2,5, got ${JSON.stringify(list)}`,
    );
  const layers = list.split(',').map(Number);
  return layers.length === 1 ? layers[0] : layers;
}

/** Options of `generate` without the drafter. */
export function settingsOf(options: CliOptions): GenerateOptions {
  const verifier: Verifier | undefined =
    options.verifier === undefined
      ? undefined
      : VERIFIERS[oneOf('verifier', options.verifier, VERIFIER_NAMES)];
  const settings = {
    maxTokens: numberOf(options, 'max-tokens'),
    temperature: numberOf(options, 'temperature'),
    topK: numberOf(options, 'top-k'),
    topP: numberOf(options, 'top-p'),
    minP: numberOf(options, 'min-p'),
    repetitionPenalty: numberOf(options, 'repetition-penalty'),
    presencePenalty: numberOf(options, 'presence-penalty'),
    frequencyPenalty: numberOf(options, 'frequency-penalty'),
    seed: numberOf(options, 'seed'),
    draftLength:
      options['draft-length'] === 'auto' ? ('auto' as const) : numberOf(options, 'draft-length'),
    stop: options.stop,
    ignoreEos: options['ignore-eos'],
    verifier,
  };
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

/** The prompt of `--prompt`, `-` for standard input, as a chat message with `--chat`. */
export async function promptOf(options: CliOptions): Promise<Prompt> {
  const { prompt = 'Once upon a time' } = options;
  const text = prompt === '-' ? await readAll(process.stdin) : prompt;
  return options.chat ? { messages: [{ role: 'user', content: text }] } : text;
}
