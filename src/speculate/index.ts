// Speculation for those who work below the package's front page: the loop, sessions, drafters, verifiers, proofs.
export {
  type Batch,
  type BatchGenerateOptions,
  type BatchOptions,
  createBatch,
  generateBatch,
} from './batch.ts';
export {
  type Choice,
  type Controller,
  createController,
  type Knowledge,
  type Outcome,
} from './controller.ts';
export type { Patient } from './doctor/candidates.ts';
export { type DiagnoseOptions, type Diagnosis, diagnose } from './doctor/diagnose.ts';
export type { Finding, Gravity } from './doctor/finding.ts';
export type { Acceptance, Outlook } from './doctor/measure.ts';
export type { Fit } from './doctor/verdicts.ts';
export type { Draft, DraftCost, Drafter, DraftRequest, Drawn } from './drafter.ts';
export type { BestOptions } from './drafters/best.ts';
export type { PathTree } from './drafters/branching.ts';
export type { DynamicTree } from './drafters/explore.ts';
export { type DraftHeadOptions, draftHead } from './drafters/head.ts';

export type { Latent, LayerConfig, Mixture } from './drafters/layer-config.ts';
export { type LayerSkipOptions, layerSkip } from './drafters/layer-skip.ts';
export { type DraftModelOptions, draftModel } from './drafters/model.ts';
export { type NgramOptions, ngram } from './drafters/ngram.ts';
export { none } from './drafters/none.ts';
export type { Begun, Level, Node, Pair, Pass, Passes } from './drafters/passes.ts';
export { type PredictionOptions, prediction } from './drafters/prediction.ts';
export type { ShapeOptions } from './drafters/shapes.ts';
export {
  type SharedVocabulary,
  sharedVocabulary,
  type Worded,
} from './drafters/shared-vocabulary.ts';
export { type SuffixOptions, suffix } from './drafters/suffix.ts';
export type { Translation } from './drafters/translation.ts';
export { lawDraw, pointDraw, rankedDraws } from './drawn.ts';
export type { DraftingStats, GenerateStats } from './figures.ts';
export {
  type FinishReason,
  type GenerateResult,
  type Generation,
  generate,
  type Prompt,
  type Target,
  type Token,
} from './generate.ts';
export type { Law, PointLaw, ProbsLaw } from './law.ts';
export {
  createNoise,
  type Noise,
  noiseOf,
  PURPOSES,
  type Purpose,
  type SeededNoise,
  type TextNoise,
  type Uniform,
} from './noise.ts';
export type { GenerateOptions } from './options.ts';
export {
  createProcessor,
  type Processor,
  type ProcessorOptions,
  SamplingOptions,
  type SamplingSettings,
} from './processors.ts';
export { emit, type Proof, type ProveOptions, prove, type SequenceLaw } from './prove.ts';
export {
  argmax,
  logSoftmaxAt,
  massOf,
  mostProbable,
  pick,
  point,
  race,
} from './sample.ts';
export { type Fed, Session } from './session.ts';
export type {
  AlgorithmBase,
  BlockShape,
  Constants,
  DecoderAlgorithm,
  DepthAlgorithm,
  DepthContext,
  DepthShape,
  DraftConfig,
  HeadAlgorithm,
  HeadConfig,
  HeadContext,
  HeadParts,
  HeadWeights,
  StepInputs,
  StepShape,
} from './speculators/algorithm.ts';
export { readSpeculatorConfig, type SpeculatorConfig } from './speculators/config.ts';
export {
  type Conversion,
  type ConvertOptions,
  convertSpeculator,
  type ExportOptions,
  exportResearch,
} from './speculators/convert.ts';
export type { DecoderHead, DepthHead, Head } from './speculators/head.ts';
export { jsonSchemaOf } from './speculators/json-schema.ts';
export {
  ALGORITHMS,
  Speculator,
  type SpeculatorFiles,
  type SpeculatorOptions,
} from './speculators/load.ts';
export type { ProposalMethod } from './speculators/methods.ts';
export {
  type MigratedSpeculator,
  type MigrateOptions,
  type Migration,
  migrate,
  migrateSpeculator,
} from './speculators/migrate.ts';
export type { Proposal, ProposalName, ProposalOptions } from './speculators/proposal.ts';
export { type Stitch, stitchMtp } from './speculators/stitch.ts';
export { findUntrained, type NamedValues } from './speculators/untrained.ts';
export { exportVllm, type VllmExport, type VllmOptions } from './speculators/vllm.ts';
export type { Guarantee, Verdict, Verifier, VerifyInput } from './verifier.ts';
export { greedy } from './verifiers/greedy.ts';
export { lenient } from './verifiers/lenient.ts';
export { match } from './verifiers/match.ts';
export { VERIFIER_NAMES, VERIFIERS, type VerifierName } from './verifiers/named.ts';
export { rejection, rejectionWithReplacement } from './verifiers/rejection.ts';
export { tolerant } from './verifiers/tolerant.ts';
export { block, traversal } from './verifiers/traversal.ts';
export { type TypicalOptions, typical } from './verifiers/typical.ts';
export { acceptEqual, type Judge, type Judgement, walk } from './verifiers/walk.ts';
export type { ChanceChoice, Round } from './witness.ts';
