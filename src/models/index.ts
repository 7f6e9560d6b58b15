// Models for those who work below `generate`: configs, weight maps, forwards, caches, tokenizers, loading.
export type {
  Architecture,
  Body,
  ForwardContext,
  LayerTree,
  RowInputs,
  WeightMap,
  WeightSpec,
  Weights,
  WeightTree,
} from './architecture.ts';
export { architectureOf, architectures } from './architectures.ts';
export type { ChatMessage, ChatOptions } from './chat.ts';
export type { DecoderConfig, Inflation, InflationFactors, RopeConfig } from './config.ts';
export { createDecoder, type Decoder, type DecoderParts } from './decoder.ts';
export { type ExportOptions, type ExportResult, exportGguf } from './gguf/export.ts';
export { type ConfiguredCheckpoint, type InflateOptions, inflate } from './inflate.ts';
export { createLadder, measureLadder } from './ladder.ts';
export { llama } from './llama.ts';
export {
  type LoadedModel,
  type LoadOptions,
  type LoadProgress,
  load,
  loadModel,
} from './load.ts';
export { mistral } from './mistral.ts';
export type {
  Cache,
  ForwardOptions,
  ForwardResult,
  Ladder,
  LadderPoint,
  Model,
  Segment,
  Sequence,
} from './model.ts';
export { qwen2 } from './qwen2.ts';
export { qwen3 } from './qwen3.ts';
export { ropeTables } from './rope.ts';
export { shorten } from './shorten.ts';
export {
  createTokenizer,
  type DecodeOptions,
  type EncodeOptions,
  loadTokenizer,
  type TextStream,
  type Tokenizer,
  type TokenizerFiles,
} from './tokenizer.ts';
export { compareVocabularies, matchTokens, type VocabularyComparison } from './vocabularies.ts';
