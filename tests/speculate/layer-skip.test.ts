// The target drafting with its own layers: what it accepts of itself, what is refused, and who owns what.
import { describe, expect, it, vi } from 'vitest';
import { type LayerSkipOptions, layerSkip } from '../../src/speculate/drafters/layer-skip.ts';
import { generate } from '../../src/speculate/generate.ts';
import { tinyTarget } from './fixtures.ts';

const PROMPT = [1, 5, 9, 5, 9, 5];

async function statsOf(layers: LayerSkipOptions['layers'], temperature = 0) {
  const target = await tinyTarget('llama-8l');
  const drafter = layerSkip(target.model, { layers });
  const options = { maxTokens: 24, ignoreEos: true, draftLength: 3, temperature, seed: 3 };
  const plain = await generate(target, PROMPT, options);
  const { tokens, stats } = await generate(target, PROMPT, { ...options, drafter });
  expect(tokens).toEqual(plain.tokens);
  drafter.dispose?.();
  target.model.dispose();
  return stats;
}

describe('layerSkip', () => {
  it('drafts what the target says with all its layers, and something else with few', async () => {
    for (const temperature of [0, 1])
      for (const layers of [8, [0, 1, 2, 3, 4, 5, 6, 7]]) {
        const { draftedTokens, acceptedTokens } = await statsOf(layers, temperature);
        expect(draftedTokens).toBeGreaterThan(0);
        expect(acceptedTokens).toBe(draftedTokens);
      }
    for (const layers of [1, [2, 5], [7]]) {
      const { draftedTokens, acceptedTokens } = await statsOf(layers, 1);
      expect(acceptedTokens).toBeLessThan(draftedTokens);
    }
  });

  it('takes a number for the first so many layers', async () => {
    const counted = await statsOf(3, 1);
    const listed = await statsOf([0, 1, 2], 1);
    expect(counted.acceptedTokens).toBe(listed.acceptedTokens);
    expect(counted.draftedTokens).toBe(listed.draftedTokens);
  });

  it('says what it is, and gives back what it made without the target', async () => {
    const target = await tinyTarget('llama');
    const drafter = layerSkip(target.model, { layers: 1 });
    expect(drafter).toMatchObject({ name: 'layer-skip', contextLength: 96 });
    const options = { maxTokens: 8, ignoreEos: true, draftLength: 2 };
    const { tokens } = await generate(target, PROMPT, { ...options, drafter });
    drafter.dispose?.();
    drafter.dispose?.();
    await expect(generate(target, PROMPT, { ...options, drafter })).rejects.toThrow('disposed');
    expect((await generate(target, PROMPT, options)).tokens).toEqual(tokens);
    target.model.dispose();
  });

  it('says so when the target has been disposed before it', async () => {
    const [target, other] = [await tinyTarget('llama'), await tinyTarget('llama')];
    const drafter = layerSkip(target.model, { layers: 1 });
    target.model.dispose();
    await expect(generate(other, PROMPT, { drafter, draftLength: 2 })).rejects.toThrow(
      'expected the model whose weights it uses, got a disposed one',
    );
    drafter.dispose?.();
    other.model.dispose();
  });

  it('names wrong layers', async () => {
    const { model } = await tinyTarget('llama');
    const wrong = (options: unknown) => () => layerSkip(model, options as LayerSkipOptions);
    for (const layers of [0, 1.5, -1, [], [-1], [0.5], 'all', undefined])
      expect(wrong({ layers })).toThrow(/layerSkip: [\s\S]*layers/);
    expect(wrong({ layers: 'all' })).toThrow(
      'expected a number of layers from 1, or a list of layers from 0',
    );
    expect(wrong({ layers: 1, keep: 2 })).toThrow(/layerSkip: [\s\S]*keep/);
    expect(wrong({ layers: 3 })).toThrow('layerSkip: layers: expected at most 2, got 3');
    expect(wrong({ layers: [0, 2] })).toThrow(
      'shorten: layers: expected some of 0 to 1, ascending, got [0, 2]',
    );
    model.dispose();
  });

  it('gives back what it made when its shape is wrong', async () => {
    const { model } = await tinyTarget('llama');
    const free = vi.spyOn(model.backend, 'free');
    const alloc = vi.spyOn(model.backend, 'alloc');
    expect(() => layerSkip(model, { layers: 1, branching: [0] })).toThrow('branching');
    expect(free).toHaveBeenCalledTimes(alloc.mock.calls.length);
    expect(alloc).toHaveBeenCalled();
    model.dispose();
  });
});
