// How a draft model of another vocabulary follows a text of the target's and answers in its tokens: the text's tokens that both
// have stand for themselves, the others are spelled again. What is drafted are tokens of both, so that an accepted draft is
// already in the draft model's cache, and what changes in between is what `Session.feed` computes again.
import { FormatError } from '../../kernels/errors.ts';
import type { Tokenizer } from '../../models/tokenizer.ts';
import { addsBos } from '../../models/vocabularies.ts';
import { widened } from './widened.ts';

/** One text as the draft model sees it. */
export interface Translation {
  /** The draft's tokens of the target's; what it found for a beginning that is the same again stays. */
  read(tokens: readonly number[]): readonly number[];
  /** The draft's token of one that was drawn from `logits`. */
  token(drawn: number): number;
  /** The draft's logits at the target's tokens. */
  logits(own: Float32Array): Float32Array;
}

/** Of models that have one vocabulary. */
export const UNTRANSLATED: Translation = {
  read: (tokens) => tokens,
  token: (drawn) => drawn,
  logits: (own) => own,
};

/** Tokens that are encoded again as one text at most, so that a long one is not encoded anew with every token. */
const LONGEST_RUN = 32;

/** Two tokenizers and what they share. */
export interface Vocabularies {
  readonly draft: Tokenizer;
  readonly target: Tokenizer;
  /** The target's id of every row of the draft's logits, -1 for none. */
  readonly targetIds: Int32Array;
  /** Rows of the target's logits. */
  readonly vocab: number;
}

/**
 * Tokens that both have are taken as they are; runs of others are encoded again through their text, in whole characters. A run
 * may be cut differently when the text goes on, so it is done anew until a token that both have follows.
 */
export function createTranslation({ draft, target, targetIds, vocab }: Vocabularies): Translation {
  const draftIds = new Int32Array(vocab).fill(-1);
  for (const [id, targetId] of targetIds.entries()) if (targetId >= 0) draftIds[targetId] = id;
  const isShared = (token: number) => draftIds[token] >= 0;
  const opens = addsBos(draft) && !addsBos(target);
  const seen: number[] = [];
  const own: number[] = [];
  /** [seen.length + 1] draft tokens before each of the target's, where what follows does not change them; else -1. */
  const cuts: number[] = [0];

  const add = (tokens: readonly number[], ids: readonly number[], isFinal: boolean) => {
    for (const token of tokens) {
      seen.push(token);
      cuts.push(-1);
    }
    for (const id of ids) own.push(id);
    if (isFinal) cuts[seen.length] = own.length;
  };
  const begin = (token: number) => {
    const isBos = token === target.bosToken;
    const first = draft.bosToken ?? (isShared(token) ? draftIds[token] : null);
    if (isBos) add([token], first === null ? [] : [first], true);
    else if (opens) add([], [draft.bosToken!], false);
  };
  const forgetFrom = (length: number) => {
    let cut = length;
    while (cuts[cut] < 0) cut--;
    own.length = cuts[cut];
    seen.length = cut;
    cuts.length = cut + 1;
  };
  return {
    read(tokens) {
      let common = 0;
      while (common < seen.length && seen[common] === tokens[common]) common++;
      forgetFrom(common);
      if (seen.length === 0 && tokens.length > 0) begin(tokens[0]);
      while (seen.length < tokens.length) {
        const [character, whole] = nextCharacters(target, tokens, seen.length);
        if (character.every(isShared)) {
          add(
            character,
            character.map((token) => draftIds[token]),
            whole,
          );
          continue;
        }
        const run = [...character];
        let isWhole = whole;
        while (isWhole && seen.length + run.length < tokens.length && run.length < LONGEST_RUN) {
          const [next, nextWhole] = nextCharacters(target, tokens, seen.length + run.length);
          if (next.every(isShared)) break;
          run.push(...next);
          isWhole = nextWhole;
        }
        add(run, encodeWithin(draft, textOf(target, run)), isWhole && run.length >= LONGEST_RUN);
      }
      return [...own];
    },
    token: (drawn) => draftIds[drawn],
    logits: (logits) => widened(logits, targetIds, vocab),
  };
}

/** Tokens from `from` on that end with a character, as few as can be, and whether they do; false where the text ends before. */
function nextCharacters(
  target: Tokenizer,
  tokens: readonly number[],
  from: number,
): readonly [readonly number[], boolean] {
  let missing = 0;
  let end = from;
  do {
    for (const byte of target.tokenBytes(tokens[end])) {
      // UTF-8: bytes from 0x80 on continue a character, those from 0xc0 on begin one and say how many follow.
      if (byte < 0x80) missing = 0;
      else if (byte < 0xc0) missing = Math.max(0, missing - 1);
      else missing = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    }
    end += 1;
  } while (missing > 0 && end < tokens.length);
  return [tokens.slice(from, end), missing === 0];
}

/** The text of tokens in the middle of one; a character that is not finished is left out. */
function textOf(target: Tokenizer, tokens: readonly number[]): string {
  const reader = new TextDecoder('utf-8', { ignoreBOM: true });
  return tokens.map((token) => reader.decode(target.tokenBytes(token), { stream: true })).join('');
}

/**
 * The draft's tokens of a piece of text in the middle of one. Vocabularies that put a space before a text are asked behind a line
 * break, where they put none. What a vocabulary cannot spell at all, its model does not see.
 */
function encodeWithin(draft: Tokenizer, text: string): readonly number[] {
  const wanted = new TextEncoder().encode(text);
  const encode = (whole: string) => draft.encode(whole, { addSpecialTokens: false });
  try {
    for (const before of ['', '\n']) {
      const ids = endOf(draft, encode(before + text), wanted);
      if (ids !== null) return ids;
    }
    return encode(text);
  } catch (error) {
    if (error instanceof FormatError) return [];
    throw error;
  }
}

/** The last ids, as many as have exactly the bytes `wanted`; null where no cut between ids gives them. */
function endOf(
  draft: Tokenizer,
  ids: readonly number[],
  wanted: Uint8Array,
): readonly number[] | null {
  let left = wanted.length;
  let from = ids.length;
  while (left > 0 && from > 0) {
    const bytes = draft.tokenBytes(ids[--from]);
    left -= bytes.length;
    if (left < 0 || !bytes.every((byte, index) => byte === wanted[left + index])) return null;
  }
  return left === 0 ? ids.slice(from) : null;
}
