// Trees that the drafter's own probabilities ask for. Their tokens are chosen, not drawn, and stated as points, so every verifier keeps
// its promise.
import { pathTo } from '../../models/tree.ts';
import type { Draft, DraftRequest } from '../drafter.ts';
import { pointDraw } from '../drawn.ts';
import { argmax, logSoftmaxOf, mostProbable } from '../sample.ts';
import type { PathTree } from './branching.ts';
import type { Node, Pass, Passes } from './passes.ts';

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
  passes: Passes,
  { expansion, levels, tokens }: DynamicTree,
  { maxTokens, maxDepth, signal }: DraftRequest,
  root: Pass,
): Promise<Draft> {
  const widths = Array.from({ length: Math.min(levels, maxDepth) }, () => expansion);
  const { candidates } = await explore(passes, widths, expansion, { root, signal });
  return kept(candidates, mostProbableOf(candidates).slice(0, Math.min(tokens, maxTokens)));
}

/**
 * The tree of MLP speculators (Wertheimer et al., 2024): every node is followed, and the most probable whole paths are kept, with
 * what they share only once; as many as there is room for. Stated as points, too.
 */
export async function growPaths(
  passes: Passes,
  { expansion, kept: most }: PathTree,
  { maxTokens, maxDepth, signal }: DraftRequest,
  root: Pass,
): Promise<Draft> {
  const widths = expansion.slice(0, Math.min(maxDepth, maxTokens));
  const { candidates, last } = await explore(passes, widths, Number.POSITIVE_INFINITY, {
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
  passes: Passes,
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
    const found = await passes.feed(fed, { first, depth }, signal);
    level = best.flatMap((from, rank) =>
      expand(found[rank], widths[depth], {
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
  const best = argmax(logits);
  if (!(logits[best] > Number.NEGATIVE_INFINITY)) return [];
  const tokens = mostProbable({ point: best, scores: new Float64Array(logits) }, count);
  const values = logSoftmaxOf(logits, tokens);
  return tokens.map((token, rank) => ({ token, value: values[rank] }));
}
