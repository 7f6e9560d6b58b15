// Self-speculation: the target drafts with some of its own layers, and needs no second model. The first ones only, as in
// LayerSkip (Elhoushi et al., 2024), which trains models for it; or any, as in Draft & Verify (Zhang et al., 2023).
import * as z from 'zod';
import { OptionError } from '../../kernels/errors.ts';
import type { Decoder } from '../../models/decoder.ts';
import { shorten } from '../../models/shorten.ts';
import type { Drafter } from '../drafter.ts';
import { draftModel } from './model.ts';
import type { ShapeOptions } from './shapes.ts';

const LayerSkipSchema = z.strictObject({
  layers: z.union(
    [z.int().min(1), z.array(z.int().min(0)).min(1).readonly()],
    'expected a number of layers from 1, or a list of layers from 0',
  ),
});

/**
 * Options of `layerSkip`.
 * - `layers`: the layers that draft: a number for the first so many, or a list of them in their order. Fewer draft faster and are
 *   accepted less often; the first ones suit models trained for early exit, for others a list with some of the last does.
 */
export type LayerSkipOptions = z.input<typeof LayerSkipSchema> & ShapeOptions;

/**
 * A drafter that runs some layers of `model`, its norm and its head, on its weights and with a cache of its own. Dispose it
 * before the model. Throws an OptionError for layers that the model does not have.
 */
export function layerSkip(model: Decoder, options: LayerSkipOptions): Drafter {
  const { branching, best, dynamic, paths, minProbability, ...own } = options;
  const parsed = LayerSkipSchema.safeParse(own);
  if (!parsed.success) throw new OptionError(`layerSkip: ${z.prettifyError(parsed.error)}`);
  const { layers } = parsed.data;
  const all = model.config.layers;
  if (typeof layers === 'number' && layers > all)
    throw new OptionError(`layerSkip: layers: expected at most ${all}, got ${layers}`);
  const kept = typeof layers === 'number' ? Array.from({ length: layers }, (_, l) => l) : layers;
  const short = shorten(model, kept);
  let drafter: Drafter;
  try {
    drafter = draftModel(short, { branching, best, dynamic, paths, minProbability });
  } catch (error) {
    short.dispose();
    throw error;
  }
  return {
    ...drafter,
    name: drafter.name.replace('model', 'layer-skip'),
    dispose() {
      drafter.dispose?.();
      short.dispose();
    },
  };
}
