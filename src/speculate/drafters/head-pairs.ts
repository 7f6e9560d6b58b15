// Passes of a head of decoder layers. Pair i of its cache is the token at position i + 1 with the state of position i; drafted pairs carry
// the head's own states and are forgotten when their tokens have been judged.
import type { Cache, Sequence } from '../../models/model.ts';
import type { DraftRequest } from '../drafter.ts';
import { slotsFor } from '../limits.ts';
import type { DecoderHead } from '../speculators/head.ts';
import type { Node, Pass, Passes } from './passes.ts';
import { widened } from './widened.ts';

/** Passes, and what heads that draft in one pass begin with. */
export interface Pairs extends Passes {
  /**
   * Feeds the pairs of the text that are new, and nodes after them; what the last pair gives and what they give, or nothing where
   * states are missing.
   */
  catchUp(
    request: DraftRequest,
    nodes: readonly Node[],
    mutual?: boolean,
  ): Promise<readonly Pass[]>;
}

/** Passes of `head` with a cache of its own. */
export function createPairs({ model, fuse, targetIds, vocab, block }: DecoderHead): Pairs {
  // Heads with a block tell states of the target from its places by a further number.
  const fuseAll = async (hidden: readonly Float32Array[]): Promise<readonly Float32Array[]> => {
    const states = await fuse(hidden);
    if (block === undefined) return states;
    return states.map((state) => {
      const told = new Float32Array(state.length + 1);
      told.set(state);
      return told;
    });
  };
  let cache: Cache | undefined;
  let sequence: Sequence | undefined;
  /** Tokens of the cached pairs that have states of the target. */
  let tokens: number[] = [];
  const passOf = (logits: Float32Array, state: Float32Array): Pass => ({
    logits: widened(logits, targetIds, vocab),
    state,
  });
  const open = () => {
    cache ??= model.createCache({ taps: [0], slots: slotsFor(model) });
    sequence ??= cache.sequence();
    return { cache, sequence };
  };
  const known = (text: readonly number[]): number => {
    let common = 0;
    while (common < tokens.length && tokens[common] === text[common + 1]) common++;
    return common;
  };
  async function catchUp(
    { tokens: text, hidden = [], signal }: DraftRequest,
    nodes: readonly Node[],
    mutual = false,
  ): Promise<readonly Pass[]> {
    const { cache, sequence } = open();
    // The states end with that of the last token but one.
    const from = text.length - 1 - hidden.length;
    const common = Math.min(known(text), from);
    sequence.truncate(common);
    tokens.length = common;
    if (common < from || hidden.length === 0) return [];
    const states = await fuseAll(hidden);
    const added = text.slice(from + 1);
    const draft = mutual ? { tokens: nodes.map(({ token }) => token), mutual } : draftOf(nodes);
    const drafted = nodes.map(({ state }) => state);
    // Rows that see each other have to be in one run.
    const apart = mutual && added.length + nodes.length > model.maxRows;
    const segments = apart
      ? [
          { sequence, tokens: added, states },
          { sequence, tokens: [], draft, states: drafted },
        ]
      : [{ sequence, tokens: added, draft, states: [...states, ...drafted] }];
    const logits: Float32Array[] = [];
    const found: Float32Array[] = [];
    for (const segment of segments) {
      const result = await model.forward(cache, [segment], { signal });
      logits.push(...result.logits);
      found.push(...result.hidden);
    }
    tokens.push(...added);
    return logits.map((row, index) => passOf(row, found[index]));
  }
  return {
    catchUp,
    known,
    async begin(request) {
      const [root] = await catchUp(request, []);
      return root === undefined ? null : { root, levels: Number.POSITIVE_INFINITY };
    },
    async push({ token, state }, _, signal) {
      const { cache, sequence } = open();
      const segment = { sequence, tokens: [token], states: [state] };
      const { logits, hidden } = await model.forward(cache, [segment], { signal });
      return passOf(logits[0], hidden[0]);
    },
    async feed(nodes, { first }, signal) {
      const { cache, sequence } = open();
      sequence.truncate(tokens.length);
      const draft = draftOf(nodes);
      const states = nodes.map(({ state }) => state);
      const keep = Array.from({ length: nodes.length - first }, (_, at) => first + at);
      const segment = { sequence, tokens: [], draft, states, keep };
      const { logits, hidden } = await model.forward(cache, [segment], { signal });
      return logits.map((row, at) => passOf(row, hidden[at]));
    },
    dispose() {
      sequence?.free();
      cache?.dispose();
      sequence = undefined;
      cache = undefined;
      tokens = [];
    },
  };
}

const draftOf = (nodes: readonly Node[]) => ({
  tokens: nodes.map(({ token }) => token),
  parents: nodes.map(({ parent }) => parent),
});
