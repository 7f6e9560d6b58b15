// Worked examples by hand: vocabularies, which rows a head computes and sees, and when a draft is accepted. (Masks of windows, steps
// of DSpark and constants of MLP speculators are asserted beside their heads.)
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { reference } from '../../../src/kernels/reference/index.ts';
import { SlotPool, SlotSequence } from '../../../src/models/cache.ts';
import type { Decoder } from '../../../src/models/decoder.ts';
import { loadModel } from '../../../src/models/load.ts';
import type { Segment } from '../../../src/models/model.ts';
import { createRowBuffers, fillRows, rowsOf } from '../../../src/models/rows.ts';
import type { Drafter } from '../../../src/speculate/drafter.ts';
import { lawDraw, pointDraw } from '../../../src/speculate/drawn.ts';
import { argmax, point } from '../../../src/speculate/sample.ts';
import type { DecoderHead } from '../../../src/speculate/speculators/head.ts';
import { Speculator } from '../../../src/speculate/speculators/load.ts';
import { readVocabulary, writeVocabulary } from '../../../src/speculate/speculators/vocabulary.ts';
import { rejection } from '../../../src/speculate/verifiers/rejection.ts';
import { openCheckpoint, writeSafetensors } from '../../../src/tensor/safetensors.ts';
import { memorySource } from '../../../src/tensor/source.ts';
import { probs } from '../laws.ts';
import { rowOf, scripted } from '../scripted.ts';
import { MASK, peagleHead } from './eagle-heads.ts';

const golden = (path: string) => fileURLToPath(new URL(`../../golden/${path}`, import.meta.url));

describe('a vocabulary of some of the tokens', () => {
  it.each([
    { ids: [1, 4, 5, 8], d2t: [1, 3, 3, 5], t2d: [0, 1, 0, 0, 1, 1, 0, 0, 1, 0] },
    { ids: [0, 1, 2, 7], d2t: [0, 0, 0, 4], t2d: [1, 1, 1, 0, 0, 0, 0, 1, 0, 0] },
  ])('is written as offsets $d2t and a mask, and read again', async ({ ids, d2t, t2d }) => {
    const tensors = writeVocabulary(Int32Array.from(ids), { vocab: 10 });
    const [offsets, mask] = tensors.map(({ data }) => data as Uint8Array);
    expect([...new BigInt64Array(offsets.buffer)].map(Number)).toEqual(d2t);
    expect([...mask]).toEqual(t2d);
    const file = writeSafetensors(tensors);
    const checkpoint = await openCheckpoint(memorySource({ 'model.safetensors': file }, 'head'));
    const found = await readVocabulary(checkpoint, { file: 'head', draftVocab: 4, vocab: 10 });
    expect([...found!]).toEqual(ids);
  });
});

/** What a forward computed: tokens, and where they are. */
interface Computed {
  readonly tokens: readonly number[];
  readonly positions: readonly number[];
}

/** Lists what the model of a head computes. */
function watch(head: DecoderHead): Computed[] {
  const computed: Computed[] = [];
  const { forward } = head.model;
  const watched: typeof forward = (cache, segments, options) => {
    for (const { sequence, tokens, draft } of segments as readonly Segment[]) {
      const nodes = draft?.tokens ?? [];
      if (draft?.parents?.some((parent, node) => parent !== node - 1))
        throw new Error('expected a chain');
      const positions = [...tokens, ...nodes].map((_, row) => sequence.length + row);
      computed.push({
        tokens: [...tokens, ...nodes],
        positions,
      });
    }
    return forward(cache, segments, options);
  };
  Object.assign(head.model, { forward: watched });
  return computed;
}

