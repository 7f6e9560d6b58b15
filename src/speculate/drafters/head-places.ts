// Passes of a head that drafts in one: with places after the text, of a token and a state of their own (P-EAGLE), or a block whose places
// see each other (DFlash). The logits of a level are there before any token is drawn, and the same for all nodes of it; unless places
// look at the token before (DSpark), which takes a small step for every node.
import type { DraftRequest } from '../drafter.ts';
import type { DecoderHead, Step } from '../speculators/head.ts';
import { createPairs } from './head-pairs.ts';
import type { Node, Pair, Pass, Passes } from './passes.ts';

/** Passes of `head`; a chain ends where the head holds its acceptance less probable than `confidence`. */
export function createPlaces(head: DecoderHead, confidence: number): Passes {
  const pairs = createPairs(head);
  /** Of this draft: what the pass gave, by level; and the probability that all of a chain is accepted. */
  let levels: readonly Pass[] = [];
  let likely = 1;
  /** What follows a token at a level; the state that goes with it is what the step left. */
  const follow = async (
    { token, state }: Pick<Pair, 'token'> & { readonly state: Float32Array | null },
    level: number,
  ) => {
    const { logits, state: place } = levels[level];
    if (head.step === undefined) return { pass: levels[level], confidence: null };
    const step = await head.step(token, place, state);
    return {
      pass: { logits: biased(logits, step, head.targetIds), state: step.memory },
      confidence: step.confidence,
    };
  };
  return {
    async begin(request) {
      const { nodes, first, mutual } = await placesOf(head, request);
      // A block that reaches past the context is none.
      const end = request.tokens.length - 1 + nodes.length;
      if (end > head.contextLength) return null;
      const found = await pairs.catchUp(request, nodes, mutual);
      levels = found.slice(first);
      if (levels.length === 0) return null;
      const token = request.tokens[request.tokens.length - 1];
      // The place of the last token of the text takes its step, too, where it drafts nothing.
      const silent = first > 1 ? await head.step?.(token, found[1].state, null) : undefined;
      const root = await follow({ token, state: silent?.memory ?? null }, 0);
      likely = root.confidence ?? 1;
      return likely < confidence ? null : { root: root.pass, levels: levels.length };
    },
    async push(pair, depth) {
      const next = await follow(pair, depth);
      likely *= next.confidence ?? 1;
      return likely < confidence ? null : next.pass;
    },
    async feed(nodes, { first, depth }) {
      const passes: Pass[] = [];
      for (const node of nodes.slice(first)) passes.push((await follow(node, depth)).pass);
      return passes;
    },
    ...(pairs.known && { known: pairs.known }),
    dispose: () => pairs.dispose(),
  };
}

/** Logits over the target's vocabulary with what a step adds to those of the draft's. */
function biased(logits: Float32Array, { bias }: Step, targetIds: Int32Array | null): Float32Array {
  const sum = logits.slice();
  for (let token = 0; token < bias.length; token++) sum[targetIds?.[token] ?? token] += bias[token];
  return sum;
}

/** Tokens that a pass of a block gives at most. */
export const longestOf = ({ block }: DecoderHead): number =>
  block === undefined ? Number.POSITIVE_INFINITY : block.size - (block.fromAnchor ? 0 : 1);

/** What is put after the text. */
interface Places {
  readonly nodes: readonly Node[];
  /** The first pass that gives a token. */
  readonly first: number;
  readonly mutual: boolean;
}

async function placesOf(
  { mask, block, model }: DecoderHead,
  request: DraftRequest,
): Promise<Places> {
  const node = (token: number, state: Float32Array, at: number) => ({
    token,
    state,
    parent: at - 1,
  });
  if (mask !== undefined) {
    const state = await mask.state();
    const further = Math.min(request.maxTokens, request.maxDepth) - 1;
    const places = Array.from({ length: further }, (_, at) => node(mask.token, state, at));
    return { nodes: places, first: 0, mutual: false };
  }
  if (block === undefined) throw new Error('internal: expected places, got none');
  const state = new Float32Array(model.config.width + 1);
  state[model.config.width] = 1;
  const anchor = request.tokens[request.tokens.length - 1];
  const places = Array.from({ length: block.size }, (_, at) =>
    node(at === 0 ? anchor : block.maskToken, state, at),
  );
  // Pass 0 is of the last state of the target, which says nothing.
  return { nodes: places, first: block.fromAnchor ? 1 : 2, mutual: true };
}
