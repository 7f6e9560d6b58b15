// In a page, on every backend: speculation gives the tokens of plain decoding.
import { describe, expect, it } from 'vitest';
import { load } from '../../src/models/load.ts';
import { draftModel } from '../../src/speculate/drafters/model.ts';
import { ngram } from '../../src/speculate/drafters/ngram.ts';
import { none } from '../../src/speculate/drafters/none.ts';
import { generate } from '../../src/speculate/generate.ts';
import { urlSource } from '../../src/tensor/url-source.ts';
import { BACKENDS } from './backends.ts';

const PROMPT = 'One cat. One dog. One cat. One';

describe.each(BACKENDS)('$name in a page', ({ tokens: maxTokens, open }) => {
  it.each([0, 0.8])('gives the tokens of plain decoding at temperature %d', async (temperature) => {
    const backend = await open();
    const options = { backend, contextLength: 128, maxRows: 16 };
    const target = await load(urlSource('/models/target'), options);
    const draft = await load(urlSource('/models/draft'), options);
    const common = { temperature, seed: 7, maxTokens, ignoreEos: true };
    const plain = await generate(target, PROMPT, { drafter: none(), ...common });
    const drafters = [
      draftModel(draft.model),
      draftModel(draft.model, { branching: [2, 2, 1] }),
      ngram(),
    ];
    for (const drafter of drafters) {
      const drafted = await generate(target, PROMPT, { drafter, draftLength: 4, ...common });
      expect([drafter.name, drafted.tokens]).toEqual([drafter.name, plain.tokens]);
      expect(drafted.stats.draftedTokens).toBeGreaterThan(0);
      drafter.dispose?.();
    }
    target.dispose();
    draft.dispose();
    backend.dispose();
  });
});
