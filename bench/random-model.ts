// A decoder of a given shape with random weights, straight on a backend: real costs without a file.
import type { Backend } from '../src/kernels/backend.ts';
import { bytesPerElement, fromFloat32 } from '../src/kernels/dtype.ts';
import type { LayerTree, WeightSpec } from '../src/models/architecture.ts';
import { createDecoder, type Decoder, tensorsOf } from '../src/models/decoder.ts';
import { columnsOf } from '../src/models/layers.ts';
import { llama } from '../src/models/llama.ts';
import { sizeOf } from '../src/tensor/shape.ts';
import { Tensor } from '../src/tensor/tensor.ts';
import { filler } from './kernels.ts';
import type { BenchDType } from './measure.ts';

/** Keys of a Llama config.json. */
export type LlamaShape = Readonly<Record<string, number>>;

/** Two layers of TinyLlama-1.1B and a sixteenth of its vocabulary: f32 weights that no cache holds. */
export const TINY_LLAMA_SLICE: LlamaShape = {
  hidden_size: 2048,
  intermediate_size: 5632,
  num_hidden_layers: 2,
  num_attention_heads: 32,
  num_key_value_heads: 4,
  vocab_size: 2000,
  max_position_embeddings: 2048,
};

/** For smoke runs. */
export const SMALL: LlamaShape = {
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 64,
  max_position_embeddings: 128,
};

/** Bytes of the matrices that a forward of one row reads: all but the embedding. */
export function matrixBytes(shape: LlamaShape, dtype: BenchDType): number {
  const { layers, head } = llama.weights(llama.readConfig(configOf(shape), 'random'));
  const matrices = [head, ...layers.flatMap((layer) => Object.values(layer) as WeightSpec[])];
  return matrices
    .filter((spec) => columnsOf(spec) !== undefined)
    .reduce((sum, spec) => sum + sizeOf(spec.shape) * bytesPerElement[dtype], 0);
}

const configOf = (shape: LlamaShape) => ({ model_type: 'llama', ...shape });

/** Scaled like trained weights, so that no value overflows or becomes subnormal, which would change the time. */
export function randomWeights(shape: readonly number[], seed: number): Float32Array {
  const values = filler(sizeOf(shape), seed);
  const scale = shape.length < 2 ? 1 : 1 / Math.sqrt(shape[shape.length - 1]);
  for (let i = 0; i < values.length; i++) values[i] *= scale;
  return values;
}

/** Matrices in `dtype`, vectors in f32. */
export function randomModel(
  backend: Backend,
  shape: LlamaShape,
  dtype: BenchDType,
  contextLength: number,
): Decoder {
  const config = llama.readConfig(configOf(shape), 'random');
  const map = llama.weights(config);
  const made = new Map<WeightSpec, Tensor>();
  const leaf = (spec: WeightSpec): Tensor => {
    const known = made.get(spec);
    if (known !== undefined) return known;
    const kept = spec.shape.length < 2 ? 'f32' : dtype;
    const buffer = backend.alloc(kept, sizeOf(spec.shape), columnsOf(spec));
    backend.write(buffer, fromFloat32(randomWeights(spec.shape, 1), kept));
    const tensor = new Tensor(
      { kind: 'constant', dtype: kept, shape: spec.shape, buffer, offset: 0 },
      backend,
    );
    made.set(spec, tensor);
    return tensor;
  };
  const layer = (specs: LayerTree<WeightSpec>) =>
    Object.fromEntries(
      Object.entries(specs).map(([role, spec]) => [role, leaf(spec)]),
    ) as unknown as LayerTree<Tensor>;
  const weights = {
    embed: leaf(map.embed),
    layers: map.layers.map(layer),
    norm: leaf(map.norm),
    head: leaf(map.head),
  };
  return createDecoder({
    config,
    forward: (ops, context) => llama.forward(ops, { ...context, weights }),
    tensors: tensorsOf(weights),
    lent: weights,
    backend,
    contextLength,
    maxRows: 16,
  });
}
