// P-EAGLE (arXiv 2602.01469): an EAGLE-3 head that drafts its chain in one pass. The places after the first have a token and
// a state of their own, which stand for what is not known yet. Fields and tensor names are those of `peagle` in speculators.
import * as z from 'zod';
import { weight } from '../../models/layers.ts';
import type { DecoderAlgorithm } from '../speculators/algorithm.ts';
import { type Eagle3Fields, eagle3, eagle3Schema } from './eagle3.ts';
import { checkMaskToken } from './head-fields.ts';

const own = z.looseObject({ mask_token_id: z.int().nonnegative().nullish() });
const schema = z.intersection(eagle3Schema, own);

type Fields = Eagle3Fields & z.output<typeof own>;

const MASK = 'mask_hidden';

/** The algorithm `peagle`. */
export const peagle: DecoderAlgorithm<Fields> = {
  ...eagle3,
  name: 'peagle',
  schema,
  weights(config, has) {
    const wide = eagle3.taps(config).length * config.target.width;
    return [...eagle3.weights(config, has), weight(MASK, 1, 1, wide)];
  },
  mask: ({ fields, target }) => ({
    token: checkMaskToken('peagle', fields.mask_token_id, target),
    weight: MASK,
  }),
};
