// What loading needs of the files of a model, whatever their format: config, where each weight lies, tokenizer. Types only.
import type { Checkpoint } from '../tensor/checkpoint.ts';
import type { GgufField } from '../tensor/gguf-types.ts';
import type { Architecture } from './architecture.ts';
import type { DecoderConfig } from './config.ts';
import type { TokenizerFiles } from './tokenizer.ts';

/** Where a weight lies in a checkpoint. */
export interface Place {
  readonly name: string;
  /** The order of its rows in each group of so many, where the file has another (`RowOptions`). */
  readonly rowOrder?: readonly number[] | undefined;
}

/** A model on disk, opened: headers and configuration, no weights. */
export interface ModelFiles {
  /** The folder or file, for messages. */
  readonly name: string;
  readonly architecture: Architecture;
  readonly config: DecoderConfig;
  readonly checkpoint: Checkpoint;
  /** Where a weight lies, by its name in the architecture's weight map. */
  place(weight: string): Place;
  /** Why a tensor that is no weight does no harm, or null. */
  surplus(name: string): string | null;
  /** The tokenizer, as the files of a Hugging Face folder say it. */
  tokenizerFiles(): Promise<TokenizerFiles>;
  /** The metadata, where the file is a GGUF. */
  readonly fields?: ReadonlyMap<string, GgufField>;
}
