// The numbers that GGUF gives to its types, of metadata and of tensors (docs/gguf.md in ggml-org/ggml).
import type { DType } from '../kernels/plan.ts';
import {
  unpackQ4_1,
  unpackQ4_K,
  unpackQ5_0,
  unpackQ5_1,
  unpackQ5_K,
  unpackQ6_K,
} from './gguf-blocks.ts';

/** The types of metadata, by their number. */
export const VALUE_TYPES = [
  'u8',
  'i8',
  'u16',
  'i16',
  'u32',
  'i32',
  'f32',
  'bool',
  'string',
  'array',
  'u64',
  'i64',
  'f64',
] as const;

/** A type of metadata that is no array. */
export type GgufScalarType = Exclude<(typeof VALUE_TYPES)[number], 'array'>;

/** A value of metadata that is no array; 64-bit integers that a number cannot hold are bigints. */
export type GgufScalar = number | bigint | boolean | string;

/** The elements of an array: typed where they are numbers of at most 32 bits or f64, bool as 0 and 1. */
export type GgufElements =
  | readonly string[]
  | readonly (number | bigint)[]
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array;

/** One entry of the metadata with its type. */
export type GgufField =
  | { readonly type: GgufScalarType; readonly value: GgufScalar }
  | { readonly type: 'array'; readonly of: GgufScalarType; readonly value: GgufElements };

/** Bytes of a value; of a string, at least. */
export const VALUE_BYTES: Readonly<Record<GgufScalarType, number>> = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  bool: 1,
  string: 8,
  u64: 8,
  i64: 8,
  f64: 8,
};

/** A type of tensors that is read: its blocks, and its dtype here or the way to f32. */
export interface TensorType {
  readonly name: string;
  /** Elements and bytes of one block. */
  readonly size: number;
  readonly bytes: number;
  readonly dtype: DType | null;
  readonly unpack?: (bytes: Uint8Array, out: Float32Array) => void;
}

/** The types of tensors that are read, by their number. */
export const TENSOR_TYPES: ReadonlyMap<number, TensorType> = new Map<number, TensorType>([
  [0, { name: 'F32', size: 1, bytes: 4, dtype: 'f32' }],
  [1, { name: 'F16', size: 1, bytes: 2, dtype: 'f16' }],
  [2, { name: 'Q4_0', size: 32, bytes: 18, dtype: 'q4_0' }],
  [3, { name: 'Q4_1', size: 32, bytes: 20, dtype: null, unpack: unpackQ4_1 }],
  [6, { name: 'Q5_0', size: 32, bytes: 22, dtype: null, unpack: unpackQ5_0 }],
  [7, { name: 'Q5_1', size: 32, bytes: 24, dtype: null, unpack: unpackQ5_1 }],
  [8, { name: 'Q8_0', size: 32, bytes: 34, dtype: 'q8_0' }],
  [12, { name: 'Q4_K', size: 256, bytes: 144, dtype: null, unpack: unpackQ4_K }],
  [13, { name: 'Q5_K', size: 256, bytes: 176, dtype: null, unpack: unpackQ5_K }],
  [14, { name: 'Q6_K', size: 256, bytes: 210, dtype: null, unpack: unpackQ6_K }],
  [30, { name: 'BF16', size: 1, bytes: 2, dtype: 'bf16' }],
]);

/** The names of the types that are not read, by their number. */
export const OTHER_TYPES: ReadonlyMap<number, string> = new Map([
  [9, 'Q8_1'],
  [10, 'Q2_K'],
  [11, 'Q3_K'],
  [15, 'Q8_K'],
  [16, 'IQ2_XXS'],
  [17, 'IQ2_XS'],
  [18, 'IQ3_XXS'],
  [19, 'IQ1_S'],
  [20, 'IQ4_NL'],
  [21, 'IQ3_S'],
  [22, 'IQ2_S'],
  [23, 'IQ4_XS'],
  [24, 'I8'],
  [25, 'I16'],
  [26, 'I32'],
  [27, 'I64'],
  [28, 'F64'],
  [29, 'IQ1_M'],
  [34, 'TQ1_0'],
  [35, 'TQ2_0'],
  [39, 'MXFP4'],
  [40, 'NVFP4'],
]);

/** The dtypes a GGUF file can hold as they are. */
export type GgufDType = 'f32' | 'f16' | 'bf16' | 'q8_0' | 'q4_0';

/** The number of the tensor type of a dtype. */
export const TYPE_NUMBERS: Readonly<Record<GgufDType, number>> = {
  f32: 0,
  f16: 1,
  bf16: 30,
  q8_0: 8,
  q4_0: 2,
};
