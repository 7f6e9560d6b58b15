// Streams a story from the embedded model, the draft model's accepted tokens in brackets.
// npm run example -- generate
import { draftModel, generate, load } from 'foretoken';

const target = await load('models/target');
const draft = await load('models/draft');

const story = generate(target, 'Once upon a time', {
  drafter: draftModel(draft.model),
  // Left out, drafts would be as long as pays: for a model this small, often not at all.
  draftLength: 4,
  temperature: 0.8,
  seed: 3,
  maxTokens: 80,
});
for await (const { text, drafted } of story) process.stdout.write(drafted ? `[${text}]` : text);

const { usage, stats } = await story;
console.log(`\n${usage.completionTokens} tokens in ${stats.targetForwards} forwards of the target`);
draft.dispose();
target.dispose();
