// Drafting with a head: it continues the target's states. Pair i of its cache is the token at position i + 1 with the state of
// position i; drafted pairs carry the head's own states and are forgotten when their tokens have been judged.
import { OptionError } from '../../kernels/errors.ts';
import type { Cache, Sequence } from '../../models/model.ts';
import type { Drafter, DraftRequest } from '../drafter.ts';
import type { Head } from '../speculators/head.ts';
import { checkBranching, nodesOf } from './branching.ts';
import {
  type DynamicTree,
  drawEach,
  drawStepwise,
  extend,
  grow,
  growDynamic,
  type Node,
  type Pass,
  type Passes,
} from './head-shapes.ts';
import { widened } from './widened.ts';

/** Options of `draftHead`. */
export interface DraftHeadOptions {
  /** Shown in reports; default `head`. */
  readonly name?: string;
  /** Children of every node per level, as for `draftModel`; default [1], a chain. */
  readonly branching?: readonly number[];
  /** Of heads that say how probable it is that a draft is accepted: stops where the product falls below; default 0, never. */
  readonly confidence?: number;
  /** The tree that the head holds most probable, instead of a fixed shape (EAGLE-2). */
  readonly dynamic?: DynamicTree;
}

/** A drafter that runs a head. It gives back its cache on dispose, not the head. */
export function draftHead(head: Head, options: DraftHeadOptions = {}): Drafter {
  const { name = 'head', branching = [1], dynamic } = options;
  checkBranching('draftHead', branching);
  if (dynamic !== undefined) checkDynamic(dynamic, options.branching);
  const wide = branching.some((count) => count > 1);
  const inOnePass = head.mask !== undefined || head.block !== undefined;
  if (inOnePass && (wide || dynamic !== undefined))
    throw new OptionError(
      `draftHead: expected a chain from ${name}, which drafts it in one pass, got a tree`,
    );
  const pairs = createPairs(head);
  const draft = (request: DraftRequest, root: Pass) => {
    if (dynamic !== undefined) return growDynamic(pairs, dynamic, request, root);
    return wide ? grow(pairs, branching, request, root) : extend(pairs, request, root);
  };
  const shape =
    dynamic === undefined
      ? `tree [${branching.join(', ')}]`
      : `tree of ${dynamic.tokens}, ${dynamic.expansion} wide`;
  return {
    name: wide || dynamic ? `${name} ${shape}` : name,
    taps: head.taps,
    contextLength: head.model.contextLength,
    async draft(request) {
      const fill = await placesOf(head, request);
      if (fill === null) {
        const [root] = await pairs.catchUp(request, []);
        return root === undefined ? { tokens: [] } : draft(request, root);
      }
      // A block that reaches past the context is none.
      const end = request.tokens.length - 1 + fill.places.length;
      if (end > head.model.contextLength) return { tokens: [] };
      const passes = await pairs.catchUp(request, fill.places, fill.mutual);
      const most = Math.min(request.maxTokens, request.maxDepth);
      const last = fill.first + most;
      if (head.step === undefined) return drawEach(passes.slice(fill.first, last), request);
      // The place of the last token of the text takes its step too, whether it drafts or not.
      return drawStepwise(head, passes.slice(1, last), request, {
        silent: fill.first - 1,
        confidence: options.confidence ?? 0,
      });
    },
    nodesAt: (levels) => Math.min(longest(head), nodesAt(levels, branching, dynamic)),
    dispose: () => pairs.dispose(),
  };
}

/** Tokens that a pass of a block gives at most. */
const longest = ({ block }: Head): number =>
  block === undefined ? Number.POSITIVE_INFINITY : block.size - (block.fromAnchor ? 0 : 1);

