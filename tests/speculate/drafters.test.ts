// Drafters that need no model: none, and prompt lookup against its definition.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Drafter, Drawn } from '../../src/speculate/drafter.ts';
import { type NgramOptions, ngram } from '../../src/speculate/drafters/ngram.ts';
import { none } from '../../src/speculate/drafters/none.ts';
import { type PredictionOptions, prediction } from '../../src/speculate/drafters/prediction.ts';
import { lawDraw, pointDraw } from '../../src/speculate/drawn.ts';
import { point } from '../../src/speculate/sample.ts';
import { drafted, request } from './fixtures.ts';
import { vectors } from './laws.ts';

/** Prompt lookup by trying every place, longest n-gram first, latest place first. */
function lookup(
  tokens: readonly number[],
  { maxLength = 3, minLength = 1 }: NgramOptions,
): number[] {
  for (let length = maxLength; length >= minLength; length--)
    for (let end = tokens.length - 1; end >= length; end--)
      if (tokens.slice(end - length, end).join() === tokens.slice(-length).join())
        return tokens.slice(end);
  return [];
}

describe('none', () => {
  it('proposes nothing', async () => {
    expect(await none().draft(request([1, 1, 1]))).toEqual({ tokens: [] });
  });
});

describe('ngram', () => {
  it('drafts what followed the latest occurrence in vector X', async () => {
    const { ids, max_ngram, min_ngram, num_pred, latest } = vectors.X;
    const drafter = ngram({ maxLength: max_ngram, minLength: min_ngram });
    expect(await drafted(drafter, request(ids, num_pred))).toEqual(latest.draft);
    // Others take the earliest.
    const { earliest } = vectors.X;
    const at = earliest.match_at + earliest.ngram.length;
    expect(ids.slice(at, at + num_pred)).toEqual(earliest.draft);
    expect(latest.draft).not.toEqual(earliest.draft);
  });

  it('leaves it to the text to end at a token that ends it', async () => {
    const { ids, eos, untrimmed, trimmed_at_eos } = vectors.X.eos_rule;
    const found = await drafted(ngram(), request(ids, untrimmed.length));
    expect(found).toEqual(untrimmed);
    expect(found.slice(0, found.indexOf(eos))).toEqual(trimmed_at_eos);
  });

  it('states every token as a point', async () => {
    const { tokens } = await ngram().draft(request([1, 2, 1]));
    expect(tokens).toEqual([pointDraw(2), pointDraw(1)]);
  });

  it('prefers a longer n-gram to a later one', async () => {
    expect(await drafted(ngram(), request([1, 2, 3, 9, 2, 4, 1, 2], 1))).toEqual([3]);
  });

  it('drafts nothing without an earlier occurrence, or for a text of one token', async () => {
    expect(await drafted(ngram(), request([1, 2, 3]))).toEqual([]);
    expect(await drafted(ngram(), request([1]))).toEqual([]);
    expect(await drafted(ngram({ minLength: 2 }), request([1, 2, 3, 2]))).toEqual([]);
  });

  it('stays within tokens, depth and the end of the text', async () => {
    const text = [1, 2, 3, 4, 5, 1];
    expect(await drafted(ngram(), request(text, 2, 9))).toEqual([2, 3]);
    expect(await drafted(ngram(), request(text, 9, 3))).toEqual([2, 3, 4]);
    expect(await drafted(ngram(), request(text, 9))).toEqual([2, 3, 4, 5, 1]);
  });

  it('finds what a search of the whole text finds, while the text grows, shrinks and changes', async () => {
    const token = fc.nat(3);
    const edit = fc.record({ keep: fc.nat(30), add: fc.array(token, { maxLength: 12 }) });
    const options = fc.constantFrom<NgramOptions>(
      {},
      { maxLength: 1 },
      { maxLength: 5, minLength: 2 },
    );
    await fc.assert(
      fc.asyncProperty(options, fc.array(edit, { maxLength: 12 }), async (chosen, edits) => {
        const drafter = ngram(chosen);
        let text: readonly number[] = [0];
        for (const { keep, add } of edits) {
          text = [0, ...text.slice(1, 1 + keep), ...add];
          const wanted = lookup(text, chosen).slice(0, 4);
          expect(await drafted(drafter, request(text))).toEqual(wanted);
          expect(await drafted(ngram(chosen), request(text))).toEqual(wanted);
        }
      }),
      { seed: 1 },
    );
  });

  it('starts anew after dispose', async () => {
    const drafter = ngram();
    await drafter.draft(request([1, 2, 1]));
    drafter.dispose?.();
    expect(await drafted(drafter, request([3, 4, 3]))).toEqual([4, 3]);
  });

  it('names wrong options', () => {
    expect(() => ngram({ maxLength: 0 })).toThrow(/ngram: [\s\S]*maxLength/);
    expect(() => ngram({ maxLength: 2, minLength: 3 })).toThrow(/ngram: [\s\S]*minLength/);
    const unknown: object = { length: 3 };
    expect(() => ngram(unknown)).toThrow(/ngram: [\s\S]*length/);
  });
});

