// The public API. Everything most programs need; the layers below have entries of their own (`foretoken/kernels`,
// `/kernels/gpu`, `/tensor`, `/models`, `/speculate`), pages `foretoken/browser`.

export type { Backend, BackendReport } from './kernels/backend.ts';
export { cpu } from './kernels/cpu/index.ts';
export { FormatError, OptionError, ShapeError, UnsupportedError } from './kernels/errors.ts';
export { reference } from './kernels/reference/index.ts';
export { type WasmOptions, wasm } from './kernels/wasm/index.ts';
export { type ExportOptions, type ExportResult, exportGguf } from './models/gguf/export.ts';
export {
  type LoadedModel,
  type LoadOptions,
  type LoadProgress,
  load,
  loadModel,
} from './models/load.ts';
export type { Ladder, LadderPoint, Model } from './models/model.ts';
export type { ChatMessage, Tokenizer } from './models/tokenizer.ts';
export {
  type Batch,
  type BatchGenerateOptions,
  type BatchOptions,
  createBatch,
  generateBatch,
} from './speculate/batch.ts';
export type { Draft, DraftCost, Drafter, DraftRequest, Drawn } from './speculate/drafter.ts';
export { layerSkip } from './speculate/drafters/layer-skip.ts';
export { type DraftModelOptions, draftModel } from './speculate/drafters/model.ts';
export { ngram } from './speculate/drafters/ngram.ts';
export { none } from './speculate/drafters/none.ts';
export { prediction } from './speculate/drafters/prediction.ts';
export { type SharedVocabulary, sharedVocabulary } from './speculate/drafters/shared-vocabulary.ts';
export { suffix } from './speculate/drafters/suffix.ts';
export { pointDraw } from './speculate/drawn.ts';
export type { DraftingStats, GenerateStats } from './speculate/figures.ts';
export {
  type FinishReason,
  type GenerateResult,
  type Generation,
  generate,
  type Prompt,
  type Target,
  type Token,
} from './speculate/generate.ts';
export type { Law } from './speculate/law.ts';
export type { GenerateOptions } from './speculate/options.ts';
export { Session } from './speculate/session.ts';
export {
  Speculator,
  type SpeculatorOptions,
} from './speculate/speculators/load.ts';
export type { Guarantee, Verifier } from './speculate/verifier.ts';
export { greedy } from './speculate/verifiers/greedy.ts';
export { match } from './speculate/verifiers/match.ts';
export { rejection } from './speculate/verifiers/rejection.ts';
export { block, traversal } from './speculate/verifiers/traversal.ts';
export type { ChanceChoice, Round } from './speculate/witness.ts';
export { fileSource, type PageFile } from './tensor/file-source.ts';
export { type FolderSource, memorySource, openFolder } from './tensor/source.ts';
export { type UrlSourceOptions, urlSource } from './tensor/url-source.ts';
export { version } from './version.ts';
