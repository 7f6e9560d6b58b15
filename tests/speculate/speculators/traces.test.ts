// Trained drafters of a small real model, where its files lie beside the checkout: what they draft and how much of it is accepted,
// round by round, as a float64 implementation that shares no code wrote it down.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LoadedModel, load } from '../../../src/models/load.ts';
import type { Drafter } from '../../../src/speculate/drafter.ts';
import { draftModel } from '../../../src/speculate/drafters/model.ts';
import { generate } from '../../../src/speculate/generate.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import type { Round } from '../../../src/speculate/witness.ts';

const shared = (name: string) =>
  fileURLToPath(new URL(`../../../../shared/models/${name}`, import.meta.url));

interface Run {
  readonly prompt: string;
  readonly input_ids: readonly number[];
  readonly output_ids: readonly number[];
  readonly rounds: readonly { readonly draft: readonly number[]; readonly accepted: number }[];
}

interface Golden {
  readonly summary: { readonly k: number };
  readonly runs: readonly Run[];
}

const goldenOf = (name: string): Golden =>
  JSON.parse(readFileSync(`${shared(name)}/golden.json`, 'utf8'));

describe.skipIf(!existsSync(shared('stories260K-eagle3')))('drafters of stories260K', () => {
  let target: LoadedModel;
  beforeAll(async () => {
    target = await load(shared('stories260K'));
  });
  afterAll(() => target.dispose());

  /** `given` tokens of the output are part of the prompt: a draft model drafts in the first round already, a head has no state yet. */
  async function check(name: string, drafter: Drafter, given: number): Promise<void> {
    const { summary, runs } = goldenOf(name);
    expect(runs.length).toBeGreaterThan(5);
    for (const { input_ids, output_ids, rounds: expected } of runs) {
      const rounds: Round[] = [];
      const prompt = [...input_ids, ...output_ids.slice(0, given)];
      const wanted = output_ids.slice(given);
      const { tokens } = await generate(target, prompt, {
        drafter,
        draftLength: summary.k,
        // Room for a whole draft in the last round that is compared.
        maxTokens: wanted.length + summary.k + 1,
        ignoreEos: true,
        onRound: (round) => rounds.push(round),
      });
      expect(tokens.slice(0, wanted.length)).toEqual(wanted);
      const drafted = rounds
        .filter(({ draft }) => draft.tokens.length > 0)
        .slice(0, expected.length)
        .map(({ draft, verdict }) => ({
          draft: draft.tokens.map(({ token }) => token),
          accepted: verdict.path.length,
        }));
      expect(drafted).toEqual(expected);
    }
    drafter.dispose?.();
  }

  it('an EAGLE-3 head drafts and is accepted as it was written down', async () => {
    const head = shared('stories260K-eagle3');
    using speculator = await Speculator.fromPretrained(head, { verifier: target.model });
    await check('stories260K-eagle3', speculator.drafter(), 0);
  });

  it('a draft model does too', async () => {
    const draft = await load(shared('stories260K-draft28K'));
    await check('stories260K-draft28K', draftModel(draft.model), 1);
    draft.dispose();
  });
});
