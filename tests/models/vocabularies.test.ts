// Vocabularies compared by the bytes of their tokens, whatever their sizes, ids and spellings.
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createTokenizer, type Tokenizer } from '../../src/models/tokenizer.ts';
import {
  compareVocabularies,
  isSameVocabulary,
  matchTokens,
} from '../../src/models/vocabularies.ts';
import { byteFallbackJson, byteLevel } from './tokenizers.ts';

const fallback = createTokenizer({ tokenizerJson: byteFallbackJson(['é', 'ab']) });

/** Tokens as the first spells them, with the spelling that they got. */
function pairs(own: Tokenizer, other: Tokenizer): Record<string, string> {
  return Object.fromEntries(
    [...matchTokens(own, other)].flatMap((match, id) =>
      match < 0 ? [] : [[own.idToToken(id)!, other.idToToken(match)!]],
    ),
  );
}

describe('vocabularies', () => {
  it('are the same when every id is the same token', () => {
    const tokens = ['<s>', 'a', 'b', 'ab'];
    const found = compareVocabularies(byteLevel(tokens), byteLevel(tokens));
    expect(found).toMatchObject({
      identical: true,
      equalIds: 4,
      differingIds: [],
      sharedTokens: 3,
      specials: { onlyOwn: [], onlyOther: [] },
    });
    expect(isSameVocabulary(byteLevel(tokens), byteLevel(tokens))).toBe(true);
  });

  it('are told apart at equal sizes', () => {
    const own = byteLevel(['<s>', 'a', 'b', 'ab', 'c']);
    const other = byteLevel(['<s>', 'a', 'b', 'ba', '</s>'], { addsBos: true });
    expect(isSameVocabulary(own, other)).toBe(false);
    expect(compareVocabularies(own, other)).toEqual({
      identical: false,
      equalIds: 3,
      differingIds: [3, 4],
      sharedTokens: 2,
      specials: { onlyOwn: [], onlyOther: ['</s>'] },
      bos: { own: '<s>', other: '<s>' },
      eos: { own: null, other: '</s>' },
      addsBos: { own: false, other: true },
      addsEos: { own: false, other: false },
    });
  });

  it('name the ids that only one of them has', () => {
    const { differingIds } = compareVocabularies(byteLevel(['a', 'b', 'c']), byteLevel(['a']));
    expect(differingIds).toEqual([1, 2]);
  });

  it('do not confuse a control token with a text that looks like it', () => {
    const own = byteLevel(['<s>', 'a']);
    const other = byteLevel(['a', '<', 's', '>']);
    expect(pairs(own, other)).toEqual({ a: 'a' });
    expect(pairs(other, own)).toEqual({ a: 'a' });
  });
});

describe('matched tokens', () => {
  it('have equal bytes, however they are spelled', () => {
    const found = pairs(byteLevel(['a', 'Ġa', 'Ġ', 'Ã©', 'Ã', 'ba']), fallback);
    expect(found).toEqual({ a: 'a', Ġa: '▁a', Ġ: '▁', 'Ã©': 'é', Ã: '<0xC3>' });
  });

  it('have roles or names in common where they are control', () => {
    const own = byteLevel(['</s>', '<s>', 'a']);
    expect(pairs(own, fallback)).toEqual({ '</s>': '</s>', '<s>': '<s>', a: 'a' });
    const named = createTokenizer({
      tokenizerJson: byteFallbackJson(['<|end|>']),
      tokenizerConfig: { eos_token: '<|end|>' },
    });
    expect(pairs(own, named)['</s>']).toBe('<|end|>');
  });

  it('are the text before the byte, and nobody is matched twice', () => {
    expect(pairs(fallback, byteLevel(['a', 'b', 'c']))).toEqual({ a: 'a', b: 'b', '<0x63>': 'c' });
    const matched = [...matchTokens(fallback, fallback)];
    expect(matched).toEqual(matched.map((_, id) => id));
  });
});

describe('vocabularies of trained models', () => {
  const read = (path: string) => {
    const url = new URL(`../../../shared/tokenizers/${path}/tokenizer.json`, import.meta.url);
    return existsSync(url)
      ? createTokenizer({ tokenizerJson: JSON.parse(readFileSync(url, 'utf8')) })
      : null;
  };
  const absent = read('llama2') === null || read('gpt2') === null;
  it.skipIf(absent)('share most words across SentencePiece and byte-level spellings', () => {
    const [own, other] = [read('llama2')!, read('gpt2')!];
    const { sharedTokens, identical } = compareVocabularies(own, other);
    expect(identical).toBe(false);
    expect(sharedTokens).toBeGreaterThan(15_000);
    const matched = matchTokens(own, other);
    for (const [id, match] of matched.entries())
      if (match >= 0 && !own.isSpecial(id))
        expect(own.tokenBytes(id), `id ${id}`).toEqual(other.tokenBytes(match));
    expect(new Set(matched.filter((match) => match >= 0)).size).toBe(
      matched.filter((match) => match >= 0).length,
    );
  });
});
