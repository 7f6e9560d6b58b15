// Drafting with a head: it continues the target's states. Pair i of its cache is the token at position i + 1 with the state of
// position i; drafted pairs carry the head's own states and are forgotten when their tokens have been judged.
import { OptionError } from '../../kernels/errors.ts';
import type { Cache, Sequence } from '../../models/model.ts';
import type { Draft, Drafter, DraftRequest } from '../drafter.ts';
import type { DecoderHead, Head } from '../speculators/head.ts';
import { type BestOptions, createBestShapes } from './best.ts';
import { checkBranching, checkPaths, nodesOf, type PathTree, pathNodesAt } from './branching.ts';
import { isChain, shapeOf } from './grow.ts';
import { createDepths } from './head-depths.ts';
import {
  type DynamicTree,
  drawEach,
  drawStepwise,
  extend,
  grow,
  growDynamic,
  growPaths,
  type Node,
  type Pass,
  type TextPasses,
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
  /** The shape that is worth most by what was measured and learnt, instead of a fixed one. */
  readonly best?: BestOptions;
  /** The tree that the head holds most probable, instead of a fixed shape (EAGLE-2). */
  readonly dynamic?: DynamicTree;
  /** The most probable whole paths, instead of a fixed shape (MLP speculators). */
  readonly paths?: PathTree;
}

/** A drafter that runs a head. It gives back its cache on dispose, not the head. */
export function draftHead(head: Head, options: DraftHeadOptions = {}): Drafter {
  const { name = 'head' } = options;
  const shape = shapeFrom(options);
  const filled = head.model !== undefined && (head.mask ?? head.block) !== undefined ? head : null;
  if (filled !== null && shape.name !== null)
    throw new OptionError(
      `draftHead: expected a chain from ${name}, which drafts it in one pass, got a tree`,
    );
  const passes = head.model === undefined ? createDepths(head) : createPairs(head);
  const { steps = Number.POSITIVE_INFINITY } = head;
  return {
    name: shape.name === null ? name : `${name} ${shape.name}`,
    taps: head.taps,
    contextLength: head.contextLength,
    async draft(request) {
      if (filled !== null) return fillIn(filled, passes, request, options.confidence);
      const [root] = await passes.catchUp(request, []);
      if (root === undefined) return { tokens: [] };
      const maxDepth = Math.min(request.maxDepth, steps);
      return shape.draft(passes, { ...request, maxDepth }, root);
    },
    nodesAt: (levels) => Math.min(longest(filled), shape.nodesAt(Math.min(levels, steps))),
    dispose: () => passes.dispose(),
  };
}

/** A shape of drafts; the name is null for a chain. */
interface Shape {
  readonly name: string | null;
  draft(passes: TextPasses, request: DraftRequest, root: Pass): Promise<Draft>;
  /** Nodes of a full draft of so many levels. */
  nodesAt(levels: number): number;
}

function shapeFrom({ branching, best: bestOptions, dynamic, paths }: DraftHeadOptions): Shape {
  const given = Object.entries({ branching, best: bestOptions, dynamic, paths }).filter(
    ([, value]) => value !== undefined,
  );
  if (given.length > 1)
    throw new OptionError(
      `draftHead: expected one shape, got ${given.map(([key]) => key).join(' and ')}`,
    );
  if (bestOptions !== undefined) {
    const best = createBestShapes('draftHead', bestOptions);
    return {
      name: 'best tree',
      draft: (passes, request, root) =>
        best.draft(request, (shape, asked, width) =>
          isChain(shape)
            ? extend(passes, asked, root, width)
            : grow(passes, shape, asked, root, width),
        ),
      nodesAt: best.nodesAt,
    };
  }
  if (dynamic !== undefined) {
    checkDynamic(dynamic);
    const { expansion, levels: deepest, tokens } = dynamic;
    return {
      name: `tree of ${tokens}, ${expansion} wide`,
      draft: (passes, request, root) => growDynamic(passes, dynamic, request, root),
      nodesAt: (levels) =>
        levels < 1
          ? 0
          : Math.min(tokens, expansion + (Math.min(levels, deepest) - 1) * expansion ** 2),
    };
  }
  if (paths !== undefined) {
    checkPaths('draftHead', paths);
    return {
      name: `${paths.kept} paths of [${paths.expansion.join(', ')}]`,
      draft: (passes, request, root) => growPaths(passes, paths, request, root),
      nodesAt: (levels) => pathNodesAt(paths, levels),
    };
  }
  const counts = branching ?? [1];
  checkBranching('draftHead', counts);
  const wide = counts.some((count) => count > 1);
  return {
    name: wide ? `tree [${counts.join(', ')}]` : null,
    draft: (passes, request, root) =>
      wide ? grow(passes, shapeOf(counts, request), request, root) : extend(passes, request, root),
    nodesAt: (levels) => nodesOf(counts, levels),
  };
}

/** Tokens that a pass of a block gives at most. */
const longest = (head: DecoderHead | null): number =>
  head?.block === undefined
    ? Number.POSITIVE_INFINITY
    : head.block.size - (head.block.fromAnchor ? 0 : 1);

/** What heads that draft in one pass put after the text. */
interface Places {
  readonly nodes: readonly Node[];
  /** The first pass that gives a token. */
  readonly first: number;
  readonly mutual: boolean;
}

/** A chain in one pass. */
async function fillIn(
  head: DecoderHead,
  passes: TextPasses,
  request: DraftRequest,
  confidence = 0,
): Promise<Draft> {
  const { nodes, first, mutual } = await placesOf(head, request);
  // A block that reaches past the context is none.
  const end = request.tokens.length - 1 + nodes.length;
  if (end > head.contextLength) return { tokens: [] };
  const found = await passes.catchUp(request, nodes, mutual);
  const last = first + Math.min(request.maxTokens, request.maxDepth);
  if (head.step === undefined) return drawEach(found.slice(first, last), request);
  // The place of the last token of the text takes its step too, whether it drafts or not.
  return drawStepwise(head, found.slice(1, last), request, { silent: first - 1, confidence });
}

/** The places of a head that drafts in one pass. */
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

function checkDynamic(dynamic: DynamicTree): void {
  for (const [key, value] of Object.entries(dynamic))
    if (!Number.isInteger(value) || value < 1)
      throw new OptionError(
        `draftHead: dynamic.${key}: expected a whole number from 1, got ${value}`,
      );
}

function createPairs({ model, fuse, targetIds, vocab, block }: DecoderHead): TextPasses {
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
    async push({ token, state }, _, signal) {
      const { cache, sequence } = open();
      const segment = { sequence, tokens: [token], states: [state] };
      const { logits, hidden } = await model.forward(cache, [segment], { signal });
      return passOf(logits[0], hidden[0]);
    },
    async feed(nodes, { first }, signal) {
      const { cache, sequence } = open();
      sequence.truncate(real);
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
      real = 0;
    },
  };
}

const draftOf = (nodes: readonly Node[]) => ({
  tokens: nodes.map(({ token }) => token),
  parents: nodes.map(({ parent }) => parent),
});
