// onnxruntime-web on its WASM backend: one MatMulNBits node (com.microsoft, 4 bits, blocks of 32) with the weights of
// matrix.ts. The model is written here, as the few protobuf messages it takes (onnx/onnx.proto).
import { pathToFileURL } from 'node:url';
import { BLOCK, BLOCK_BYTES } from '../../src/kernels/blocks.ts';
import { f16Table } from '../../src/kernels/dtype.ts';
import { matrixBlocks, SIZE } from './matrix.ts';
import type { Adapter } from './peer.ts';

const VERSION = '1.30.0';
/** Lets it take activations in 8 bits, as we do; on WASM every level takes the same time. */
const ACCURACY_LEVEL = 4;

interface OrtTensor {
  readonly data: Float32Array;
}

interface Session {
  run(feeds: { readonly x: OrtTensor }): Promise<{ readonly y: OrtTensor }>;
  release(): Promise<void>;
}

interface Package {
  readonly env: {
    readonly wasm: { numThreads: number };
    readonly versions: { readonly web: string };
  };
  readonly InferenceSession: {
    create(model: Uint8Array, options: { executionProviders: string[] }): Promise<Session>;
  };
  readonly Tensor: new (type: 'float32', data: Float32Array, shape: number[]) => OrtTensor;
}

/** The adapter. */
export const onnx: Adapter = {
  packages: () => [`onnxruntime-web@${VERSION}`],
  async openMatrix({ threads, folder }) {
    const entry = `${folder}/node_modules/onnxruntime-web/dist/ort.node.min.mjs`;
    const ort = (await import(pathToFileURL(entry).href)) as Package;
    ort.env.wasm.numThreads = threads;
    const session = await ort.InferenceSession.create(matrixModel(matrixBlocks()), {
      executionProviders: ['wasm'],
    });
    return {
      version: ort.env.versions.web,
      build: `wasm, accuracy_level ${ACCURACY_LEVEL}, ${threads} thread${threads > 1 ? 's' : ''}`,
      async multiply(x) {
        const { y } = await session.run({ x: new ort.Tensor('float32', x, [1, SIZE]) });
        return y.data;
      },
      dispose: () => session.release(),
    };
  },
};

/** y = x W^T as a model with the weights in it. */
function matrixModel(blocks: Uint8Array): Uint8Array {
  const { quants, scales } = split(blocks);
  const attributes = {
    K: SIZE,
    N: SIZE,
    bits: 4,
    block_size: BLOCK,
    accuracy_level: ACCURACY_LEVEL,
  };
  const node = join(
    ...['x', 'quants', 'scales'].map((name) => field(1, text(name))),
    field(2, text('y')),
    field(4, text('MatMulNBits')),
    ...Object.entries(attributes).map(([name, value]) =>
      field(5, join(field(1, text(name)), number(3, value), number(20, 2))),
    ),
    field(7, text('com.microsoft')),
  );
  const graph = join(
    field(1, node),
    field(2, text('product')),
    field(5, initializer('quants', UINT8, [SIZE, SIZE / BLOCK, BLOCK / 2], quants)),
    field(5, initializer('scales', FLOAT, [scales.length], new Uint8Array(scales.buffer))),
    field(11, valueInfo('x', [1, SIZE])),
    field(12, valueInfo('y', [1, SIZE])),
  );
  const opset = (domain: string, version: number) =>
    field(8, join(field(1, text(domain)), number(2, version)));
  return join(number(1, 9), opset('', 20), opset('com.microsoft', 1), field(7, graph));
}

/**
 * Blocks of q4_0 for MatMulNBits: byte j of a block has weights 2j and 2j + 1 there, j and j + 16 here; the zero point 8,
 * its default, is the same.
 */
function split(blocks: Uint8Array) {
  const bytes = BLOCK_BYTES.q4_0;
  const half = BLOCK / 2;
  const count = blocks.length / bytes;
  const halves = f16Table();
  const quants = new Uint8Array(count * half);
  const scales = new Float32Array(count);
  for (let b = 0; b < count; b++) {
    const from = b * bytes;
    scales[b] = halves[blocks[from] | (blocks[from + 1] << 8)];
    const weight = (i: number) => {
      const byte = blocks[from + 2 + (i % half)];
      return i < half ? byte & 15 : byte >> 4;
    };
    for (let j = 0; j < half; j++) quants[b * half + j] = weight(2 * j) | (weight(2 * j + 1) << 4);
  }
  return { quants, scales };
}

/** TensorProto.DataType. */
const FLOAT = 1;
const UINT8 = 2;

function initializer(name: string, type: number, shape: readonly number[], data: Uint8Array) {
  const extents = shape.map((extent) => number(1, extent));
  return join(...extents, number(2, type), field(8, text(name)), field(9, data));
}

function valueInfo(name: string, shape: readonly number[]): Uint8Array {
  const extents = shape.map((extent) => field(1, number(1, extent)));
  const tensor = join(number(1, FLOAT), field(2, join(...extents)));
  return join(field(1, text(name)), field(2, field(1, tensor)));
}

/** A protobuf field of an integer (wire type 0). */
const number = (key: number, value: number) => join(varint(key * 8), varint(value));

/** A protobuf field of bytes, a text or a message (wire type 2). */
const field = (key: number, bytes: Uint8Array) =>
  join(varint(key * 8 + 2), varint(bytes.length), bytes);

const text = (value: string) => new TextEncoder().encode(value);

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return Uint8Array.from([...bytes, value]);
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
