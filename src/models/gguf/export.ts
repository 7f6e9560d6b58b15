// A model as one GGUF file, its matrices in the type asked for: quantised once, loaded often. Weights stream from file to
// file, so that memory holds a few pieces.
import * as z from 'zod';
import { OptionError } from '../../kernels/errors.ts';
import type { TypedArray } from '../../kernels/plan.ts';
import { readRows } from '../../tensor/checkpoint.ts';
import type { GgufDType, GgufField } from '../../tensor/gguf-types.ts';
import { type GgufTensor, writeGguf } from '../../tensor/gguf-writer.ts';
import type { ByteSink, FolderSource } from '../../tensor/source.ts';
import type { DecoderConfig } from '../config.ts';
import type { ModelFiles } from '../files.ts';
import { withModel } from '../open.ts';
import { named } from '../tokenizer.ts';
import { checkWeights, keptDType, type LoadProgress, specsOf, WEIGHT_DTYPES } from '../weights.ts';
import { configFields, ggufArchitecture, ropeFactors, text, u32 } from './metadata.ts';
import { ggufName, ggufRowOrder, ROPE_FACTORS } from './tensors.ts';
import { tokenizerFields } from './vocabulary.ts';

const ExportSchema = z.strictObject({
  type: z.enum(WEIGHT_DTYPES),
  onProgress: z.custom<(progress: LoadProgress) => void>().optional(),
  signal: z.custom<AbortSignal>().optional(),
});

/**
 * Options of `exportGguf`.
 * - `type`: of the matrices, embedding and head among them; one whose rows are no whole blocks of 32 stays as it is for
 *   q8_0 and q4_0. Vectors are f32.
 * - `onProgress`, `signal`: called after every piece; aborts between pieces.
 */
export type ExportOptions = z.input<typeof ExportSchema>;

/** What `exportGguf` wrote. */
export interface ExportResult {
  /** Of the new file. */
  readonly bytes: number;
  /** Of the weights as they were. */
  readonly sourceBytes: number;
  /** Tensors by type. */
  readonly types: Readonly<Record<string, number>>;
  /** What a reader of the file should know. */
  readonly notes: readonly string[];
}

/** The numbers of general.file_type. */
const FILE_TYPES: Readonly<Record<GgufDType, number>> = {
  f32: 0,
  f16: 1,
  bf16: 32,
  q8_0: 7,
  q4_0: 2,
};

/**
 * Writes a model (a Hugging Face folder, a .gguf file or a folder with one) to a GGUF file, with configuration and
 * tokenizer. Throws an UnsupportedError by key for what the format cannot say.
 */
export async function exportGguf(
  from: string | FolderSource,
  to: string | ByteSink,
  options: ExportOptions,
): Promise<ExportResult> {
  const parsed = ExportSchema.safeParse(options);
  if (!parsed.success) throw new OptionError(`exportGguf: ${z.prettifyError(parsed.error)}`);
  const { type, onProgress, signal } = parsed.data;
  return withModel(from, async (files) => {
    checkWeights(files, files.architecture.weights(files.config));
    const metadata = await metadataOf(files, type);
    const parts = files.fields ? ownTensors(files) : mappedTensors(files);
    const totalBytes = parts.reduce((sum, { source }) => sum + sizeOf(files, source), 0);
    let loadedBytes = 0;
    const tensors = parts.map((part): GgufTensor => {
      const entry = files.checkpoint.tensors.get(part.source)!;
      const dtype = keptDType(entry, type) as GgufDType;
      return {
        name: part.name,
        dtype,
        shape: entry.shape,
        async *chunks(): AsyncGenerator<TypedArray> {
          const { rowOrder } = part;
          const rows = { dtype, rowOrder, signal };
          for await (const { data, fileBytes } of readRows(files.checkpoint, part.source, rows)) {
            yield data;
            loadedBytes += fileBytes;
            onProgress?.({ loadedBytes, totalBytes, tensor: part.source });
          }
        },
      };
    });
    tensors.push(...factorTensor(files));
    const bytes = await writeGguf(to, { metadata, tensors, signal });
    const types: Record<string, number> = {};
    for (const { dtype } of tensors) types[dtype] = (types[dtype] ?? 0) + 1;
    return { bytes, sourceBytes: totalBytes, types, notes: notesOn(files.config) };
  });
}

/** A tensor of the new file: its name, the one it comes from, and the order of its rows. */
interface Part {
  readonly name: string;
  readonly source: string;
  readonly rowOrder?: readonly number[] | undefined;
}

/** A GGUF keeps its names and rows. */
const ownTensors = ({ checkpoint }: ModelFiles): Part[] =>
  [...checkpoint.tensors.keys()].map((name) => ({ name, source: name }));

function mappedTensors({ architecture, config, place }: ModelFiles): Part[] {
  const family = ggufArchitecture(config);
  return specsOf(architecture.weights(config)).map(({ name }) => ({
    name: ggufName(name),
    source: place(name).name,
    rowOrder: ggufRowOrder(name, family, config),
  }));
}

function factorTensor({ config, fields }: ModelFiles): GgufTensor[] {
  const factors = fields ? null : ropeFactors(config);
  if (factors === null) return [];
  const shape = [factors.length];
  return [{ name: ROPE_FACTORS, dtype: 'f32', shape, chunks: () => [factors] }];
}

async function metadataOf(
  files: ModelFiles,
  type: GgufDType,
): Promise<readonly (readonly [string, GgufField])[]> {
  const { config, name, fields } = files;
  const about = [
    ['general.file_type', u32(FILE_TYPES[type])],
    ['general.quantization_version', u32(2)],
  ] as const;
  if (fields) {
    const replaced = ['general.alignment', ...about.map(([key]) => key)];
    return [...[...fields].filter(([key]) => !replaced.includes(key)), ...about];
  }
  const tokenizer = await files.tokenizerFiles();
  return [
    ['general.architecture', text(ggufArchitecture(config))],
    ['general.type', text('model')],
    ['general.name', text(name.split(/[\\/]/).findLast((part) => part !== '') ?? name)],
    ...about,
    ...configFields(config, `${name}/config.json`),
    ...named(name, () => tokenizerFields(tokenizer, config)),
  ];
}

/** llama.cpp has no windows in its llama (node-llama-cpp 3.22.1); tried with a window of 8. */
function notesOn(config: DecoderConfig): string[] {
  const [window] = config.windows;
  return ggufArchitecture(config) === 'llama' && window > 0
    ? [`sliding window of ${window}: llama.cpp does not read it in llama files and sees everything`]
    : [];
}

function sizeOf({ checkpoint }: ModelFiles, name: string): number {
  const { from, to } = checkpoint.tensors.get(name)!;
  return to - from;
}
