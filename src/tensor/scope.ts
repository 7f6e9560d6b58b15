// Eager tensors: every op runs at once, as a plan of one step. A scope owns what its body allocates and frees it at the
// end, except what the body returns.
import type { Backend, Program } from '../kernels/backend.ts';
import { isBlocked } from '../kernels/blocks.ts';
import { entriesOf } from '../kernels/dtype.ts';
import { ShapeError } from '../kernels/errors.ts';
import type { Buffer, DType, TypedArray } from '../kernels/plan.ts';
import { createOps, type Ops } from './ops.ts';
import { type Shape, show, sizeOf } from './shape.ts';
import { Tensor } from './tensor.ts';

/** The vocabulary, run at once, and ways to make tensors. */
export interface Eager extends Ops {
  /** Copies host data; plain numbers are f32 unless a dtype is given. */
  tensor(data: TypedArray | readonly number[], shape: Shape, dtype?: DType): Tensor;
  zeros(shape: Shape, dtype?: DType): Tensor;
  /** Zeros that `scatter` may write in place. */
  state(shape: Shape, dtype?: DType): Tensor;
}

/** What a body may return: a tensor, or an array or object of tensors; anything else holds none. */
type Owned = { free(): void; readonly buffers: readonly Buffer[] };

const NO_ROWS = { T: 0, K: 0 };

/** Runs `body` with eager ops on a backend and frees what it allocated, except the tensors it returns. */
export async function scope<Result>(
  backend: Backend,
  body: (ops: Eager) => Result | Promise<Result>,
): Promise<Result> {
  const owned: Owned[] = [];
  const ops = createOps((op, inputs, params, result) => {
    const output = op === 'scatter' ? inputs[0].value : { kind: 'scratch' as const, ...result };
    const step = { op, inputs: inputs.map((tensor) => tensor.value), output, params };
    const program: Program = backend.prepare({ steps: [step], outputs: [output] });
    backend.run(program, { extents: NO_ROWS, inputs: {} });
    owned.push({ free: () => program.dispose(), buffers: program.outputs });
    const [buffer] = program.outputs;
    return new Tensor(
      { kind: 'constant', dtype: result.dtype, shape: result.shape, buffer, offset: 0 },
      backend,
    );
  });
  const allocate = (kind: 'constant' | 'state', shape: Shape, dtype: DType): Tensor => {
    const isMatrix = isBlocked(dtype) && shape.length === 2;
    const buffer = backend.alloc(dtype, sizeOf(shape), isMatrix ? shape[1] : undefined);
    owned.push({ free: () => backend.free(buffer), buffers: [buffer] });
    return new Tensor({ kind, dtype, shape, buffer, offset: 0 }, backend);
  };
  const eager: Eager = {
    ...ops,
    tensor(data, shape, dtype = dtypeOf(data)) {
      const entries = entriesOf(dtype, sizeOf(shape));
      if (data.length !== entries)
        throw new ShapeError(
          `tensor: expected ${entries} ${isBlocked(dtype) ? 'bytes' : 'elements'} for ${show(shape)}, got ${data.length}`,
        );
      const tensor = allocate('constant', shape, dtype);
      if ('buffer' in tensor.value) backend.write(tensor.value.buffer, hostArray(data, dtype));
      return tensor;
    },
    zeros: (shape, dtype = 'f32') => allocate('constant', shape, dtype),
    state: (shape, dtype = 'f32') => allocate('state', shape, dtype),
  };
  const returned = new Set<Buffer>();
  try {
    const result = await body(eager);
    for (const tensor of tensorsIn(result))
      if ('buffer' in tensor.value) returned.add(tensor.value.buffer);
    return result;
  } finally {
    for (const { free, buffers } of owned)
      if (!buffers.some((buffer) => returned.has(buffer))) free();
  }
}

function tensorsIn(result: unknown): Tensor[] {
  if (result instanceof Tensor) return [result];
  if (Array.isArray(result)) return result.flatMap(tensorsIn);
  if (
    result !== null &&
    typeof result === 'object' &&
    Object.getPrototypeOf(result) === Object.prototype
  )
    return Object.values(result).flatMap(tensorsIn);
  return [];
}

function dtypeOf(data: TypedArray | readonly number[]): DType {
  if (data instanceof Int32Array) return 'i32';
  if (data instanceof Int8Array) return 'i8';
  if (data instanceof Uint8Array) return 'u8';
  if (data instanceof Uint16Array)
    throw new ShapeError('tensor: expected a dtype for a Uint16Array (f16 or bf16 bits), got none');
  return 'f32';
}

function hostArray(data: TypedArray | readonly number[], dtype: DType): TypedArray {
  if (!Array.isArray(data)) return data as TypedArray;
  if (dtype === 'f32') return Float32Array.from(data);
  if (dtype === 'i32') return Int32Array.from(data);
  if (dtype === 'i8') return Int8Array.from(data);
  if (dtype === 'u8' || dtype === 'bool') return Uint8Array.from(data);
  throw new ShapeError(
    `tensor: expected bit patterns in a Uint16Array for ${dtype}, got plain numbers; cast from f32`,
  );
}
