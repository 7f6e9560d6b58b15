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

/** Follows a text from call to call: what is the same as in the call before is not translated again. */
export function createTranslation({ draft, target, targetIds, vocab }: Vocabularies): Translation {
  const draftIds = new Int32Array(vocab).fill(-1);
  for (const [id, targetId] of targetIds.entries()) if (targetId >= 0) draftIds[targetId] = id;
  const spell = createSpeller({ draft, target, draftIds });
  const opens = addsBos(draft) && !addsBos(target);
  const seen: number[] = [];
  const own: number[] = [];
  /** [seen.length + 1] draft tokens before each of the target's, where what follows does not change them; else -1. */
  const cuts: number[] = [0];

  const add = ({ tokens, ids, isFinal }: Piece) => {
    for (const token of tokens) {
      seen.push(token);
      cuts.push(-1);
    }
    for (const id of ids) own.push(id);
    if (isFinal) cuts[seen.length] = own.length;
  };
  const begin = (token: number) => {
    const first = draft.bosToken ?? draftIds[token];
    if (token === target.bosToken)
      add({ tokens: [token], ids: first < 0 ? [] : [first], isFinal: true });
    else if (opens) add({ tokens: [], ids: [first], isFinal: false });
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
      while (seen.length < tokens.length) add(spell(tokens, seen.length));
      return [...own];
    },
    token: (drawn) => draftIds[drawn],
    logits: (logits) => widened(logits, targetIds, vocab),
  };
}

/** Some of the target's tokens in the draft's. */
interface Piece {
  readonly tokens: readonly number[];
  readonly ids: readonly number[];
  /** Whether it stays as it is when the text goes on. */
  readonly isFinal: boolean;
}

/**
 * The next piece of a text. Tokens that both have are taken as they are; runs of others are encoded again through their text, in
 * whole characters. A run may be cut differently when the text goes on, so it is done anew until a token that both have follows.
 */
function createSpeller({
  draft,
  target,
  draftIds,
}: Pick<Vocabularies, 'draft' | 'target'> & { readonly draftIds: Int32Array }) {
  const isShared = (token: number) => draftIds[token] >= 0;
  return (tokens: readonly number[], from: number): Piece => {
    const first = nextCharacters(target, tokens, from);
    if (first.tokens.every(isShared)) {
      const ids = first.tokens.map((token) => draftIds[token]);
      return { tokens: first.tokens, ids, isFinal: first.isWhole };
    }
    const run = [...first.tokens];
    let { isWhole } = first;
    while (isWhole && from + run.length < tokens.length && run.length < LONGEST_RUN) {
      const next = nextCharacters(target, tokens, from + run.length);
      if (next.tokens.every(isShared)) break;
      run.push(...next.tokens);
      isWhole = next.isWhole;
    }
    const ids = encodeWithin(draft, textOf(target, run));
    return { tokens: run, ids, isFinal: isWhole && run.length >= LONGEST_RUN };
  };
}

/** Tokens from `from` on that end with a character, as few as can be, and whether they do; false where the text ends before. */
function nextCharacters(
  target: Tokenizer,
  tokens: readonly number[],
  from: number,
): { readonly tokens: readonly number[]; readonly isWhole: boolean } {
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
  return { tokens: tokens.slice(from, end), isWhole: missing === 0 };
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
