// Heads and models on a backend that runs out of room: wherever it does, what was there before is all that is left.
import { expect, it } from 'vitest';
import type { Backend } from '../../../src/kernels/backend.ts';
import { cpu } from '../../../src/kernels/cpu/index.ts';
import type { Buffer } from '../../../src/kernels/plan.ts';
import { loadModel } from '../../../src/models/load.ts';
import { generate } from '../../../src/speculate/generate.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import { spelled } from '../fixtures.ts';
import { golden, TARGET } from './research.ts';

/** A backend that has room for so many buffers more, and knows how many there are. */
function limited() {
  const inner = cpu();
  const buffers = new Set<Buffer>();
  let room = Number.POSITIVE_INFINITY;
  let taken = 0;
  const backend: Backend = {
    ...inner,
    alloc(...given) {
      if (taken === room) throw new Error('no room');
      taken += 1;
      const buffer = inner.alloc(...given);
      buffers.add(buffer);
      return buffer;
    },
    free(buffer) {
      // Once each.
      if (!buffers.delete(buffer)) throw new Error('freed what is not there');
      inner.free(buffer);
    },
  };
  return {
    backend,
    buffers,
    limit(more: number) {
      room = more;
      taken = 0;
    },
    taken: () => taken,
  };
}

it.each(['mtp-qwen3-next', 'mtp-deepseek-v3', 'eagle3'])(
  'a head gives back everything wherever its backend has no more room: %s',
  async (name) => {
    const { backend, buffers, limit, taken } = limited();
    const model = await loadModel(TARGET, { backend, contextLength: 64 });
    const before = buffers.size;
    const draft = async () => {
      using speculator = await Speculator.fromPretrained(golden(`heads/${name}`), {
        verifier: model,
      });
      const drafter = speculator.drafter();
      const options = { drafter, draftLength: 2, maxTokens: 6, ignoreEos: true } as const;
      try {
        await generate({ model, tokenizer: spelled }, [1, 5, 9, 33], options);
      } finally {
        drafter.dispose?.();
      }
    };
    limit(Number.POSITIVE_INFINITY);
    await draft();
    expect(buffers.size).toBe(before);
    const all = taken();
    for (let room = 0; room < all; room++) {
      limit(room);
      await expect(draft()).rejects.toThrow('no room');
      expect([room, buffers.size]).toEqual([room, before]);
    }
    limit(all);
    await draft();
    model.dispose();
    expect(buffers.size).toBe(0);
  },
);

it('a model gives back everything wherever its backend has no more room', async () => {
  const { backend, buffers, limit, taken } = limited();
  const loaded = () => loadModel(TARGET, { backend, contextLength: 64 });
  (await loaded()).dispose();
  const all = taken();
  for (let room = 0; room < all; room++) {
    limit(room);
    await expect(loaded()).rejects.toThrow('no room');
    expect([room, buffers.size]).toEqual([room, 0]);
  }
});
