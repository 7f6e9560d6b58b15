// Two vocabularies side by side. Tokens are equal when their bytes are, however each vocabulary spells them ("▁a" and "Ġa" are both
// " a"); control tokens have no bytes in a text and are equal by role or name. Sizes and ids alone say nothing: two
// vocabularies of one size may have other merges.
import type { Tokenizer } from './tokenizer.ts';

/** What two vocabularies have in common, as `own` against `other`. */
export interface VocabularyComparison {
  /** Whether every id is the same token in both. */
  readonly identical: boolean;
  /** Ids that are the same token in both. */
  readonly equalIds: number;
  /** Ids that are not, or that only one of them has, ascending. */
  readonly differingIds: readonly number[];
  /** Tokens of text that both have, at whatever ids. */
  readonly sharedTokens: number;
  /** Control tokens that the other one lacks, as they are spelled. */
  readonly specials: { readonly onlyOwn: readonly string[]; readonly onlyOther: readonly string[] };
  /** The tokens that open and end a text, as they are spelled, or null. */
  readonly bos: Pair<string | null>;
  readonly eos: Pair<string | null>;
  /** Whether a text gets a begin token in front, and an end token behind. */
  readonly addsBos: Pair<boolean>;
  readonly addsEos: Pair<boolean>;
}

/** The same of both vocabularies. */
export interface Pair<Value> {
  readonly own: Value;
  readonly other: Value;
}

/** Compares two vocabularies by the bytes of their tokens. */
export function compareVocabularies(own: Tokenizer, other: Tokenizer): VocabularyComparison {
  const ids = [...new Set([...idsOf(own), ...idsOf(other)])].toSorted((a, b) => a - b);
  const differingIds = ids.filter((id) => !isSame(own, id, other, id));
  const matched = matchTokens(own, other);
  const inOther = new Set(matched);
  const spelled = (tokenizer: Tokenizer, id: number | null) =>
    id === null ? null : (tokenizer.idToToken(id) ?? null);
  const pairOf = <Value>(of: (tokenizer: Tokenizer) => Value) => ({
    own: of(own),
    other: of(other),
  });
  const unmatched = (tokenizer: Tokenizer, isMatched: (id: number) => boolean) =>
    idsOf(tokenizer)
      .filter((id) => tokenizer.isSpecial(id) && !isMatched(id))
      .map((id) => tokenizer.idToToken(id)!);
  return {
    identical: differingIds.length === 0,
    equalIds: ids.length - differingIds.length,
    differingIds,
    sharedTokens: matched.reduce(
      (sum, match, id) => sum + (match >= 0 && !own.isSpecial(id) ? 1 : 0),
      0,
    ),
    specials: {
      onlyOwn: unmatched(own, (id) => matched[id] >= 0),
      onlyOther: unmatched(other, (id) => inOther.has(id)),
    },
    bos: pairOf((tokenizer) => spelled(tokenizer, tokenizer.bosToken)),
    eos: pairOf((tokenizer) => spelled(tokenizer, tokenizer.eosToken)),
    addsBos: pairOf(addsBos),
    addsEos: pairOf((tokenizer) => adds(tokenizer, tokenizer.eosToken, -1)),
  };
}

/** Whether every id is the same token in both. */
export function isSameVocabulary(own: Tokenizer, other: Tokenizer): boolean {
  const size = Math.max(own.vocabSize, other.vocabSize);
  for (let id = 0; id < size; id++) if (!isSame(own, id, other, id)) return false;
  return true;
}

/**
 * [own.vocabSize] the other vocabulary's id of every token, -1 for one that it lacks. No two tokens get the same id: a token
 * goes to the one of the same spelling, else to the first of the same bytes that is left. Tokens that stand for a byte
 * (`<0x41>`) come last, because a text is spelled without them where it can be.
 */
export function matchTokens(own: Tokenizer, other: Tokenizer): Int32Array {
  const matched = new Int32Array(own.vocabSize).fill(-1);
  const taken = new Set<number>();
  const match = (id: number | null, otherId: number | null | undefined) => {
    if (id === null || otherId == null || matched[id] >= 0 || taken.has(otherId)) return;
    matched[id] = otherId;
    taken.add(otherId);
  };
  // Of a token with both roles the end is the one that may be drafted.
  match(own.eosToken, other.eosToken);
  match(own.bosToken, other.bosToken);
  const ids = idsOf(own);
  for (const id of ids) {
    const otherId = other.tokenToId(own.idToToken(id)!);
    if (otherId !== undefined && isSame(own, id, other, otherId)) match(id, otherId);
  }
  const left = new Map<string, number[]>();
  for (const id of textLast(other)) {
    if (taken.has(id)) continue;
    const key = keyOf(other.tokenBytes(id));
    left.set(key, [...(left.get(key) ?? []), id]);
  }
  for (const id of textLast(own)) {
    if (matched[id] >= 0) continue;
    match(id, left.get(keyOf(own.tokenBytes(id)))?.shift());
  }
  return matched;
}

/** Whether a text gets the begin token in front. */
export function addsBos(tokenizer: Tokenizer): boolean {
  return adds(tokenizer, tokenizer.bosToken, 0);
}

function adds(tokenizer: Tokenizer, token: number | null, at: number): boolean {
  return token !== null && tokenizer.encode('').at(at) === token;
}

function idsOf(tokenizer: Tokenizer): number[] {
  const ids = Array.from({ length: tokenizer.vocabSize }, (_, id) => id);
  return ids.filter((id) => tokenizer.idToToken(id) !== undefined);
}

/** Tokens of text, those that stand for a byte behind the others. */
function textLast(tokenizer: Tokenizer): number[] {
  const ids = idsOf(tokenizer).filter(
    (id) => !tokenizer.isSpecial(id) && tokenizer.tokenBytes(id).length > 0,
  );
  const isByte = (id: number) => /^<0x[0-9a-f]{2}>$/i.test(tokenizer.idToToken(id)!);
  return [...ids.filter((id) => !isByte(id)), ...ids.filter(isByte)];
}

/** An id without a token is the same as another one. */
function isSame(own: Tokenizer, id: number, other: Tokenizer, otherId: number): boolean {
  const tokens = [own.idToToken(id), other.idToToken(otherId)];
  if (tokens.includes(undefined)) return tokens[0] === tokens[1];
  const special = own.isSpecial(id);
  if (special !== other.isSpecial(otherId)) return false;
  if (special) return tokens[0] === tokens[1];
  return keyOf(own.tokenBytes(id)) === keyOf(other.tokenBytes(otherId));
}

/** Bytes as the key of a map. */
const keyOf = (bytes: Uint8Array): string => String.fromCharCode(...bytes);
