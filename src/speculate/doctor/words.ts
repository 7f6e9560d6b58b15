// Whether a draft model and a target mean the same by an id, open and end a text alike, and write a conversation alike.
import type { Tokenizer } from '../../models/tokenizer.ts';
import {
  compareVocabularies,
  type Pair,
  type VocabularyComparison,
} from '../../models/vocabularies.ts';
import type { Finding } from './finding.ts';

/** Compares two tokenizers. */
export function examineWords(draft: Tokenizer, target: Tokenizer): Finding[] {
  const compared = compareVocabularies(draft, target);
  return [
    vocabulary(compared, draft, target),
    ...specials(compared),
    ...roles(compared),
    template(draft.chatTemplate, target.chatTemplate),
  ];
}

function vocabulary(
  { identical, equalIds, differingIds, sharedTokens }: VocabularyComparison,
  draft: Tokenizer,
  target: Tokenizer,
): Finding {
  const subject = 'vocabulary';
  if (identical)
    return { gravity: 'fine', subject, message: `all ${equalIds} ids are the same token in both` };
  const [first] = differingIds;
  const differ = `${differingIds.length} of ${equalIds + differingIds.length} ids are not the same token, the first ${first}: ${quoted(draft.idToToken(first))} and the target's ${quoted(target.idToToken(first))}`;
  return sharedTokens === 0
    ? { gravity: 'error', subject, message: `${differ}; no token of text is in both` }
    : {
        gravity: 'warning',
        subject,
        message: `${differ}; drafts are drawn from the ${sharedTokens} tokens that both have`,
      };
}

function specials({ specials: { onlyOwn, onlyOther } }: VocabularyComparison): Finding[] {
  if (onlyOwn.length + onlyOther.length === 0)
    return [{ gravity: 'fine', subject: 'special tokens', message: 'the same in both' }];
  const only = (whose: string, tokens: readonly string[]) =>
    tokens.length === 0
      ? []
      : [
          `only the ${whose} has ${tokens.slice(0, 4).map(quoted).join(', ')}${more(tokens.length - 4)}`,
        ];
  const message = [...only('draft', onlyOwn), ...only('target', onlyOther)].join('; ');
  return [{ gravity: 'warning', subject: 'special tokens', message }];
}

/** What opens and ends a text. */
function roles({ bos, eos, addsBos, addsEos }: VocabularyComparison): Finding[] {
  const differ = <Value>(
    subject: string,
    { own, other }: Pair<Value>,
    show: (value: Value) => string,
  ) =>
    own === other
      ? []
      : [
          {
            gravity: 'warning' as const,
            subject,
            message: `the draft's tokenizer ${show(own)}, the target's ${show(other)}`,
          },
        ];
  const has = (token: string | null) => (token === null ? 'has none' : `has ${quoted(token)}`);
  const puts = (value: boolean) => (value ? 'puts one around a text' : 'puts none');
  return [
    ...differ('begin token', bos, has),
    ...differ('begin token', addsBos, puts),
    ...differ('end token', eos, has),
    ...differ('end token', addsEos, puts),
  ];
}

function template(draft: string | null, target: string | null): Finding {
  const subject = 'chat template';
  if (draft?.trim() === target?.trim())
    return {
      gravity: 'fine',
      subject,
      message: draft === null ? 'neither has one' : 'the same in both',
    };
  const message =
    draft === null
      ? 'only the target has one: the draft model may not know how its conversations are written'
      : target === null
        ? 'only the draft has one'
        : 'they differ: the draft model knows conversations that are written in another way';
  return { gravity: target === null ? 'fine' : 'warning', subject, message };
}

const quoted = (token: string | undefined) =>
  token === undefined ? 'none' : JSON.stringify(token);
const more = (count: number) => (count > 0 ? ` and ${count} more` : '');