describe('rows of a head', () => {
  let verifier: Decoder;
  beforeAll(async () => {
    const backend = reference();
    verifier = await loadModel(golden('tiny-random-llama-8l'), { backend, contextLength: 64 });
  });
  afterAll(() => verifier.dispose());

  const states = (count: number, head: DecoderHead) =>
    Array.from({ length: count }, (_, at) =>
      Float32Array.from({ length: head.taps.length * 32 }, (_each, i) => Math.sin(i + 7 * at)),
    );
  /** A draft of three, and the tokens of it. */
  const draftOf = async (drafter: Drafter, tokens: number[], hidden: Float32Array[]) => {
    const { tokens: drawn } = await drafter.draft({
      tokens,
      hidden,
      maxTokens: 3,
      maxDepth: 3,
      law: (row) => point(argmax(row)),
      draw: (law) => [pointDraw('point' in law ? law.point : 0)],
    });
    return drawn.map(({ token }) => token);
  };

  it('of EAGLE-3 pair every token with the state before it, and go on where the text does', async () => {
    using speculator = await Speculator.fromPretrained(golden('heads/eagle3'), { verifier });
    const head = speculator.head as DecoderHead;
    const computed = watch(head);
    const drafter = speculator.drafter();
    const text = [11, 12, 13, 14, 15, 16];
    const hidden = states(7, head);
    const [d1, d2] = await draftOf(drafter, text, hidden.slice(0, 5));
    const pairs = { tokens: text.slice(1), positions: [0, 1, 2, 3, 4] };
    expect(computed).toEqual([
      pairs,
      { tokens: [d1], positions: [5] },
      { tokens: [d2], positions: [6] },
    ]);
    // d1 was accepted, d2 was not: two tokens more, and two states.
    computed.length = 0;
    const recovered = (d2 + 1) % 64;
    await draftOf(drafter, [...text, d1, recovered], hidden.slice(5));
    expect(computed[0]).toEqual({ tokens: [d1, recovered], positions: [5, 6] });
    drafter.dispose?.();
  });

  it('of P-EAGLE are the pairs and a masked place for every further token, in one run', async () => {
    using speculator = await Speculator.fromPretrained(await peagleHead(), { verifier });
    const head = speculator.head as DecoderHead;
    const computed = watch(head);
    const drafter = speculator.drafter();
    const drawn = await draftOf(drafter, [11, 12, 13, 14, 15, 16], states(5, head));
    expect(drawn).toHaveLength(3);
    expect(computed).toEqual([
      {
        tokens: [12, 13, 14, 15, 16, MASK, MASK],
        positions: [0, 1, 2, 3, 4, 5, 6],
      },
    ]);
    drafter.dispose?.();
  });

  it('of DFlash see the base before the anchor and all of the block; within a window those up to their own', () => {
    const sequence = new SlotSequence(new SlotPool(9));
    sequence.extend(3, []);
    const draft = { tokens: [5, MASK, MASK], mutual: true };
    const rows = rowsOf([{ sequence, tokens: [], draft }], 64, 'causal');
    expect(rows.map(({ position }) => position)).toEqual([3, 4, 5]);
    const { inputs } = fillRows(createRowBuffers(9, 9, [2]), rows);
    const seenBy = (starts: Int32Array, counts: Int32Array) =>
      [...starts].map((start, row) => [...inputs.visible.slice(start, start + counts[row])]);
    // Slots are in order here, so those of the block are 3, 4 and 5.
    const all = [0, 1, 2, 3, 4, 5];
    expect(seenBy(inputs.starts, inputs.counts)).toEqual([all, all, all]);
    const windowed: Record<string, Int32Array> = inputs;
    expect(seenBy(windowed.starts2, windowed.counts2)).toEqual([
      [1, 2, 3],
      [1, 2, 3, 4],
      [1, 2, 3, 4, 5],
    ]);
  });
});

describe('a draft', () => {
  const target = [0.3, 0.5, 0.2, 0];

  it('is accepted with p / q, else what p has more of is drawn', () => {
    const { noise, thresholds, picks } = scripted([0.5], 0);
    const tokens = [lawDraw(0, probs([0.6, 0.1, 0.3, 0]))];
    rejection.verify({ draft: { tokens }, law: () => probs(target), position: 0, noise });
    expect(thresholds).toEqual([0.5]);
    expect(rowOf(picks[0])).toEqual([0, 1, 0, 0]);
  });

  it('that was chosen is accepted with p, else p without it is drawn', () => {
    const { noise, thresholds, picks } = scripted([0.3], 0);
    const tokens = [pointDraw(0)];
    rejection.verify({ draft: { tokens }, law: () => probs(target), position: 0, noise });
    expect(thresholds).toEqual([0.3]);
    expect(rowOf(picks[0])).toEqual([0, 0.714286, 0.285714, 0]);
  });
});