/** What heads that draft in one pass put after the text, and the first pass that gives a token; null for the others. */
async function placesOf(
  { mask, block, model }: Head,
  request: DraftRequest,
): Promise<{
  readonly places: readonly Node[];
  readonly first: number;
  readonly mutual: boolean;
} | null> {
  const node = (token: number, state: Float32Array, at: number) => ({
    token,
    state,
    parent: at - 1,
  });
  if (mask !== undefined) {
    const state = await mask.state();
    const further = Math.min(request.maxTokens, request.maxDepth) - 1;
    const places = Array.from({ length: further }, (_, at) => node(mask.token, state, at));
    return { places, first: 0, mutual: false };
  }
  if (block === undefined) return null;
  const state = new Float32Array(model.config.width + 1);
  state[model.config.width] = 1;
  const anchor = request.tokens[request.tokens.length - 1];
  const places = Array.from({ length: block.size }, (_, at) =>
    node(at === 0 ? anchor : block.maskToken, state, at),
  );
  // Pass 0 is of the last state of the target, which says nothing.
  return { places, first: block.fromAnchor ? 1 : 2, mutual: true };
}

/** Nodes of a full draft of so many levels. */
function nodesAt(
  levels: number,
  branching: readonly number[],
  dynamic: DynamicTree | undefined,
): number {
  if (levels < 1) return 0;
  if (dynamic !== undefined) {
    const { expansion, tokens } = dynamic;
    const deep = Math.min(levels, dynamic.levels) - 1;
    return Math.min(tokens, expansion + deep * expansion ** 2);
  }
  return nodesOf(branching, levels);
}

function checkDynamic(dynamic: DynamicTree, branching: readonly number[] | undefined): void {
  if (branching !== undefined)
    throw new OptionError('draftHead: expected branching or dynamic, got both');
  for (const [key, value] of Object.entries(dynamic))
    if (!Number.isInteger(value) || value < 1)
      throw new OptionError(
        `draftHead: dynamic.${key}: expected a whole number from 1, got ${value}`,
      );
}

interface Pairs extends Passes {
  /**
   * Feeds the pairs of the text that are new, and nodes after them; what the last pair gives and what they give, or nothing where
   * states are missing.
   */
  catchUp(
    request: DraftRequest,
    nodes: readonly Node[],
    mutual?: boolean,
  ): Promise<readonly Pass[]>;
  dispose(): void;
}

function createPairs({ model, fuse, targetIds, block }: Head): Pairs {
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
  /** Tokens of the cached pairs; the first `real` of them have states of the target. */
  let tokens: number[] = [];
  let real = 0;
  const vocab = model.config.vocab;
  const passOf = (logits: Float32Array, state: Float32Array): Pass => ({
    logits: widened(logits, targetIds, vocab),
    state,
  });
  const open = () => {
    cache ??= model.createCache({ taps: [0] });
    sequence ??= cache.sequence();
    return { cache, sequence };
  };
  return {
    async catchUp({ tokens: text, hidden = [], signal }, nodes, mutual = false) {
      const { cache, sequence } = open();
      // The states end with that of the last token but one.
      const from = text.length - 1 - hidden.length;
      let common = 0;
      while (common < Math.min(real, from) && tokens[common] === text[common + 1]) common++;
      sequence.truncate(common);
      tokens.length = common;
      real = common;
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
      real = tokens.length;
      return logits.map((row, index) => passOf(row, found[index]));
    },
    async push(token, state, signal) {
      const { cache, sequence } = open();
      const segment = { sequence, tokens: [token], states: [state] };
      const { logits, hidden } = await model.forward(cache, [segment], { signal });
      return passOf(logits[0], hidden[0]);
    },
    async feed(nodes, signal) {
      const { cache, sequence } = open();
      sequence.truncate(real);
      const draft = draftOf(nodes);
      const states = nodes.map(({ state }) => state);
      const segment = { sequence, tokens: [], draft, states };
      const { logits, hidden } = await model.forward(cache, [segment], { signal });
      return logits.map((row, node) => passOf(row, hidden[node]));
    },
    dispose() {
      sequence?.free();
      cache?.dispose();
      sequence = undefined;
      cache = undefined;
      tokens = [];
      real = 0;
    },
  };
}

const draftOf = (nodes: readonly Node[]) => ({
  tokens: nodes.map(({ token }) => token),
  parents: nodes.map(({ parent }) => parent),
});
