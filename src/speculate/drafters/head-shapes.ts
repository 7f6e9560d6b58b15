// What a head drafts: a chain, a tree of a fixed shape, or the tree that its own probabilities ask for.
import { pathTo } from '../../models/tree.ts';
import type { TreeShape } from '../best-tree.ts';
import type { Draft, DraftRequest, Drawn } from '../drafter.ts';
import { pointDraw } from '../drawn.ts';
import type { RankedDraft } from '../rank-memory.ts';
import { argmax, logSoftmaxAt, mostProbable } from '../sample.ts';
import type { DecoderHead, Pair } from '../speculators/head.ts';
import type { PathTree } from './branching.ts';
import { growChain, growTree, type Level } from './grow.ts';

/** What a pass gives: logits over the target's vocabulary, and the state that goes with the next token. */
export interface Pass {
  readonly logits: Float32Array;
  readonly state: Float32Array;
}

/** A drafted token with the state that goes with it. */
export interface Node extends Pair {
  readonly parent: number;
}

/** Passes of a head over what has been drafted. */
export interface Passes {
  /** Feeds one more pair after those so far, `depth` levels below the text. */
  push(pair: Pair, depth: number, signal: DraftRequest['signal']): Promise<Pass>;
  /** Feeds drafted pairs after the text, of which each sees the path before it; what those of the last level give. */
  feed(
    nodes: readonly Node[],
    last: Level,
    signal: DraftRequest['signal'],
  ): Promise<readonly Pass[]>;
}

