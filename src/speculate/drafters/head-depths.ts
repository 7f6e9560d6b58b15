// Passes of a head without attention: a step knows its depth, the token before and a state, so there is nothing to keep and
// nothing to roll back. The text counts by its last token and the state that it was drawn from.
import type { DepthHead } from '../speculators/head.ts';
import type { Pair, Pass, Passes } from './passes.ts';
import { widened } from './widened.ts';

/** Passes of `head`, all rows of a level in one run. */
export function createDepths({ fuse, pass, targetIds, vocab, steps }: DepthHead): Passes {
  const run = async (
    depth: number,
    pairs: readonly Pair[],
    signal: AbortSignal | undefined,
  ): Promise<Pass[]> =>
    (await pass(depth, pairs, signal)).map(({ logits, state }) => ({
      logits: widened(logits, targetIds, vocab),
      state,
    }));
  return {
    async begin({ tokens, hidden = [], signal }) {
      const last = hidden.at(-1);
      if (last === undefined) return null;
      const [state] = await fuse([last]);
      const [root] = await run(0, [{ token: tokens[tokens.length - 1], state }], signal);
      return { root, levels: steps };
    },
    async push(pair, depth, signal) {
      const [next] = await run(depth, [pair], signal);
      return next;
    },
    feed: (nodes, { first, depth }, signal) => run(depth, nodes.slice(first), signal),
    // The last one is all it reads.
    known: () => Number.POSITIVE_INFINITY,
    dispose() {},
  };
}
