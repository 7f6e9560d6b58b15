// What a draft model and a target of different tokenizers share: drafts are drawn from the tokens that both have (token-level
// intersection: Timor et al., "Accelerating LLM inference with lossless speculative decoding algorithms for heterogeneous
// vocabularies", 2025). The law of a draft is the renormalised one over these, so every verifier keeps its promise.
import { OptionError, UnsupportedError } from '../../kernels/errors.ts';
import type { Model } from '../../models/model.ts';
import type { Tokenizer } from '../../models/tokenizer.ts';
import { isSameVocabulary, matchTokens } from '../../models/vocabularies.ts';
import { createTranslation, type Translation, UNTRANSLATED } from './translation.ts';

/** A model with the tokenizer of its text. */
export interface Worded {
  readonly model: Pick<Model, 'config'>;
  readonly tokenizer: Tokenizer;
}

/** What a draft model and a target can say to each other; made by `sharedVocabulary`. */
export interface SharedVocabulary {
  /** Rows of both models' logits. */
  readonly sizes: { readonly draft: number; readonly target: number };
  /** Tokens of text that both have; all rows where they are the same. */
  readonly sharedTokens: number;
  /** The target's id of every row of the draft's logits, -1 for none; null where every id is the same token in both. */
  readonly targetIds: Int32Array | null;
  /** What a user should know where the vocabularies differ, else null. */
  readonly note: string | null;
  /** Begins to follow a text. */
  translate(): Translation;
}

/**
 * Compares the vocabularies of a draft model and a target, for `draftModel`. Throws an UnsupportedError where they share no token
 * of text.
 */
export function sharedVocabulary(draft: Worded, target: Worded): SharedVocabulary {
  const sizes = { draft: draft.model.config.vocab, target: target.model.config.vocab };
  const given = { draft: draft.tokenizer, target: target.tokenizer };
  if (sizes.draft === sizes.target && isSameVocabulary(given.draft, given.target))
    return {
      sizes,
      sharedTokens: sizes.draft,
      targetIds: null,
      note: null,
      translate: () => UNTRANSLATED,
    };
  const matched = matchTokens(given.draft, given.target);
  // A row of logits without a token stands for nothing, and a token without a row cannot be drawn.
  const targetIds = Int32Array.from({ length: sizes.draft }, (_, id) => {
    const targetId = matched[id] ?? -1;
    return targetId < sizes.target ? targetId : -1;
  });
  const sharedTokens = targetIds.filter(
    (targetId, id) => targetId >= 0 && !given.draft.isSpecial(id),
  ).length;
  if (sharedTokens === 0)
    throw new UnsupportedError(
      `sharedVocabulary: expected tokens that the draft model and the target both have, got none among ${sizes.draft} and ${sizes.target}`,
    );
  return {
    sizes,
    sharedTokens,
    targetIds,
    note: `the draft model has another vocabulary: it drafts the ${sharedTokens} of its ${sizes.draft} tokens that are among the target's ${sizes.target}`,
    translate: () => createTranslation({ ...given, targetIds, vocab: sizes.target }),
  };
}

/** Throws an OptionError unless `vocabulary` was made for a draft model of `vocab` tokens. */
export function checkVocabulary({ sizes }: SharedVocabulary, vocab: number): void {
  if (sizes.draft !== vocab)
    throw new OptionError(
      `draftModel: vocabulary: expected one of a draft model of ${vocab} tokens, got one of ${sizes.draft}`,
    );
}
