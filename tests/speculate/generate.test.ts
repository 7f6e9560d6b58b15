// The loop around the verifiers: what is shown, when it stops, what it reports, what it refuses.
import { beforeAll, describe, expect, it } from 'vitest';
import type { LoadedModel } from '../../src/models/load.ts';
import { createTokenizer } from '../../src/models/tokenizer.ts';
import type { Drafter, DraftRequest } from '../../src/speculate/drafter.ts';
import { draftModel } from '../../src/speculate/drafters/model.ts';
import { pointDraw } from '../../src/speculate/drawn.ts';
import { generate, type Target, type Token } from '../../src/speculate/generate.ts';
import type { GenerateOptions } from '../../src/speculate/options.ts';
import { argmax, logSoftmaxAt } from '../../src/speculate/sample.ts';
import { Session } from '../../src/speculate/session.ts';
import type { Verifier, VerifyInput } from '../../src/speculate/verifier.ts';
import { greedy } from '../../src/speculate/verifiers/greedy.ts';
import { tolerant } from '../../src/speculate/verifiers/tolerant.ts';
import {
  decodeWithoutCache,
  demo,
  logitsWithoutCache,
  oracleDrafter,
  tinyTarget,
} from './fixtures.ts';

const PROMPT = [1, 5, 9, 5, 9, 5];
let target: Target;
let text: number[];
/** Drafts the true continuation, so that blocks are as long as they can be. */
let oracle: () => Drafter;

beforeAll(async () => {
  target = await tinyTarget('llama', { contextLength: 48 });
  text = await decodeWithoutCache(target.model, PROMPT, 24, argmax);
  oracle = () => oracleDrafter([...PROMPT, ...text], 99, 64, pointDraw);
});

const filler = (count: number) => Array.from({ length: count }, (_, index) => `<${index}>`);

async function collect(options: GenerateOptions): Promise<Token[]> {
  const tokens: Token[] = [];
  for await (const token of generate(target, PROMPT, options)) tokens.push(token);
  return tokens;
}