/** Passes of a head over the text as well. */
export interface TextPasses extends Passes {
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

/** A chain: every drawn token is fed with the state that the pass before gave. */
export function extend(
  pairs: Passes,
  request: DraftRequest,
  root: Pass,
  width = 1,
): Promise<RankedDraft> {
  return growChain<Pass>(request, width, async (drawn, depth) =>
    drawn === undefined
      ? root
      : pairs.push({ token: drawn.token, state: drawn.from.state }, depth, request.signal),
  );
}

/** A chain from passes that are all there: each token from the law of its own place. */
export function drawEach(passes: readonly Pass[], request: DraftRequest): Draft {
  const drawn: Drawn[] = [];
  const text = [...request.tokens];
  for (const { logits } of passes) {
    const [next] = request.draw(request.law(logits, text), text.length, 1);
    if (next === undefined) break;
    drawn.push(next);
    text.push(next.token);
  }
  return { tokens: drawn };
}

/**
 * A chain from passes that are all there, whose logits also depend on the token before. The first `silent` ones take their step and
 * draft nothing. Whether to go on is decided before a token is drawn, by tokens that have been.
 */
export async function drawStepwise(
  { step, targetIds }: Pick<DecoderHead, 'step' | 'targetIds'>,
  passes: readonly Pass[],
  request: DraftRequest,
  { silent, confidence: least }: { readonly silent: number; readonly confidence: number },
): Promise<Draft> {
  const drawn: Drawn[] = [];
  const text = [...request.tokens];
  let memory: Float32Array | null = null;
  let likely = 1;
  for (const [place, { logits, state }] of passes.entries()) {
    const taken = await step!(text[text.length - 1], state, memory);
    memory = taken.memory;
    if (place < silent) continue;
    likely *= taken.confidence ?? 1;
    if (likely < least) break;
    const biased = logits.slice();
    for (let token = 0; token < taken.bias.length; token++)
      biased[targetIds?.[token] ?? token] += taken.bias[token];
    const [next] = request.draw(request.law(biased, text), text.length, 1);
    if (next === undefined) break;
    drawn.push(next);
    text.push(next.token);
  }
  return { tokens: drawn };
}

/** A tree, whose nodes are fed with the states of the passes that they were drawn from. */
export function grow(
  pairs: Passes,
  shape: Pick<TreeShape, 'parents'>,
  request: DraftRequest,
  root: Pass,
  width = 0,
): Promise<RankedDraft> {
  return growTree(request, shape, {
    root,
    width,
    feed: (nodes, last) =>
      pairs.feed(
        nodes.map(({ token, parent, from }) => ({ token, parent, state: from.state })),
        last,
        request.signal,
      ),
  });
}

/** The shape of a dynamic tree. */
export interface DynamicTree {
  /** Children that are looked at per node, and nodes that are followed per level. */
  readonly expansion: number;
  readonly levels: number;
  /** Nodes that are kept. */
  readonly tokens: number;
}

/** A token that was looked at. */
interface Candidate extends Node {
  /** ln of the probability of the path. */
  readonly score: number;
  /** Index among the candidates, -1 for the text. */
  readonly from: number;
}

/**
 * EAGLE-2 (Li et al., "EAGLE-2", 2024): every level follows the nodes whose paths the head holds most probable, and of all that were
 * looked at the most probable ones are kept, of equals the shallower. A path is never more probable than its beginning, so
 * what is kept is a tree. Candidates are chosen, not drawn, and stated as points.
 */
export async function growDynamic(
  pairs: Passes,
  { expansion, levels, tokens }: DynamicTree,
  { maxTokens, maxDepth, signal }: DraftRequest,
  root: Pass,
): Promise<Draft> {
  const widths = Array.from({ length: Math.min(levels, maxDepth) }, () => expansion);
  const { candidates } = await explore(pairs, widths, expansion, { root, signal });
  return kept(candidates, mostProbableOf(candidates).slice(0, Math.min(tokens, maxTokens)));
}

/**
 * The tree of MLP speculators (Wertheimer et al., 2024): every node is followed, and the most probable whole paths are kept, with
 * what they share only once; as many as there is room for. Stated as points, too.
 */
export async function growPaths(
  pairs: Passes,
  { expansion, kept: most }: PathTree,
  { maxTokens, maxDepth, signal }: DraftRequest,
  root: Pass,
): Promise<Draft> {
  const widths = expansion.slice(0, Math.min(maxDepth, maxTokens));
  const { candidates, last } = await explore(pairs, widths, Number.POSITIVE_INFINITY, {
    root,
    signal,
  });
  const nodes = new Set<number>();
  for (const leaf of mostProbableOf(candidates, last).slice(0, most)) {
    const path = pathTo(leaf, (index) => candidates[index].from).filter((each) => !nodes.has(each));
    if (nodes.size + path.length > maxTokens) break;
    for (const each of path) nodes.add(each);
  }
  return kept(candidates, [...nodes]);
}

/** Candidates level by level, `widths[level]` children of each of the `followed` most probable nodes; and the first of the last level. */
async function explore(
  pairs: Passes,
  widths: readonly number[],
  followed: number,
  { root, signal }: { readonly root: Pass; readonly signal: DraftRequest['signal'] },
): Promise<{ readonly candidates: readonly Candidate[]; readonly last: number }> {
  const candidates: Candidate[] = [];
  /** Followed nodes, as they are fed. */
  const fed: Node[] = [];
  const expand = (
    { logits, state }: Pass,
    count: number,
    { from, parent, score }: Pick<Candidate, 'from' | 'parent' | 'score'>,
  ) =>
    bestOf(logits, count).map(
      ({ token, value }): Candidate => ({ token, state, parent, from, score: score + value }),
    );
  let level = expand(root, widths[0], { from: -1, parent: -1, score: 0 });
  for (let depth = 1; ; depth++) {
    const last = candidates.length;
    candidates.push(...level);
    if (depth >= widths.length) return { candidates, last };
    const best = mostProbableOf(candidates, last).slice(0, followed);
    const first = fed.length;
    fed.push(...best.map((index) => candidates[index]));
    const passes = await pairs.feed(fed, { first, depth }, signal);
    level = best.flatMap((from, rank) =>
      expand(passes[rank], widths[depth], {
        from,
        parent: first + rank,
        score: candidates[from].score,
      }),
    );
  }
}

/** Indices of the candidates from `first` on, the most probable ones before the others, of equals the lower. */
const mostProbableOf = (candidates: readonly Candidate[], first = 0): number[] =>
  Array.from({ length: candidates.length - first }, (_, at) => first + at).toSorted(
    (a, b) => candidates[b].score - candidates[a].score || a - b,
  );

/** A draft of some candidates, whose parents are among them. */
function kept(candidates: readonly Candidate[], some: readonly number[]): Draft {
  const indices = some.toSorted((a, b) => a - b);
  const places = new Map(indices.map((index, place) => [index, place]));
  return {
    tokens: indices.map((index) => pointDraw(candidates[index].token)),
    parents: indices.map((index) => places.get(candidates[index].from) ?? -1),
  };
}

/** The most probable tokens with ln p, best first; what cannot be drafted is not among them. */
function bestOf(logits: Float32Array, count: number) {
  // Ranks only; a law would have to add up to one.
  const most = logits[argmax(logits)];
  const weights = Float64Array.from(logits, (logit) => Math.exp(logit - most));
  return mostProbable({ probs: weights }, count).map((token) => ({
    token,
    value: logSoftmaxAt(logits, token),
  }));
}
