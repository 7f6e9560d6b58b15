// A drafter of one's own: it knows what a person is likely to be called after "named". A draft can be wrong without harm,
// so a drafter may be as simple as this; the target accepts what it would have said itself.
// npm run example -- custom-drafter
import { type Drafter, generate, load, pointDraw } from 'foretoken';

const { model, tokenizer } = await load('models/target');
const rules = [
  { after: ' named', say: ' Lily. She loved to play' },
  { after: ' One', say: ' day, she saw a' },
].map(({ after, say }) => ({
  after: tokenizer.encode(after, { addSpecialTokens: false }),
  say: tokenizer.encode(say, { addSpecialTokens: false }),
}));

const phrasebook: Drafter = {
  name: 'phrasebook',
  draft({ tokens, maxDepth }) {
    const rule = rules.find(({ after }) =>
      after.every((id, i) => tokens.at(i - after.length) === id),
    );
    return { tokens: (rule?.say ?? []).slice(0, maxDepth).map((token) => pointDraw(token)) };
  },
};

const options = { maxTokens: 60, draftLength: 8 };
const plain = await generate({ model, tokenizer }, 'Once upon a time', options);
const drafted = await generate({ model, tokenizer }, 'Once upon a time', {
  ...options,
  drafter: phrasebook,
});

const { draftedTokens, acceptedTokens, targetForwards } = drafted.stats;
console.log(drafted.text);
console.log(
  `${acceptedTokens} of ${draftedTokens} drafted tokens accepted, ${targetForwards} forwards`,
);
console.log(`same tokens: ${plain.tokens.join() === drafted.tokens.join() ? 'yes' : 'no'}`);