describe('a generation', () => {
  it('gives each token with its id, text, logprob and place in its block', async () => {
    const tokens = await collect({
      maxTokens: 8,
      drafter: oracle(),
      draftLength: 3,
      ignoreEos: true,
    });
    expect(tokens.map(({ id }) => id)).toEqual(text.slice(0, 8));
    expect(tokens.map(({ blockIndex }) => blockIndex)).toEqual([0, 1, 2, 3, 0, 1, 2, 3]);
    expect(tokens.map(({ drafted }) => drafted)).toEqual([
      true,
      true,
      true,
      false,
      true,
      true,
      true,
      false,
    ]);
    expect(tokens.map((token) => token.text)).toEqual(text.slice(0, 8).map((id) => `<${id}>`));
    for (const [index, token] of tokens.entries()) {
      const logits = await logitsWithoutCache(target.model, [...PROMPT, ...text.slice(0, index)]);
      expect(token.logprob).toBe(logSoftmaxAt(logits, token.id));
    }
  });

  it('gives a verifier that asks for them the probabilities at temperature 0', async () => {
    const common = { maxTokens: 12, ignoreEos: true, draftLength: 3 };
    const wrong = () => oracleDrafter([...PROMPT, ...text], 0, 64, pointDraw);
    const exact = await generate(target, PROMPT, {
      ...common,
      drafter: wrong(),
      verifier: tolerant(64, 0),
    });
    expect(exact.tokens).toEqual(text.slice(0, 12));
    // Anything is near enough then, so every draft is accepted, and what follows it is the target's best.
    const anything = tolerant(64, Number.POSITIVE_INFINITY);
    const { tokens, stats } = await generate(target, PROMPT, {
      ...common,
      drafter: wrong(),
      verifier: anything,
    });
    expect(stats.acceptedTokens).toBe(stats.draftedTokens);
    expect(stats.draftedTokens).toBeGreaterThan(0);
    const logits = await logitsWithoutCache(target.model, [...PROMPT, ...tokens.slice(0, 3)]);
    expect(tokens[3]).toBe(argmax(logits));
    // Truncation is of no temperature 0, and leaves the probabilities whole.
    const truncated = await generate(target, PROMPT, {
      ...common,
      topK: 1,
      drafter: wrong(),
      verifier: anything,
    });
    expect(truncated.stats.acceptedTokens).toBe(truncated.stats.draftedTokens);
  });

  it('drafts nothing where the drafter has no token that is allowed', async () => {
    const half: Drafter = {
      name: 'half a vocabulary',
      draft(request) {
        const logits = new Float32Array(64).fill(Number.NEGATIVE_INFINITY).fill(1, 0, 8);
        const law = request.law(logits, request.tokens);
        return { tokens: request.draw(law, request.tokens.length, 2), parents: [-1, -1] };
      },
    };
    const logitBias = Object.fromEntries(
      Array.from({ length: 8 }, (_, token) => [token, Number.NEGATIVE_INFINITY]),
    );
    for (const temperature of [0, 1]) {
      const options = { maxTokens: 6, ignoreEos: true, temperature, logitBias };
      const plain = await generate(target, PROMPT, options);
      const drafter = {
        ...half,
        draft: async (request: DraftRequest) => {
          const { tokens } = await half.draft(request);
          return tokens.length > 0 ? { tokens, parents: [-1, -1] } : { tokens };
        },
      };
      const { tokens, stats } = await generate(target, PROMPT, {
        ...options,
        drafter,
        draftLength: 2,
      });
      expect(tokens).toEqual(plain.tokens);
      expect(stats.draftedTokens).toBe(0);
    }
  });

  it('takes verifiers that are instances, watched or not', async () => {
    class Mine implements Verifier {
      readonly name = 'mine';
      readonly guarantee = 'bit-exact';
      draw(...given: Parameters<Verifier['draw']>) {
        return greedy.draw(...given);
      }
      verify(input: VerifyInput) {
        return greedy.verify(input);
      }
    }
    const options = { maxTokens: 6, ignoreEos: true, drafter: oracle(), draftLength: 2 };
    for (const onRound of [undefined, () => {}]) {
      const verifier = new Mine();
      const { tokens } = await generate(target, PROMPT, { ...options, verifier, onRound });
      expect(tokens).toEqual(text.slice(0, 6));
    }
  });

  it('can be awaited, iterated once, and asked for its result after the iteration', async () => {
    const options: GenerateOptions = { maxTokens: 5, ignoreEos: true };
    const awaited = await generate(target, PROMPT, options);
    expect(awaited.tokens).toEqual(text.slice(0, 5));
    const generation = generate(target, PROMPT, options);
    let shown = '';
    for await (const token of generation) shown += token.text;
    const result = await generation;
    expect(result.text).toBe(shown);
    expect({ ...result, stats: null }).toEqual({ ...awaited, stats: null });
    expect(result.usage).toEqual({ promptTokens: 6, cachedTokens: 0, completionTokens: 5 });
    expect(() => generation[Symbol.asyncIterator]()).toThrow('expected one consumer');
  });

  it('ends when its iteration is left, and gives back its cache', async () => {
    using session = new Session(target.model);
    const generation = generate(target, PROMPT, { session, ignoreEos: true });
    for await (const _ of generation) break;
    const { tokens, finishReason } = await generation.result;
    expect(tokens).toEqual(text.slice(0, 1));
    expect(finishReason).toBe('abort');
  });

  it.each([1, 2, 3, 4, 5, 6, 7])(
    'stops at maxTokens %i, also in the middle of a block',
    async (maxTokens) => {
      const { tokens, finishReason, stats } = await generate(target, PROMPT, {
        maxTokens,
        drafter: oracle(),
        draftLength: 3,
        ignoreEos: true,
      });
      expect(tokens).toEqual(text.slice(0, maxTokens));
      expect(finishReason).toBe('length');
      expect(stats.acceptedTokens).toBe(maxTokens - stats.targetForwards);
    },
  );

  it('stops at a stop token in the middle of a block and shows nothing of it or after it', async () => {
    const at = text.findIndex((id, index) => index >= 5 && text.indexOf(id) === index);
    const options: GenerateOptions = {
      stopTokens: [text[at]],
      drafter: oracle(),
      draftLength: 4,
      ignoreEos: true,
    };
    const result = await generate(target, PROMPT, options);
    expect(result.tokens).toEqual(text.slice(0, at + 1));
    expect(result.text).toBe(
      text
        .slice(0, at)
        .map((id) => `<${id}>`)
        .join(''),
    );
    expect(result).toMatchObject({ finishReason: 'stop', stop: null });
  });

  it('stops at a stop string that spans tokens of a block', async () => {
    const stop = `${text[5]}><${text[6]}`;
    const full = text.map((id) => `<${id}>`).join('');
    const tokens = await collect({
      stop: ['never', stop],
      drafter: oracle(),
      draftLength: 4,
      ignoreEos: true,
    });
    expect(tokens.map((token) => token.text).join('')).toBe(full.slice(0, full.indexOf(stop)));
    const result = await generate(target, PROMPT, { stop, ignoreEos: true });
    expect(result).toMatchObject({
      finishReason: 'stop',
      stop,
      text: full.slice(0, full.indexOf(stop)),
    });
  });

  it('shows what it held back for a stop string that did not come', async () => {
    const full = text
      .slice(0, 4)
      .map((id) => `<${id}>`)
      .join('');
    const stop = `${full.slice(-3)}never`;
    const tokens = await collect({ maxTokens: 4, stop, ignoreEos: true });
    expect(tokens.map((token) => token.text).join('')).toBe(full);
  });

  it('stops at the context and clips drafts to it', async () => {
    const reach = { drafter: draftModel(target.model), draftLength: 9, ignoreEos: true };
    const { tokens, finishReason } = await generate(target, PROMPT, reach);
    expect(tokens).toHaveLength(48 - PROMPT.length);
    expect(finishReason).toBe('length');
    expect(tokens).toEqual((await generate(target, PROMPT, { ignoreEos: true })).tokens);
  });

  it('stops drafting at the context of the drafter and goes on without it', async () => {
    const draft = await tinyTarget('llama-mha', { contextLength: 12 });
    const options = {
      drafter: draftModel(draft.model),
      draftLength: 4,
      ignoreEos: true,
      maxTokens: 20,
    };
    expect((await generate(target, PROMPT, options)).tokens).toEqual(text.slice(0, 20));
  });

  it('throws the reason of an abort, or returns what there is', async () => {
    const reason = new Error('enough');
    const until = (count: number, onAbort: 'throw' | 'return') => {
      const controller = new AbortController();
      let seen = 0;
      const drafter: Drafter = {
        name: 'counting',
        draft() {
          seen += 1;
          if (seen > count) controller.abort(reason);
          return { tokens: [] };
        },
      };
      return generate(target, PROMPT, {
        drafter,
        draftLength: 1,
        signal: controller.signal,
        onAbort,
        ignoreEos: true,
      });
    };
    await expect(until(3, 'throw')).rejects.toBe(reason);
    const { tokens, finishReason } = await until(3, 'return');
    expect(finishReason).toBe('abort');
    expect(tokens).toEqual(text.slice(0, 3));
  });

  it('reuses the cache of a session for a prompt that goes on', async () => {
    using session = new Session(target.model);
    const first = await generate(target, PROMPT, { session, maxTokens: 6, ignoreEos: true });
    const prompt = [...PROMPT, ...first.tokens, 7, 8];
    const second = await generate(target, prompt, { session, maxTokens: 6, ignoreEos: true });
    // The last token of the first call was emitted, not computed.
    expect(second.usage.cachedTokens).toBe(PROMPT.length + 5);
    expect(second.tokens).toEqual(
      (await generate(target, prompt, { maxTokens: 6, ignoreEos: true })).tokens,
    );
  });

  it('shares a drafter and a session with another that runs at the same time', async () => {
    const alone = await generate(target, PROMPT, { maxTokens: 12, ignoreEos: true });
    const other = await generate(target, [7, 7, 2], { maxTokens: 12, ignoreEos: true });
    const drafter = draftModel(target.model, { branching: [2, 1] });
    using session = new Session(target.model);
    const options = { drafter, draftLength: 4, session, maxTokens: 12, ignoreEos: true };
    const [first, second] = await Promise.all([
      generate(target, PROMPT, options),
      generate(target, [7, 7, 2], options),
    ]);
    expect(first.tokens).toEqual(alone.tokens);
    expect(second.tokens).toEqual(other.tokens);
    drafter.dispose?.();
  });

  it('goes on where the prompt ends, with the space that a text of its own would lose', async () => {
    const words = ['\u2581one', '\u2581two', '\u2581three'];
    const vocab = Object.fromEntries([...words, ...filler(61)].map((word, id) => [word, id]));
    const tokenizer = createTokenizer({
      tokenizerJson: {
        added_tokens: [],
        normalizer: null,
        pre_tokenizer: null,
        post_processor: null,
        model: { type: 'BPE', vocab, merges: [] },
        decoder: { type: 'Metaspace', replacement: '\u2581', prepend_scheme: 'always' },
      },
    });
    const bias = { logitBias: { 1: 1000 }, maxTokens: 2, ignoreEos: true };
    const { text } = await generate({ model: target.model, tokenizer }, [0], bias);
    expect(text).toBe(' two two');
    expect(tokenizer.decode([0, 1, 1])).toBe(`one${text}`);
  });

  it('fails when its session cannot be made, and settles when it is left before it begins', async () => {
    const gone = await tinyTarget('llama');
    const left = generate(gone, PROMPT)[Symbol.asyncIterator]();
    const early = generate(gone, PROMPT);
    await early[Symbol.asyncIterator]().return?.();
    expect((await early.result).finishReason).toBe('abort');
    gone.model.dispose();
    await expect(generate(gone, PROMPT)).rejects.toThrow('expected a model, got a disposed one');
    await expect(left.next()).rejects.toThrow('expected a model, got a disposed one');
  });

  it('counts what it did', async () => {
    const { stats } = await generate(target, PROMPT, {
      maxTokens: 12,
      drafter: oracle(),
      draftLength: 3,
      ignoreEos: true,
    });
    expect(stats).toMatchObject({
      targetForwards: 3,
      targetRows: 6 + 3 + 1 + 3 + 1 + 3,
      drafts: 3,
      draftedTokens: 9,
      acceptedTokens: 9,
      draftedByPosition: [3, 3, 3],
      acceptedByPosition: [3, 3, 3],
      tokensPerForward: 4,
      meanAcceptedLength: 3,
    });
    expect(stats.totalMs).toBeGreaterThanOrEqual(stats.firstTokenMs);
  });

  describe('on a device', () => {
    /** The same model, whose results are said to be far; with a list of what its caches were asked for. */
    const far = () => {
      const asked: (boolean | undefined)[] = [];
      const { model } = target;
      const report = { ...model.report, deviceMemory: true };
      const createCache: typeof model.createCache = (options) => {
        asked.push(options?.argmax);
        return model.createCache(options);
      };
      return { asked, target: { ...target, model: { ...model, report, createCache } } };
    };

    it('has greedy choices made there, with the same tokens and logprobs', async () => {
      const options = { maxTokens: 12, drafter: oracle(), draftLength: 3, ignoreEos: true };
      const expected = await collect(options);
      const there = far();
      const tokens: Token[] = [];
      for await (const token of generate(there.target, PROMPT, options)) tokens.push(token);
      expect(there.asked).toEqual([true]);
      expect(tokens.map(({ id, drafted }) => [id, drafted])).toEqual(
        expected.map(({ id, drafted }) => [id, drafted]),
      );
      for (const [index, { logprob }] of tokens.entries())
        expect(logprob).toBeCloseTo(expected[index].logprob, 5);
    });

    it.each([
      { temperature: 0.5 },
      { repetitionPenalty: 1.1 },
      { presencePenalty: 0.1 },
      { frequencyPenalty: 0.1 },
      { logitBias: { 3: 1 } },
    ])('reads whole rows for %j', async (options) => {
      const there = far();
      const settings = { maxTokens: 6, ignoreEos: true, ...options };
      const { tokens } = await generate(there.target, PROMPT, settings);
      expect(there.asked).toEqual([undefined]);
      expect(tokens).toEqual((await generate(target, PROMPT, settings)).tokens);
      using session = new Session(target.model, { argmax: true });
      expect(() => generate(target, PROMPT, { ...settings, session })).toThrow(
        'generate: expected greedy decoding without penalties with a session whose cache has argmax',
      );
    });
  });

  it('hands the drafter hidden states of every committed position, once, in order', async () => {
    const widths: number[] = [];
    const lengths: number[] = [];
    const drafter: Drafter = {
      name: 'tapped',
      taps: [1],
      draft({ tokens, hidden = [], maxDepth }) {
        widths.push(...hidden.map((state) => state.length));
        lengths.push(tokens.length);
        return oracle().draft({ tokens, maxDepth } as Parameters<Drafter['draft']>[0]);
      },
    };
    await generate(target, PROMPT, { drafter, maxTokens: 9, draftLength: 2, ignoreEos: true });
    const { width } = target.model.config;
    // All but the last committed token: that one has not been computed yet when the drafter is asked.
    expect(widths).toEqual(Array.from({ length: lengths[lengths.length - 1] - 1 }, () => width));
  });
});

