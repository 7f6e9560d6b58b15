// A model of some of the layers of another: its embedding, these layers in their order, its norm and head, on its weights.
// What it says between the layers that are left out is not what they were trained for, but often enough the same token.
import { OptionError, UnsupportedError } from '../kernels/errors.ts';
import { createDecoder, type Decoder } from './decoder.ts';

/**
 * A model of `layers` (ascending, from 0) of a loaded one, with caches of its own. It uses the weights of `model` where they
 * are: disposing it leaves them, and it may not outlive them. Throws an OptionError for layers that `model` does not have, an
 * UnsupportedError for the decoder of a draft head.
 */
export function shorten(model: Decoder, layers: readonly number[]): Decoder {
  const { body, lent, backend, contextLength, maxRows } = model;
  if (body === undefined)
    throw new UnsupportedError('shorten: expected a loaded model, got the decoder of a draft head');
  if (model.disposed) throw new Error('shorten: expected a model, got a disposed one');
  checkLayers(layers, model.config.layers);
  // Its inflation says the size of the whole.
  const { inflation: _, ...whole } = model.config;
  const { architecture } = body;
  const weights = { ...body.weights, layers: layers.map((l) => body.weights.layers[l]) };
  return createDecoder({
    config: { ...whole, layers: layers.length, windows: layers.map((l) => whole.windows[l]) },
    forward: (ops, context) => architecture.forward(ops, { ...context, weights }),
    tensors: new Set(),
    lent,
    body: { architecture, weights },
    lender: model,
    backend,
    contextLength,
    maxRows,
    notes: [`layers ${layers.join(', ')} of ${whole.layers}, on the weights of the whole model`],
  });
}

function checkLayers(layers: readonly number[], count: number): void {
  const ascending = layers.every((l, at) => at === 0 || l > layers[at - 1]);
  const known = layers.every((l) => Number.isInteger(l) && l >= 0 && l < count);
  if (layers.length === 0 || !ascending || !known)
    throw new OptionError(
      `shorten: layers: expected some of 0 to ${count - 1}, ascending, got [${layers.join(', ')}]`,
    );
}
