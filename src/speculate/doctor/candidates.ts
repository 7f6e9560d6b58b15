// What can be tried on a target: a draft model as it is, or a head in every reading of its files; with what the files say alone.
import { FormatError, UnsupportedError } from '../../kernels/errors.ts';
import type { Decoder } from '../../models/decoder.ts';
import type { ModelFiles } from '../../models/files.ts';
import { loadModel, tokenizerOf } from '../../models/load.ts';
import { withModel } from '../../models/open.ts';
import { loadTokenizer, type Tokenizer } from '../../models/tokenizer.ts';
import type { WeightDType } from '../../models/weights.ts';
import type { Checkpoint } from '../../tensor/checkpoint.ts';
import { openCheckpoint, type TensorData } from '../../tensor/safetensors.ts';
import type { FolderSource } from '../../tensor/source.ts';
import type { Drafter } from '../drafter.ts';
import { draftModel } from '../drafters/model.ts';
import { type SharedVocabulary, sharedVocabulary } from '../drafters/shared-vocabulary.ts';
import { openSpeculatorConfig, type SpeculatorConfig } from '../speculators/config.ts';
import { Speculator, type SpeculatorOptions } from '../speculators/load.ts';
import { initialSizeOf } from '../speculators/untrained.ts';
import type { Finding } from './finding.ts';
import { examineConfig, examineNames, examineVocabulary } from './head.ts';
import { type Reading, readingsOf } from './readings.ts';
import { examineWeights } from './weights.ts';
import { examineWords } from './words.ts';

/** A target whose backend drafts, too. */
export interface Patient {
  readonly model: Decoder;
  /** Null where there is none: then nothing is compared by bytes, and no text is written. */
  readonly tokenizer: Tokenizer | null;
  /** Why there is none. */
  readonly tokenizerMissing?: string | undefined;
}

/** A drafter with what loading it had to say. */
export interface Opened {
  readonly drafter: Drafter;
  readonly notes: readonly string[];
  dispose(): void;
}

/** A way to draft. */
export interface Candidate {
  /** What is read otherwise than the files say; empty for nothing. */
  readonly label: string;
  open(): Promise<Opened>;
}

/** What the files say, and what can be tried. */
export interface Examined {
  readonly kind: string;
  readonly findings: readonly Finding[];
  /** The first one is as the files say; none where weights are no numbers. */
  readonly candidates: readonly Candidate[];
}

/** How files are read. */
interface ReadOptions {
  /** Of the matrices. */
  readonly dtype: WeightDType;
  readonly signal?: AbortSignal | undefined;
}

/** A draft model: a folder or a .gguf file. */
export async function examineModel(
  target: Patient,
  from: string | FolderSource,
  { dtype, signal }: ReadOptions,
): Promise<Examined> {
  const { kind, name, own, weights } = await withModel(from, async (files) => ({
    kind: `draft model of type ${files.architecture.modelType}`,
    name: files.name,
    own: await readTokenizer(files),
    weights: await examineWeights(files.checkpoint, initialSizeOf(files.config.raw), signal),
  }));
  const { backend } = target.model;
  const open = async () => {
    const model = await loadModel(from, { backend, dtype, signal });
    try {
      const vocabulary = vocabularyOf({ name, model, ...own }, target);
      return opened(draftModel(model, { ...(vocabulary && { vocabulary }) }), [], model);
    } catch (error) {
      model.dispose();
      throw error;
    }
  };
  return {
    kind,
    findings: [...wordsOf(own, target), ...weights.findings],
    candidates: weights.areNumbers ? [{ label: '', open }] : [],
  };
}

/** A tokenizer, or why there is none. */
type Words = Pick<Patient, 'tokenizer' | 'tokenizerMissing'>;

/** The tokenizer of a model; none where it has none that can be read. */
export async function readTokenizer(files: ModelFiles): Promise<Words> {
  try {
    return { tokenizer: await tokenizerOf(files) };
  } catch (error) {
    if (!(error instanceof FormatError || error instanceof UnsupportedError)) throw error;
    return { tokenizer: null, tokenizerMissing: error.message };
  }
}

