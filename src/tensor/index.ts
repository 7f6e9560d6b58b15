// Tensors for those who work below models: scopes, recording, the vocabulary, files of tensors, random numbers.
export { fromFloat32, toFloat32 } from '../kernels/dtype.ts';
export {
  type Checkpoint,
  createRooms,
  type Rooms,
  type RowOptions,
  type RowPiece,
  readRows,
  type TensorEntry,
} from './checkpoint.ts';
export {
  type ExplainOptions,
  explainPlan,
  formatPlan,
  groupRows,
  type PlanRow,
} from './explain.ts';
export { fileSource, type PageFile } from './file-source.ts';
export { type Gguf, openGguf } from './gguf.ts';
export type {
  GgufDType,
  GgufElements,
  GgufField,
  GgufScalar,
  GgufScalarType,
} from './gguf-types.ts';
export { type GgufContents, type GgufTensor, writeGguf } from './gguf-writer.ts';
export type { Ops } from './ops.ts';
export { type Part, partsBytes, readParts, type TensorParts } from './parts.ts';
export { philox4x32 } from './random.ts';
export { type Recorder, record } from './record.ts';
export { openCheckpoint, type TensorData, writeSafetensors } from './safetensors.ts';
export { type Eager, scope } from './scope.ts';
export type { Shape } from './shape.ts';
export {
  type ByteSink,
  createFile,
  type FolderSource,
  memorySource,
  openFolder,
  type ReadOptions,
  writeFolder,
} from './source.ts';
export { Tensor } from './tensor.ts';
export { type UrlSourceOptions, urlSource } from './url-source.ts';
