// Every fixture on every backend against what transformers computes: all logits, hidden states, 64 greedy tokens.
import { describe, expect, it } from 'vitest';
import { loadModel } from '../../src/models/load.ts';
import { BACKENDS, demoFixtures, sharedFixtures, tinyFixtures } from './fixtures.ts';
import { checkCase } from './golden-case.ts';

describe.each(BACKENDS)('$name', ({ executor, open }) => {
  it.each([...tinyFixtures, ...demoFixtures, ...sharedFixtures])(
    'gives the logits, states and greedy tokens of $name',
    async ({ folder, cases }) => {
      const backend = await open();
      const model = await loadModel(folder, { backend });
      for (const golden of cases) await checkCase(model, golden);
      expect(model.report.executor).toBe(executor);
      model.dispose();
      backend.dispose();
    },
    120_000,
  );
});
