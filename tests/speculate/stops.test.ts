// Stop strings: what is shown does not depend on how the text was cut into pieces.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createOutput } from '../../src/speculate/output.ts';
import { createStopText } from '../../src/speculate/stops.ts';
import { spelled } from './fixtures.ts';
import { vectors } from './laws.ts';

/** Pushes pieces until a stop; returns what was shown and which stop came. */
function show(pieces: readonly string[], stops: readonly string[]) {
  const stopText = createStopText(stops);
  let text = '';
  for (const [index, piece] of pieces.entries()) {
    const released = stopText.push(piece);
    text += released.text;
    if (released.stop !== null) return { text, stop: released.stop, pieces: index + 1 };
  }
  return { text: text + stopText.flush(), stop: null, pieces: pieces.length };
}

/** The match that ends first, and of those the one that begins first, in the whole text. */
function definition(text: string, stops: readonly string[]) {
  for (let end = 0; end <= text.length; end++) {
    const found = stops
      .filter((stop) => text.slice(0, end).endsWith(stop))
      .toSorted((a, b) => b.length - a.length)[0];
    if (found !== undefined) return { text: text.slice(0, end - found.length), stop: found };
  }
  return { text, stop: null };
}

describe('stop strings', () => {
  it('end the texts of vector T', () => {
    for (const example of vectors.T) {
      const shown = show([example.text_before, ...example.step_pieces], example.stops);
      expect(shown.text).toBe(example.visible);
      expect(shown.stop).toBe(example.matched);
      if (example.tokens_kept_including_the_one_that_completes_the_match !== undefined)
        expect(shown.pieces - 1).toBe(
          example.tokens_kept_including_the_one_that_completes_the_match,
        );
    }
  });

  it('and stop tokens end the tokens of vector T, before a limit that is met at once', () => {
    for (const example of vectors.T_tokens) {
      const settings = { stop: [], stopTokens: example.stop_ids, ignoreEos: true };
      const limits = { prompt: [1], eosTokens: [2], limit: example.max_new_tokens };
      const output = createOutput(spelled, settings, limits);
      for (const token of example.step_tokens) if (output.finishReason === null) output.push(token);
      expect(output.finishReason).toBe(example.finish_reason);
      // A stop token is among the tokens here, and never in the text.
      const { tokens } = output.result();
      const shown = tokens.filter((token) => !example.stop_ids.includes(token));
      expect(example.include_stop === false ? shown : tokens).toEqual(example.emitted);
      expect(output.result().text).toBe(spelled.decode(shown));
    }
  });

  it('show the same text however it is cut into pieces', () => {
    const letters = (maxLength: number, minLength = 0) =>
      fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength, maxLength });
    fc.assert(
      fc.property(
        fc.array(letters(4), { maxLength: 10 }),
        fc.array(letters(4, 1), { maxLength: 3 }),
        (pieces, stops) => {
          const wanted = definition(pieces.join(''), stops);
          expect(show(pieces, stops)).toMatchObject(wanted);
          expect(show([...pieces.join('')], stops)).toMatchObject(wanted);
        },
      ),
      { seed: 1, numRuns: 1000 },
    );
  });

  it('hold back no more than what may become a stop', () => {
    const stopText = createStopText(['END']);
    expect(stopText.push('abcE')).toEqual({ text: 'abc', stop: null });
    expect(stopText.push('x')).toEqual({ text: 'Ex', stop: null });
    expect(stopText.push('EN')).toEqual({ text: '', stop: null });
    expect(stopText.flush()).toBe('EN');
    expect(stopText.flush()).toBe('');
  });

  it('find a stop that overlaps its own beginning', () => {
    expect(show(['aa', 'ab'], ['aab'])).toEqual({ text: 'a', stop: 'aab', pieces: 2 });
  });

  it('release everything at once without stops', () => {
    expect(createStopText([]).push('abc')).toEqual({ text: 'abc', stop: null });
  });
});
