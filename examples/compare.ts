// The same seed with and without speculation, for every drafter: different work, the same tokens.
// npm run example -- compare
import { type Drafter, draftModel, generate, load, ngram, none } from 'foretoken';

const target = await load('models/target');
const draft = await load('models/draft');
const drafters: Drafter[] = [
  none(),
  ngram({ maxLength: 3 }),
  draftModel(draft.model),
  draftModel(draft.model, { branching: [3, 2, 1] }),
];

const texts = new Set<string>();
for (const drafter of drafters) {
  const { tokens, stats } = await generate(target, 'The little dog', {
    drafter,
    draftLength: 6,
    temperature: 0.8,
    seed: 1,
    maxTokens: 60,
  });
  texts.add(tokens.join());
  const forwards = (stats.targetForwards / tokens.length).toFixed(2);
  console.log(`${drafter.name.padEnd(20)} ${forwards} forwards per token`);
}
console.log(`same tokens: ${texts.size === 1 ? 'yes' : 'no'}`);