describe('a generation of the embedded model', () => {
  it('ends at the end token unless told to go on, and streams text', async () => {
    const story: LoadedModel = await demo('target');
    const options: GenerateOptions = { maxTokens: 480 };
    const generation = generate(story, 'Once upon a time', options);
    let shown = '';
    for await (const token of generation) shown += token.text;
    const { text: whole, finishReason, tokens } = await generation;
    expect(shown).toBe(whole);
    expect(finishReason).toBe('stop');
    expect(story.model.config.eosTokens).toContain(tokens[tokens.length - 1]);
    expect(whole).toMatch(/^, there was a little girl named Lily\./);
    const stop = await generate(story, 'Once upon a time', { ...options, stop: 'Lily' });
    expect(stop.text).toBe(', there was a little girl named ');
    story.dispose();
  }, 60_000);
});

describe('generate refuses', () => {
  it.each<[string, unknown, string]>([
    ['an unknown option', { temprature: 1 }, 'temprature'],
    ['a wrong type', { maxTokens: 1.5 }, 'maxTokens'],
    [
      'the greedy verifier at a temperature',
      { temperature: 1, verifier: greedy },
      'expected temperature 0',
    ],
    ['an empty stop string', { stop: '' }, 'stop'],
  ])('%s', (_, options, message) => {
    expect(() => generate(target, PROMPT, options as GenerateOptions)).toThrow(message);
  });

  it('an empty prompt and one that fills the context', () => {
    expect(() => generate(target, [])).toThrow(
      'generate: expected a prompt of at least one token, got none',
    );
    expect(() => generate(target, Array(48).fill(1))).toThrow(
      'expected a prompt below the context of 48 tokens, got 48',
    );
  });

  it('a session of another model', async () => {
    const other = await tinyTarget('llama-mha');
    using session = new Session(other.model);
    expect(() => generate(target, PROMPT, { session })).toThrow(
      'expected a session of the target model',
    );
  });

  it('tokens outside the vocabulary', async () => {
    await expect(generate(target, [1, 64])).rejects.toThrow(
      'forward: expected token ids from 0 to 63, got 64',
    );
  });

  it('a draft that is longer than asked for, and one whose parents are no tree', async () => {
    const drafter = (parents?: number[]): Drafter => ({
      name: 'wrong',
      draft: () => ({ tokens: [1, 2, 3].map(pointDraw), parents }),
    });
    await expect(generate(target, PROMPT, { drafter: drafter(), draftLength: 2 })).rejects.toThrow(
      'expected at most 2 tokens',
    );
    await expect(
      generate(target, PROMPT, { drafter: drafter([-1, 5, 0]), draftLength: 4 }),
    ).rejects.toThrow('parent');
  });

  it('what is no draft, and what is no prompt', async () => {
    for (const draft of [null, { tokens: [7] }, { tokens: [{ token: 7 }] }])
      await expect(
        generate(target, PROMPT, {
          drafter: { name: 'wrong', draft: () => draft as never },
          draftLength: 4,
        }),
      ).rejects.toThrow('drafter wrong: expected { tokens, parents }');
    for (const prompt of [undefined, 5, { messages: 'hello' }])
      expect(() => generate(target, prompt as never)).toThrow(
        'generate: expected a prompt that is text, token ids or { messages: [...] }, got',
      );
  });
});
