// What a worker holds: drafters for choices that come again, and models that something runs on.
import { expect, it } from 'vitest';
import { createDrafters } from '../../src/browser/drafters.ts';
import { connect } from '../../src/browser/index.ts';
import type { DrafterChoice } from '../../src/browser/protocol.ts';
import { cpu } from '../../src/kernels/cpu/index.ts';
import type { Buffer } from '../../src/kernels/plan.ts';
import { turnTaking } from './turn-taking.ts';

/** Drafters that say what becomes of them. */
function watched(shared: boolean) {
  const events: string[] = [];
  const drafters = createDrafters(
    (choice: DrafterChoice) => {
      const name = (choice as { minLength: number }).minLength.toString();
      events.push(`made ${name}`);
      const dispose = () => void events.push(`disposed ${name}`);
      return { drafter: { name, draft: () => ({ tokens: [] }), dispose } };
    },
    { shared },
  );
  const take = (minLength: number) => drafters.take({ kind: 'ngram', minLength });
  return { drafters, take, events };
}

it.each([true, false])('keeps the last four drafters that nobody uses, shared %s', (shared) => {
  const { drafters, take, events } = watched(shared);
  const used = take(1);
  for (const choice of [2, 3, 4, 5, 2, 6]) take(choice).giveBack();
  expect(events).toEqual([
    'made 1',
    'made 2',
    'made 3',
    'made 4',
    'made 5',
    'made 6',
    'disposed 3',
  ]);
  used.giveBack();
  expect(events.at(-1)).toBe('disposed 1');
  expect(take(4).drafter.name).toBe('4');
  expect(events.at(-1)).toBe('disposed 1');
  drafters.dispose();
  expect(events.slice(-4).toSorted()).toEqual([
    'disposed 2',
    'disposed 4',
    'disposed 5',
    'disposed 6',
  ]);
});

it('keeps a shared drafter until nobody uses it', () => {
  const { take, events } = watched(true);
  const [first, second] = [take(1), take(1)];
  expect(first.drafter).toBe(second.drafter);
  first.giveBack();
  for (const choice of [2, 3, 4, 5, 6]) take(choice).giveBack();
  expect(events.filter((event) => event.startsWith('disposed'))).toEqual(['disposed 2']);
  second.giveBack();
  expect(events.at(-1)).toBe('disposed 1');
});

it('frees what other models have to draft with a model that is disposed', async () => {
  const alive = new Set<Buffer>();
  const watchedCpu = () => {
    const backend = cpu();
    return {
      ...backend,
      alloc(...given: Parameters<typeof backend.alloc>) {
        const buffer = backend.alloc(...given);
        alive.add(buffer);
        return buffer;
      },
      free(buffer: Buffer) {
        alive.delete(buffer);
        backend.free(buffer);
      },
    };
  };
  const engine = connect(turnTaking({ watched: watchedCpu }));
  const options = { contextLength: 64, backend: { name: 'watched' } };
  const target = await engine.load({ url: '/models/draft' }, options);
  const alone = await target.generate('Once', { maxTokens: 3 });
  const before = alive.size;
  const draft = await engine.load({ url: '/models/draft' }, options);
  const drafter = { kind: 'model', model: draft } as const;
  const { tokens } = await target.generate('Once', { maxTokens: 3, drafter });
  expect(tokens).toEqual(alone.tokens);
  expect(alive.size).toBeGreaterThan(before);
  await draft.dispose();
  expect(alive.size).toBe(before);
  engine.dispose();
});

it('ends a ladder that is measured on a model before it frees the model', async () => {
  const engine = connect(turnTaking());
  const backend = { name: 'wasm', options: { threads: 1 } };
  const model = await engine.load({ url: '/models/draft' }, { contextLength: 64, backend });
  const measured = model.ladder([1, 2], { turns: 1e6 });
  const ended = expect(measured).rejects.toThrow('engine: expected a loaded model, got one that');
  await new Promise((done) => setTimeout(done, 50));
  await model.dispose();
  await ended;
  engine.dispose();
});
