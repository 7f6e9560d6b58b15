// What the decode bench says of the cost of drafting: how drafts are timed, the heads with random weights, and the line of JSON.
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { decode } from '../../bench/decode.ts';
import { timedDrafter } from '../../bench/draft-cost.ts';
import { randomHead } from '../../bench/heads.ts';
import type { BenchOptions } from '../../bench/measure.ts';
import { wasm } from '../../src/kernels/wasm/index.ts';
import type { Decoder } from '../../src/models/decoder.ts';
import type { Draft, DraftRequest } from '../../src/speculate/drafter.ts';
import { none } from '../../src/speculate/drafters/none.ts';
import { pointDraw } from '../../src/speculate/drawn.ts';
import { generate } from '../../src/speculate/generate.ts';
import { ALGORITHMS } from '../../src/speculate/speculators/load.ts';
import { loadTiny } from '../models/fixtures.ts';
import { spelled } from '../speculate/fixtures.ts';

// The bench is compiled to another folder before it runs, and finds the models from there.
vi.mock('../../bench/host.ts', async (original) => ({
  ...(await original<typeof import('../../bench/host.ts')>()),
  embedded: (name: string) => fileURLToPath(new URL(`../../models/${name}`, import.meta.url)),
}));

describe('timedDrafter', () => {
  const textOf = (length: number) => ({ tokens: Array(length).fill(0) }) as unknown as DraftRequest;
  const tokens = (count: number) => Array.from({ length: count }, () => pointDraw(0));

  it('divides the time of a draft by its levels, leaves out those without any, and takes the middle', async () => {
    let now = 0;
    const drafts: (Draft & { readonly takes: number })[] = [
      { tokens: tokens(3), takes: 6 },
      { tokens: [], takes: 100 },
      { tokens: tokens(4), parents: [-1, -1, 0, 1], takes: 10 },
      { tokens: tokens(1), takes: 40 },
    ];
    const inner = {
      name: 'mine',
      taps: [3],
      nodesAt: (levels: number) => levels + 7,
      async draft() {
        const { takes, ...draft } = drafts.shift()!;
        now += takes;
        return draft;
      },
    };
    const { drafter, levelMs } = timedDrafter(inner, () => now);
    expect(levelMs()).toBeNaN();
    for (const expected of [2, 2, 3.5, 5]) {
      await drafter.draft(textOf(1));
      expect(levelMs()).toBe(expected);
    }
    expect(drafter).toMatchObject({ name: 'mine', taps: [3] });
    expect(drafter.nodesAt?.(1)).toBe(8);
  });

  it('says how far the texts reached that it was given since it was last asked', async () => {
    const { drafter, takeReach } = timedDrafter({
      name: 'mine',
      draft: async () => ({ tokens: [] }),
    });
    expect(takeReach()).toBe(0);
    await drafter.draft(textOf(7));
    await drafter.draft(textOf(5));
    expect(takeReach()).toBe(7);
    expect(takeReach()).toBe(0);
  });
});

describe('heads with random weights', () => {
  const PROMPT = [1, 5, 9, 33, 9, 5];
  let verifier: Decoder;
  beforeAll(async () => {
    verifier = await loadTiny('llama-8l', { backend: wasm({ threads: 1 }), contextLength: 64 });
  });
  afterAll(() => verifier.dispose());

  it.each(Object.keys(ALGORITHMS))('draft four tokens a round: %s', async (algorithm) => {
    using head = await randomHead(algorithm, verifier, { seed: 5, dtype: 'f32' });
    const target = { model: verifier, tokenizer: spelled };
    const options = { maxTokens: 12, ignoreEos: true };
    const plain = await generate(target, PROMPT, { ...options, drafter: none() });
    const drafter = head.drafter();
    const found = await generate(target, PROMPT, { ...options, drafter, draftLength: 4 });
    expect(found.tokens).toEqual(plain.tokens);
    expect(found.stats.drafting.roundsByDraft).toHaveLength(5);
    drafter.dispose?.();
  });

  it('are a function of the seed', async () => {
    const weightsOf = async (seed: number) => {
      using head = await randomHead('eagle', verifier, { seed, dtype: 'f32' });
      return (await head.files())['model.safetensors'];
    };
    expect(await weightsOf(1)).toEqual(await weightsOf(1));
    expect(await weightsOf(1)).not.toEqual(await weightsOf(2));
  });
});

describe('the decode bench', () => {
  /** What a short run with one drafter prints. */
  async function linesOf(drafter: string): Promise<string[]> {
    const lines: string[] = [];
    const log = vi.spyOn(console, 'log').mockImplementation((line) => lines.push(String(line)));
    const backend = wasm({ threads: 1 });
    try {
      const options = { backendName: 'wasm', dtype: 'f32', filter: 'story', smoke: true } as const;
      await decode(backend, { ...options, drafter } as unknown as BenchOptions);
    } finally {
      log.mockRestore();
      backend.dispose();
    }
    return lines;
  }

  it('drafts from a prediction that is right but for a few tokens', async () => {
    const { results } = JSON.parse((await linesOf('prediction, 4')).at(-1)!);
    expect(Object.keys(results)).toEqual(['story, plain', 'story, prediction, 4']);
    const { tokens, accepted, forwards, levelMs } = results['story, prediction, 4'];
    // Three that are drafted and the one that their forward says besides; the first wrong one is the eighth.
    expect({ tokens, accepted, forwards }).toEqual({ tokens: 4, accepted: 3, forwards: 1 });
    expect(levelMs).toBeGreaterThan(0);
  });

  it('reports what drafting a level costs in steps, beside the two times', async () => {
    const lines = await linesOf('random eagle3');
    const { results } = JSON.parse(lines.at(-1)!);
    expect(Object.keys(results)).toEqual(['story, plain', 'story, random eagle3, 4']);
    const [plain, head] = Object.values<Record<string, number | null>>(results);
    expect(plain).toMatchObject({ levelMs: null, draftSteps: null });
    expect(head['levelMs']).toBeGreaterThan(0);
    expect(head['draftSteps']).toBeCloseTo(head['levelMs']! / head['stepMs']!, 9);
    expect(lines[0]).toMatch(/draft \/ step$/);
    expect(lines).toContainEqual(expect.stringContaining('what is accepted means nothing'));
  });
});
