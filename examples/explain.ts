// What one decoding step is made of: the recorded plan with bytes, FLOPs and the time of every kind of op.
// npm run example -- explain
import { load } from 'foretoken';
import { explainPlan, formatPlan } from 'foretoken/tensor';

const { model, tokenizer } = await load('models/target');
const cache = model.createCache();
const sequence = cache.sequence();
const tokens = tokenizer.encode('Once upon a time, there was');
await model.forward(cache, [{ sequence, tokens }]);

// One more token: this is the forward that is explained.
const { plan, timings } = model.trace(cache);
await model.forward(cache, [{ sequence, tokens: [tokens[0]] }]);
const rows = explainPlan(plan, { extents: { T: 1, K: 1 }, timings, visible: sequence.length });
console.log(formatPlan(rows, { group: true }));