/** What both vocabularies are to each other; without a tokenizer what was left out, and why. */
function wordsOf(draft: Words, target: Words): readonly Finding[] {
  if (draft.tokenizer !== null && target.tokenizer !== null)
    return examineWords(draft.tokenizer, target.tokenizer);
  const reasons = [
    ...(draft.tokenizer === null
      ? [`the draft has no tokenizer that can be read${because(draft)}`]
      : []),
    ...(target.tokenizer === null
      ? [`the target has no tokenizer that can be read${because(target)}`]
      : []),
  ];
  return [
    {
      gravity: 'warning',
      subject: 'vocabulary',
      message: `left out: tokens, special tokens and chat templates are not compared, because ${reasons.join(', and ')}; equal ids are taken for the same token`,
    },
  ];
}

/** The reason in brackets, where it is known. */
export const because = ({ tokenizerMissing: reason }: Words): string =>
  reason === undefined ? '' : ` (${reason})`;

/** The tokens that both have; null where that is not known, and ids are taken as they are. Throws a FormatError for other sizes. */
function vocabularyOf(
  { name, model, tokenizer }: Patient & { readonly name: string },
  target: Patient,
): SharedVocabulary | null {
  if (tokenizer !== null && target.tokenizer !== null)
    return sharedVocabulary({ model, tokenizer }, { ...target, tokenizer: target.tokenizer });
  const [own, vocab] = [model.config.vocab, target.model.config.vocab];
  if (own !== vocab)
    throw new FormatError(
      `${name}: vocab_size: expected the target's ${vocab} where no tokenizers are compared, got ${own}`,
    );
  return null;
}

/** A folder in the format of speculators. */
export async function examineSpeculator(
  target: Patient,
  source: FolderSource,
  { dtype, signal }: ReadOptions,
): Promise<Examined> {
  const config = await openSpeculatorConfig(source);
  const checkpoint = await openCheckpoint(source);
  const { algorithm, raw } = config;
  const { vocab, layers } = target.model.config;
  const vocabulary = await examineVocabulary(checkpoint, vocab);
  const weights = await examineWeights(checkpoint, initialSizeOf(raw), signal);
  const findings = [
    ...config.notes.map((message): Finding => ({ gravity: 'warning', subject: 'config', message })),
    ...examineConfig(config, target.model.config),
    ...examineNames(checkpoint),
    ...vocabulary.findings,
    ...((await source.has('tokenizer.json'))
      ? wordsOf({ tokenizer: await loadTokenizer(source) }, target)
      : []),
    ...weights.findings,
  ];
  const { model: verifier, tokenizer } = target;
  const options = { verifier, tokenizer: tokenizer ?? undefined, dtype, signal };
  const readings = readingsOf({ algorithm, raw, layers, vocabularies: vocabulary.readings });
  const candidates = readings.map((reading) => ({
    label: reading.label,
    async open() {
      // Only the file's own reading is read as it lies; an independent draft model has more files than these.
      const speculator =
        reading.label === ''
          ? await Speculator.fromPretrained(source, options)
          : await readOtherwise({ checkpoint, config }, reading, options);
      return opened(speculator.drafter(), speculator.notes, speculator);
    },
  }));
  return {
    kind: `speculator of algorithm ${algorithm}`,
    findings,
    candidates: weights.areNumbers ? candidates : [],
  };
}

/** The head with what a reading changes. */
async function readOtherwise(
  { checkpoint, config }: { readonly checkpoint: Checkpoint; readonly config: SpeculatorConfig },
  reading: Reading,
  options: SpeculatorOptions,
): Promise<Speculator> {
  const { algorithm } = reading;
  return Speculator.fromConfig(
    { ...config.raw, ...reading.config },
    await withTensors(checkpoint, reading.tensors ?? []),
    { ...options, ...(algorithm && { algorithms: { [config.algorithm]: algorithm } }) },
  );
}

const opened = (
  drafter: Drafter,
  notes: readonly string[],
  owner: { dispose(): void },
): Opened => ({
  drafter,
  notes,
  dispose() {
    drafter.dispose?.();
    owner.dispose();
  },
});

/** The tensors of a file, some of them replaced. */
async function withTensors(
  { tensors, readInto }: Checkpoint,
  others: readonly TensorData[],
): Promise<TensorData[]> {
  const all: TensorData[] = [];
  for (const [name, { type, shape, from, to }] of tensors) {
    const other = others.find((each) => each.name === name);
    if (other !== undefined) {
      all.push(other);
      continue;
    }
    const data = new Uint8Array(to - from);
    await readInto(name, 0, data);
    all.push({ name, dtype: type as Uppercase<string>, shape, data });
  }
  return all;
}
