// What can be tried on a target: a draft model as it is, or a head in every reading of its files; with what the files say alone.
import type { Decoder } from '../../models/decoder.ts';
import { load } from '../../models/load.ts';
import { withModel } from '../../models/open.ts';
import { createTokenizer, loadTokenizer, type Tokenizer } from '../../models/tokenizer.ts';
import type { WeightDType } from '../../models/weights.ts';
import type { Checkpoint } from '../../tensor/checkpoint.ts';
import { openCheckpoint, type TensorData } from '../../tensor/safetensors.ts';
import type { FolderSource } from '../../tensor/source.ts';
import type { Drafter } from '../drafter.ts';
import { draftModel } from '../drafters/model.ts';
import { sharedVocabulary } from '../drafters/shared-vocabulary.ts';
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
  readonly tokenizer: Tokenizer;
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
  const { kind, words, weights } = await withModel(from, async (files) => ({
    kind: `draft model of type ${files.architecture.modelType}`,
    words: examineWords(createTokenizer(await files.tokenizerFiles()), target.tokenizer),
    weights: await examineWeights(files.checkpoint, initialSizeOf(files.config.raw), signal),
  }));
  const { backend } = target.model;
  const open = async () => {
    const draft = await load(from, { backend, dtype, signal });
    try {
      const drafter = draftModel(draft.model, { vocabulary: sharedVocabulary(draft, target) });
      return opened(drafter, [], draft);
    } catch (error) {
      draft.dispose();
      throw error;
    }
  };
  return {
    kind,
    findings: [...words, ...weights.findings],
    candidates: weights.areNumbers ? [{ label: '', open }] : [],
  };
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
      ? examineWords(await loadTokenizer(source), target.tokenizer)
      : []),
    ...weights.findings,
  ];
  const { model: verifier, tokenizer } = target;
  const options = { verifier, tokenizer, dtype, signal };
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
