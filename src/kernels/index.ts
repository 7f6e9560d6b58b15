// Backends and plans for those who work below tensors.
export type { Backend, BackendReport, Program } from './backend.ts';
export { cpu } from './cpu/index.ts';
export { FormatError, OptionError, ShapeError, UnsupportedError } from './errors.ts';
export type {
  BinaryFn,
  Buffer,
  Call,
  CompareFn,
  DType,
  Extent,
  OpName,
  OpParams,
  Plan,
  ReduceFn,
  Step,
  TypedArray,
  UnaryFn,
  Value,
} from './plan.ts';
export { reference } from './reference/index.ts';
export { type WasmOptions, wasm } from './wasm/index.ts';
