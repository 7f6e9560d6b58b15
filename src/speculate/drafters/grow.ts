// Drafts in a shape that is fixed before anything is drawn. A chain takes a pass for every token; a tree one for every level, which computes
// its nodes that have children.
import { depthsOf } from '../../models/tree.ts';
import type { TreeShape } from '../best-tree.ts';
import type { DraftRequest, Drawn } from '../drafter.ts';
import type { RankedDraft } from '../rank-memory.ts';
import { argmax, logSoftmaxAt } from '../sample.ts';
import type { Node, Pass, Passes } from './passes.ts';

/**
 * A chain. At every place `width` candidates are ranked. It ends before the place at which a path of the most probable tokens of all its
 * places would be less probable than `least`, by the laws of the drafter at temperature 1: decided by laws, not by what is drawn from them.
 */
export async function growChain(
  passes: Passes,
  request: DraftRequest,
  root: Pass,
  { width = 1, least = 0 }: { readonly width?: number; readonly least?: number } = {},
): Promise<RankedDraft> {
  const { maxTokens, maxDepth, signal } = request;
  const text = [...request.tokens];
  const tokens: Drawn[] = [];
  const candidates: (readonly number[])[] = [];
  const most = Math.min(maxTokens, maxDepth);
  let likely = 1;
  let pass: Pass | null = root;
  while (pass !== null) {
    if (least > 0) likely *= Math.exp(logSoftmaxAt(pass.logits, argmax(pass.logits)));
    if (likely < least) break;
    const drawn: readonly Drawn[] = request.draw(
      request.law(pass.logits, text),
      text.length,
      width,
    );
    candidates.push(drawn.map(({ token }) => token));
    const [first] = drawn;
    if (first === undefined) break;
    tokens.push(first);
    text.push(first.token);
    if (tokens.length >= most) break;
    pass = await passes.push({ token: first.token, state: pass.state }, tokens.length, signal);
  }
  return { tokens, candidates };
}

/** A node of the shape whose children are wanted, and where its token went. */
interface Place {
  /** Index in the shape and in the draft; -1 for the text. */
  readonly shape: number;
  readonly draft: number;
  /** Index among the nodes that are fed. */
  readonly fed: number;
  readonly path: readonly number[];
}

/** A tree. What a law has too few tokens for is left out, with what would be below it. */
export async function growTree(
  passes: Passes,
  { parents: shape }: Pick<TreeShape, 'parents'>,
  request: DraftRequest,
  root: Pass,
  width = 0,
): Promise<RankedDraft> {
  const { tokens: text, signal } = request;
  const children = childrenOf(shape);
  const tokens: Drawn[] = [];
  const parents: number[] = [];
  const candidates: (readonly number[] | undefined)[] = [];
  const fed: Node[] = [];
  let level: readonly Place[] = [{ shape: -1, draft: -1, fed: -1, path: [] }];
  let found: readonly Pass[] = [root];
  for (let depth = 1; level.length > 0; depth++) {
    const first = fed.length;
    const next: Place[] = [];
    for (const [at, { shape: node, draft, fed: parent, path }] of level.entries()) {
      const { logits, state } = found[at];
      const wanted = children[node + 1];
      const law = request.law(logits, [...text, ...path]);
      const drawn = request.draw(law, text.length + path.length, Math.max(wanted.length, width));
      candidates[draft + 1] = drawn.map(({ token }) => token);
      for (const [rank, child] of wanted.slice(0, drawn.length).entries()) {
        const { token } = drawn[rank];
        if (children[child + 1].length > 0) {
          next.push({
            shape: child,
            draft: tokens.length,
            fed: fed.length,
            path: [...path, token],
          });
          fed.push({ token, state, parent });
        }
        tokens.push(drawn[rank]);
        parents.push(draft);
        candidates.push(undefined);
      }
    }
    level = next;
    if (level.length > 0) found = await passes.feed(fed, { first, depth }, signal);
  }
  return { tokens, parents, candidates };
}

/** Children of the text (0) and of every node i (1 + i), in order. */
function childrenOf(parents: readonly number[]): readonly (readonly number[])[] {
  const children: number[][] = [[], ...parents.map(() => [])];
  for (const [node, parent] of parents.entries()) children[parent + 1].push(node);
  return children;
}

/** Whether every node has one child at most. */
export const isChain = ({ parents }: Pick<TreeShape, 'parents'>): boolean =>
  parents.every((parent, node) => parent === node - 1);

/** The shape with so many children per node and level, as many nodes of it as are allowed; levels beyond the list get one. */
export function shapeOf(
  branching: readonly number[],
  { maxTokens, maxDepth }: Pick<DraftRequest, 'maxTokens' | 'maxDepth'>,
): Pick<TreeShape, 'parents'> {
  const parents: number[] = [];
  let level: readonly number[] = [-1];
  for (let depth = 0; depth < maxDepth && parents.length < maxTokens; depth++) {
    const next: number[] = [];
    for (const parent of level)
      for (let rank = 0; rank < (branching[depth] ?? 1) && parents.length < maxTokens; rank++) {
        next.push(parents.length);
        parents.push(parent);
      }
    level = next;
  }
  return { parents };
}

/** Nodes of a shape that have children and are at most so many levels below the text. */
export function innerNodes({ parents }: Pick<TreeShape, 'parents'>, depth: number): number {
  const depths = depthsOf(parents);
  const inner = new Set(parents.filter((parent) => parent >= 0 && depths[parent] <= depth));
  return inner.size;
}

/** Levels of a shape. */
export const levelsOf = ({ parents }: Pick<TreeShape, 'parents'>): number =>
  Math.max(0, ...depthsOf(parents));
