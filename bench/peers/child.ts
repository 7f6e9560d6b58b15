// The process of one peer: opens it as the first message says, then does one task per message and answers with its time.
import type { FailedMessage } from '../child-process.ts';
import { filler } from '../kernels.ts';
import { ADAPTERS } from './adapters.ts';
import { SIZE } from './matrix.ts';
import type { DoneMessage, OpenedMessage, OpenMessage, Task } from './messages.ts';
import type { Adapter, DecoderPeer, MatrixPeer } from './peer.ts';

/** Tokens in the cache before a task. */
const PREFIX = 32;

type Run = (task: Task) => Promise<DoneMessage>;

let run: Run | null = null;

process.on('message', async (message: OpenMessage | Task) => {
  let answer: OpenedMessage | DoneMessage | FailedMessage;
  try {
    if ('peer' in message) {
      const opened = await open(message);
      run = opened.run;
      answer = opened.about;
    } else answer = await run!(message);
  } catch (error) {
    answer = { error: String(error) };
  }
  process.send!(answer);
});

// Without the bench there is nothing to do.
process.on('disconnect', () => process.exit());

async function open({ peer, model, ...options }: OpenMessage) {
  const adapter: Adapter = ADAPTERS[peer];
  if (model === null) {
    const matrix = await adapter.openMatrix!(options);
    return { about: aboutOf(matrix), run: runMatrix(matrix) };
  }
  const decoder = await adapter.openDecoder!(model.file, options);
  // Ids from 300 on are words in every random model.
  const token = (index: number) => 300 + ((97 * index) % (model.vocab - 300));
  await decoder.feed(tokensOf(token, 0, PREFIX), 'last');
  return { about: aboutOf(decoder), run: runDecoder(decoder, token) };
}

const aboutOf = ({ version, build }: OpenedMessage): OpenedMessage => ({ version, build });

const runDecoder =
  (decoder: DecoderPeer, token: (index: number) => number): Run =>
  async ({ kind, count }) => {
    const start = kind === 'prefill' ? 0 : PREFIX;
    const tokens = tokensOf(token, start, start + count);
    const values: number[] = [];
    decoder.truncate(start);
    const check = () => decoder.feed(tokens, 'all');
    // One forward is short: its time is that of the second, since at the first the threads of the engine before may still wait in
    // loops, and its own are asleep.
    if (kind === 'verify') {
      await check();
      decoder.truncate(start);
    }
    const from = performance.now();
    if (kind === 'verify') await check();
    else if (kind === 'prefill') await decoder.feed(tokens, 'last');
    else
      for (const each of tokens) {
        await decoder.feed([each], 'last');
        if (kind === 'results') values.push(await decoder.next());
      }
    const ms = performance.now() - from;
    // A prompt begins with the prefix.
    decoder.truncate(PREFIX);
    return { ms, values };
  };

const runMatrix = (matrix: MatrixPeer): Run => {
  const x = filler(SIZE);
  return async ({ kind, count }) => {
    if (kind === 'results') {
      const y = await matrix.multiply(x);
      return { ms: 0, values: [...y.subarray(0, count)] };
    }
    const from = performance.now();
    for (let i = 0; i < count; i++) await matrix.multiply(x);
    return { ms: performance.now() - from };
  };
};

function tokensOf(token: (index: number) => number, from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => token(from + index));
}
