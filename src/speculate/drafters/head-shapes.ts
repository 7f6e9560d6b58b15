// What a head drafts: a chain, a tree of a fixed shape, or the tree that its own probabilities ask for.
import { pathTo } from '../../models/tree.ts';
import type { Draft, DraftRequest, Drawn } from '../drafter.ts';
import { pointDraw } from '../drawn.ts';
import { argmax, logSoftmaxAt, mostProbable } from '../sample.ts';
import type { Head } from '../speculators/head.ts';

/** What a pass gives: logits over the target's vocabulary, and the state that goes with the next token. */
export interface Pass {
  readonly logits: Float32Array;
  readonly state: Float32Array;
}

/** A drafted token with the state that goes with it. */
export interface Node {
  readonly token: number;
  readonly state: Float32Array;
  readonly parent: number;
}

/** Passes of a head over what has been drafted. */
export interface Passes {
  /** Feeds one more pair after those so far. */
  push(token: number, state: Float32Array, signal: DraftRequest['signal']): Promise<Pass>;
  /** Feeds drafted pairs after the text, of which each sees the path before it; what each gives. */
  feed(nodes: readonly Node[], signal: DraftRequest['signal']): Promise<readonly Pass[]>;
}

/** A chain: every drawn token is fed with the state that the pass before gave. */
export async function extend(pairs: Passes, request: DraftRequest, root: Pass): Promise<Draft> {
  const { tokens, maxTokens, maxDepth, signal } = request;
  const drawn: Drawn[] = [];
  const text = [...tokens];
  const most = Math.min(maxTokens, maxDepth);
  let pass = root;
  while (true) {
    const [next] = request.draw(request.law(pass.logits, text), text.length, 1);
    if (next === undefined) break;
    drawn.push(next);
    text.push(next.token);
    if (drawn.length >= most) break;
    pass = await pairs.push(next.token, pass.state, signal);
  }
  return { tokens: drawn };
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
  { step, targetIds }: Pick<Head, 'step' | 'targetIds'>,
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

/** A tree, level by level; every pass computes the nodes so far, whose states come from the levels before. */
export async function grow(
  pairs: Passes,
  branching: readonly number[],
  request: DraftRequest,
  root: Pass,
): Promise<Draft> {
  const { tokens, maxTokens, maxDepth, signal } = request;
  const drawn: Drawn[] = [];
  const nodes: Node[] = [];
  let passes: readonly Pass[] = [];
  let frontier: readonly number[] = [-1];
  for (let depth = 0; depth < maxDepth && drawn.length < maxTokens; depth++) {
    if (depth > 0) passes = await pairs.feed(nodes, signal);
    const next: number[] = [];
    for (const node of frontier) {
      const count = Math.min(branching[depth] ?? 1, maxTokens - drawn.length);
      if (count === 0) break;
      const { logits, state } = node < 0 ? root : passes[node];
      const path = pathTo(node, (each) => nodes[each].parent).map((each) => nodes[each].token);
      const law = request.law(logits, [...tokens, ...path]);
      for (const child of request.draw(law, tokens.length + depth, count)) {
        next.push(drawn.length);
        drawn.push(child);
        nodes.push({ token: child.token, state, parent: node });
      }
    }
    frontier = next;
  }
  return { tokens: drawn, parents: nodes.map(({ parent }) => parent) };
}

/** The shape of a dynamic tree. */
export interface DynamicTree {
  /** Children that are looked at per node, and nodes that are followed per level. */
  readonly expansion: number;
  readonly levels: number;
  /** Nodes that are kept. */
  readonly tokens: number;
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
  interface Candidate extends Node {
    /** ln of the probability of the path. */
    readonly score: number;
    /** Index among the candidates, -1 for the text. */
    readonly from: number;
  }
  const candidates: Candidate[] = [];
  const expand = ({ logits, state }: Pass, from: number, parent: number, score: number) =>
    bestOf(logits, expansion).map(
      ({ token, value }): Candidate => ({ token, state, parent, from, score: score + value }),
    );
  const depth = Math.min(levels, maxDepth);
  /** Followed nodes, as they are fed, with their indices among the candidates. */
  const fed: Node[] = [];
  const indices: number[] = [];
  let level = expand(root, -1, -1, 0);
  for (let at = 1; ; at++) {
    const first = candidates.length;
    candidates.push(...level);
    if (at >= depth) break;
    const followed = level
      .map((candidate, index) => ({ candidate, index: first + index }))
      .toSorted((a, b) => b.candidate.score - a.candidate.score)
      .slice(0, expansion);
    const start = fed.length;
    for (const { candidate, index } of followed) {
      fed.push(candidate);
      indices.push(index);
    }
    const passes = await pairs.feed(fed, signal);
    level = followed.flatMap(({ candidate, index }, rank) =>
      expand(passes[start + rank], index, start + rank, candidate.score),
    );
  }
  const kept = [...candidates.keys()]
    .toSorted((a, b) => candidates[b].score - candidates[a].score || a - b)
    .slice(0, Math.min(tokens, maxTokens))
    .toSorted((a, b) => a - b);
  const places = new Map(kept.map((index, place) => [index, place]));
  return {
    tokens: kept.map((index) => pointDraw(candidates[index].token)),
    parents: kept.map((index) => places.get(candidates[index].from) ?? -1),
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
