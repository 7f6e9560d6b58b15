// How well a drafter knows a text: at every place of what the target writes, greedily and alone, how probable the drafter holds the
// target's next token, and how much of a draft from there comes true. Every drafter is asked at the same places of the same text,
// so two of them are compared place by place, which tells far smaller differences apart than counting what rounds accept.
import type { Drafter } from '../drafter.ts';
import { generate, type Target } from '../generate.ts';
import { logSoftmaxAt } from '../sample.ts';
import type { MeasureOptions } from './measure.ts';

/** What a drafter said, place by place. */
export interface Heard {
  /** ln of the probability of the target's token, at least `LEAST`. */
  readonly likelihoods: readonly number[];
  /** Tokens of a whole draft that came true. */
  readonly accepted: readonly number[];
}

/** A token that cannot be drafted, or as good as cannot, counts as this: a few of them must not decide. */
const LEAST = -12;

/** Has every prompt written on by the target and asks the drafter at every place; nothing of its drafts is used. */
export async function listen(
  target: Target,
  drafter: Drafter,
  { prompts, draftLength, ...settings }: MeasureOptions,
): Promise<Heard> {
  const likelihoods: number[] = [];
  const accepted: number[] = [];
  for (const prompt of prompts) {
    const drafts = new Map<number, readonly number[]>();
    let said: { readonly at: number; readonly logits: Float32Array } | null = null;
    let text: readonly number[] = [];
    const hear = (tokens: readonly number[]) => {
      text = [...tokens];
      if (said !== null && said.at < text.length)
        likelihoods.push(Math.max(LEAST, logSoftmaxAt(said.logits, text[said.at])));
      said = null;
    };
    const silent: Drafter = {
      ...drafter,
      async draft(request) {
        const at = request.tokens.length;
        hear(request.tokens);
        const draft = await drafter.draft({
          ...request,
          law(logits, history) {
            if (history.length === at) said = { at, logits: logits.slice() };
            return request.law(logits, history);
          },
        });
        drafts.set(
          at,
          draft.tokens.map(({ token }) => token),
        );
        return { tokens: [] };
      },
    };
    const { tokens } = await generate(target, prompt, {
      ...settings,
      draftLength,
      drafter: silent,
    });
    // The drafter is not asked where nothing may follow, so its last request lacks what came after.
    const first = Math.min(...drafts.keys());
    hear([...text.slice(0, first), ...tokens]);
    for (const [at, draft] of drafts) {
      if (draft.length < draftLength || at + draftLength > text.length) continue;
      const wrong = draft.findIndex((token, index) => token !== text[at + index]);
      accepted.push(wrong < 0 ? draftLength : wrong);
    }
  }
  return { likelihoods, accepted };
}

/** How much more one drafter knows than another, in nats a token, and in standard errors of that. */
export function advantage(
  { likelihoods: one }: Heard,
  { likelihoods: other }: Heard,
): { readonly nats: number; readonly errors: number } {
  const differences = one.map((value, place) => value - other[place]);
  const nats = meanOf(differences);
  const spread = Math.sqrt(meanOf(differences.map((value) => (value - nats) ** 2)));
  if (spread === 0) return { nats, errors: 0 };
  return { nats, errors: (nats / spread) * Math.sqrt(differences.length) };
}

/** The mean; 0 of nothing. */
export function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}
