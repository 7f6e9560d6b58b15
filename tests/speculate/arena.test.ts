// Arrays that rounds use again: apart within a round, the same in the next, and never those that somebody may have kept.
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LoadedModel } from '../../src/models/load.ts';
import type { Model } from '../../src/models/model.ts';
import { createArena } from '../../src/speculate/arena.ts';
import { ngram } from '../../src/speculate/drafters/ngram.ts';
import { generate } from '../../src/speculate/generate.ts';
import type { Law } from '../../src/speculate/law.ts';
import { demo } from './fixtures.ts';

describe('an arena', () => {
  it('gives arrays that do not meet, whatever was taken and cleared before', () => {
    const rounds = fc.array(fc.array(fc.nat(40), { maxLength: 8 }), { maxLength: 6 });
    fc.assert(
      fc.property(rounds, (lengths) => {
        const arena = createArena();
        for (const round of lengths) {
          arena.clear();
          const taken = round.map((length, index) => arena.f64(length).fill(index));
          for (const [index, array] of taken.entries())
            expect([...array]).toEqual(Array(round[index]).fill(index));
        }
      }),
    );
  });

  it('uses its memory again once it has what a round needs', () => {
    const arena = createArena();
    const buffers = [0, 1, 2].map(() => {
      arena.clear();
      arena.f32(7);
      return arena.f32(5).buffer;
    });
    expect(buffers[2]).toBe(buffers[1]);
  });
});

describe('a text', () => {
  let target: LoadedModel;
  beforeAll(async () => {
    target = await demo('target');
  });
  afterAll(() => target.dispose());

  /** A target that remembers where the logits of its forwards were. */
  function watched() {
    const buffers: ArrayBufferLike[] = [];
    const model: Model = {
      ...target.model,
      report: target.model.report,
      async forward(cache, segments, options) {
        const result = await target.model.forward(cache, segments, options);
        buffers.push(result.logits[0].buffer);
        return result;
      },
    };
    return { watched: { ...target, model }, buffers };
  }

  it.each([0, 0.8])(
    'has the logits of most rounds in one place, at temperature %d',
    async (temperature) => {
      const { watched: place, buffers } = watched();
      const options = {
        temperature,
        maxTokens: 40,
        ignoreEos: true,
        drafter: ngram(),
        draftLength: 4,
      };
      const { tokens } = await generate(place, 'Once upon a time', options);
      expect(buffers.length).toBeGreaterThan(20);
      // The first, and a larger one for the longest draft so far.
      expect(new Set(buffers).size).toBeLessThan(5);
      const seen = await generate(target, 'Once upon a time', { ...options, onRound() {} });
      expect(tokens).toEqual(seen.tokens);
    },
  );

  it('leaves laws alone that whoever listens to rounds has kept', async () => {
    const laws: Law[] = [];
    const copies: Law[] = [];
    await generate(target, 'Once upon a time', {
      temperature: 0.8,
      maxTokens: 20,
      onRound({ law }) {
        laws.push(law(0));
        copies.push(structuredClone(law(0)));
      },
    });
    expect(laws.length).toBeGreaterThan(5);
    expect(laws).toEqual(copies);
  });
});
