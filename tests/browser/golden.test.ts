// Every fixture in a page on every backend that runs there, read from a URL in ranges.
import { describe, expect, inject, it } from 'vitest';
import { loadModel } from '../../src/models/load.ts';
import { urlSource } from '../../src/tensor/url-source.ts';
import { checkCase, type GoldenCase } from '../models/golden-case.ts';
import { BACKENDS } from './backends.ts';

describe.each(BACKENDS)('$name in a page', ({ executor, tokens, open }) => {
  it.each(inject('fixtures'))(
    'gives the logits, states and greedy tokens of $name',
    async ({ folder, golden }) => {
      const answer = await fetch(golden);
      const { cases } = (await answer.json()) as { readonly cases: readonly GoldenCase[] };
      const backend = await open();
      const model = await loadModel(urlSource(folder), { backend });
      for (const each of cases) await checkCase(model, each, tokens);
      expect(model.report.executor).toBe(executor);
      model.dispose();
      backend.dispose();
    },
  );
});