/** The same by definition: the place with the longest agreement, over all places, token by token. */
function predictedAfter(
  written: readonly number[],
  { tokens, minLength = 1 }: PredictionOptions,
): readonly number[] {
  let place = 0;
  let known = true;
  for (let end = 1; end <= written.length; end++) {
    const agreement = (at: number) => {
      let length = 0;
      while (length < Math.min(at, end) && tokens[at - 1 - length] === written[end - 1 - length])
        length++;
      return length;
    };
    const places = [...tokens.keys()].map((at) => at + 1);
    const longest = Math.max(0, ...places.map(agreement));
    known = longest >= minLength;
    if (!known) continue;
    const best = places.filter((at) => agreement(at) === longest);
    place = best.find((at) => at > place) ?? Math.max(...best);
  }
  return known ? tokens.slice(place) : [];
}

describe('prediction', () => {
  const PROMPT = [7, 7];
  const tokens = [1, 2, 3, 4, 5, 6];

  async function asked(drafter: Drafter, written: readonly number[], maxTokens = 9) {
    return drafted(drafter, request([...PROMPT, ...written], maxTokens));
  }

  async function afterPrompt(options: PredictionOptions, written: readonly number[]) {
    const drafter = prediction(options);
    await asked(drafter, []);
    return asked(drafter, written);
  }

  it('starts behind the prompt, whatever that is', async () => {
    expect(await asked(prediction({ tokens }), [])).toEqual(tokens);
    expect(await asked(prediction({ tokens }), [1, 2, 3])).toEqual(tokens);
  });

  it('goes on where the text agrees, within the tokens asked for, and ends with the prediction', async () => {
    expect(await afterPrompt({ tokens }, [1, 2])).toEqual([3, 4, 5, 6]);
    expect(await afterPrompt({ tokens }, tokens)).toEqual([]);
    const drafter = prediction({ tokens });
    expect(await asked(drafter, [], 2)).toEqual([1, 2]);
    expect(await asked(drafter, [1], 2)).toEqual([2, 3]);
  });

  it('is silent where the text left it, and finds back after replaced, inserted and left out tokens', async () => {
    expect(await afterPrompt({ tokens }, [1, 9])).toEqual([]);
    expect(await afterPrompt({ tokens }, [1, 9, 3])).toEqual([4, 5, 6]);
    expect(await afterPrompt({ tokens }, [1, 9, 9, 9, 2])).toEqual([3, 4, 5, 6]);
    expect(await afterPrompt({ tokens }, [1, 4])).toEqual([5, 6]);
    expect(await afterPrompt({ tokens, minLength: 2 }, [1, 4])).toEqual([]);
    expect(await afterPrompt({ tokens, minLength: 2 }, [1, 4, 5])).toEqual([6]);
  });

  it('takes the nearest ahead of equal places, and a longer agreement before a near one', async () => {
    const lines = [1, 0, 2, 0, 3, 0, 4];
    expect(await afterPrompt({ tokens: lines }, [1, 9, 0])).toEqual([2, 0, 3, 0, 4]);
    expect(await afterPrompt({ tokens: lines }, [1, 0, 9, 0])).toEqual([3, 0, 4]);
    expect(await afterPrompt({ tokens: lines }, [1, 9, 3, 0])).toEqual([4]);
  });

  it('finds what a search of all places finds, in drafts of any pace, and starts anew with another text', async () => {
    const token = fc.nat(3);
    const texts = fc.array(fc.array(fc.array(token, { maxLength: 4 }), { maxLength: 6 }), {
      maxLength: 3,
    });
    const options = fc.record({
      tokens: fc.array(token, { maxLength: 12 }),
      minLength: fc.integer({ min: 1, max: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(options, texts, async (chosen, runs) => {
        const drafter = prediction(chosen);
        for (const [run, pieces] of runs.entries()) {
          const prompt = [10 + run];
          let written: number[] = [];
          await drafted(drafter, request(prompt));
          for (const piece of pieces) {
            written = [...written, ...piece];
            const wanted = predictedAfter(written, chosen).slice(0, 4);
            expect(await drafted(drafter, request([...prompt, ...written]))).toEqual(wanted);
          }
        }
      }),
      { seed: 1 },
    );
  });

  it('starts anew after dispose', async () => {
    const drafter = prediction({ tokens });
    await asked(drafter, []);
    await asked(drafter, [1, 2]);
    drafter.dispose?.();
    expect(await asked(drafter, [1, 2])).toEqual(tokens);
  });

  it('names wrong options', () => {
    expect(() => prediction({ tokens: [1, -1] })).toThrow(/prediction: [\s\S]*tokens/);
    expect(() => prediction({ tokens, minLength: 0 })).toThrow(/prediction: [\s\S]*minLength/);
    const none: object = {};
    expect(() => prediction(none as PredictionOptions)).toThrow(/prediction: [\s\S]*tokens/);
  });
});

describe('drawn tokens', () => {
  it('carry the law they were drawn from', () => {
    const law = { probs: Float64Array.of(0.5, 0.5) };
    expect(lawDraw(1, law).law).toBe(law);
    expect(pointDraw(1).law).toEqual(point(1));
  });

  it('cannot be made by hand', () => {
    // @ts-expect-error: a plain object states no law of its own
    const byHand: Drawn = { token: 1, law: point(1) };
    // @ts-expect-error: nor does a copy with another token
    const copied: Drawn = { token: 2, law: pointDraw(1).law };
    expect([byHand.token, copied.token]).toEqual([1, 2]);
  });
});
