// A prediction of the user's: what the text is expected to become, like the file that is to be edited a little. Where the
// text leaves the prediction, the drafter is silent until it finds the way back.
import * as z from 'zod';
import { OptionError } from '../../kernels/errors.ts';
import type { Drafter, DraftRequest } from '../drafter.ts';
import { pointDraw } from '../drawn.ts';

const PredictionSchema = z.strictObject({
  tokens: z.array(z.int().min(0)).readonly(),
  minLength: z.int().min(1).default(1),
});

/**
 * Options of `prediction`.
 * - `tokens`: the predicted tokens, without those that only open a text: `tokenizer.encode(text, { addSpecialTokens: false })`.
 * - `minLength`: tokens in which text and prediction must agree before it is trusted again, default 1.
 */
export type PredictionOptions = z.input<typeof PredictionSchema>;

/**
 * A drafter that copies from `tokens`. What was there when it was first asked is the prompt, and the prediction starts
 * behind it. Later, the place in the prediction is the one before which it agrees longest with the end of the new text; of
 * equals, the nearest ahead of the last place. A text that is not the last one continued starts anew.
 * Time per new token and memory are linear in the prediction. Throws an OptionError for wrong options.
 */
export function prediction(options: PredictionOptions): Drafter {
  const parsed = PredictionSchema.safeParse(options);
  if (!parsed.success) throw new OptionError(`prediction: ${z.prettifyError(parsed.error)}`);
  const { tokens: predicted, minLength } = parsed.data;
  let text: number[] = [];
  let place = createPlace(predicted, minLength);
  return {
    name: 'prediction',
    draft({ tokens, maxTokens, maxDepth }: DraftRequest) {
      if (text.length === 0 || !text.every((token, at) => token === tokens[at])) {
        place = createPlace(predicted, minLength);
        text = [...tokens];
      }
      while (text.length < tokens.length) {
        const token = tokens[text.length];
        place.push(token);
        text.push(token);
      }
      const start = place.at();
      if (start === undefined) return { tokens: [] };
      return {
        tokens: predicted.slice(start, start + Math.min(maxTokens, maxDepth)).map(pointDraw),
      };
    },
    dispose() {
      text = [];
    },
  };
}

/** Where in `predicted` a text is that starts where it does. */
function createPlace(predicted: readonly number[], minLength: number) {
  /** agreed[i] tokens before i are the last ones of the text. */
  const agreed = new Uint32Array(predicted.length + 1);
  let last = 0;
  let lost = false;
  return {
    push(token: number): void {
      const expected = last + 1;
      const distance = (at: number) =>
        at >= expected ? at - expected : predicted.length + expected - at;
      let longest = minLength - 1;
      let best: number | undefined;
      for (let at = predicted.length; at > 0; at--) {
        agreed[at] = predicted[at - 1] === token ? agreed[at - 1] + 1 : 0;
        const nearer = best !== undefined && distance(at) < distance(best);
        if (agreed[at] > longest || (agreed[at] === longest && nearer)) {
          longest = agreed[at];
          best = at;
        }
      }
      lost = best === undefined;
      last = best ?? last;
    },
    /** The place of the token that should come next, if the last one fitted. */
    at(): number | undefined {
      return lost ? undefined : last;
    },
  };
}
