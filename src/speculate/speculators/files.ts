// The files of a folder in the format, in pieces for those who write them, or in memory.
import { UnsupportedError } from '../../kernels/errors.ts';
import type { Checkpoint } from '../../tensor/checkpoint.ts';
import { safetensorsInPieces, type TensorParts } from '../../tensor/parts.ts';
import { writeFolder } from '../../tensor/source.ts';
import type { Json } from './config.ts';

/** By name, as `writeFolder` and `memorySource` take them. */
export type HeadFiles = Readonly<Record<'config.json' | 'model.safetensors', string | Uint8Array>>;

/** What a folder is made of. */
export interface HeadContent {
  readonly config: Json;
  readonly tensors: readonly TensorParts[];
  /** That of the files which the tensors were read from. */
  readonly metadata?: Checkpoint['metadata'];
}

/** The files as `writeFolder` takes them: the weights are read as they are written. */
const piecesOfHead = (
  content: HeadContent,
): Readonly<Record<keyof HeadFiles, string | AsyncIterable<Uint8Array>>> => ({
  'config.json': configText(content),
  'model.safetensors': weightsOf(content).pieces(),
});

/** What one array holds in every runtime. */
const MOST_BYTES = 2 ** 32 - 2 ** 24;

/** The files in memory; throws an UnsupportedError for more than one array holds. */
export async function headFiles(content: HeadContent): Promise<HeadFiles> {
  const { sizeBytes, pieces } = weightsOf(content);
  if (sizeBytes > MOST_BYTES)
    throw new UnsupportedError(
      `files: model.safetensors: expected at most ${MOST_BYTES} bytes in memory, got ${sizeBytes}; savePretrained writes any number`,
    );
  const weights = new Uint8Array(sizeBytes);
  let at = 0;
  for await (const piece of pieces()) {
    weights.set(piece, at);
    at += piece.length;
  }
  return { 'config.json': configText(content), 'model.safetensors': weights };
}

/** A folder to be: its files in memory or written into a folder, `texts` among them; see `Speculator`. */
export const savable = (
  content: () => HeadContent | Promise<HeadContent>,
  texts: Readonly<Record<string, string>> = {},
) => ({
  files: async () => ({ ...texts, ...(await headFiles(await content())) }),
  savePretrained: async (folder: string): Promise<void> =>
    writeFolder(folder, { ...texts, ...piecesOfHead(await content()) }),
});

const configText = ({ config }: HeadContent) => `${JSON.stringify(config, null, 2)}\n`;

/** Old versions of transformers ask for the format, which is said where it is not. */
const weightsOf = ({ tensors, metadata = {} }: HeadContent) =>
  safetensorsInPieces(tensors, {
    format: 'pt',
    ...(metadata as Readonly<Record<string, string>>),
  });
