// A tree of drawn tokens in a shape that is fixed before anything is drawn, level by level: one pass of the drafter computes every node of
// a level that has children.
import { depthsOf } from '../../models/tree.ts';
import type { TreeShape } from '../best-tree.ts';
import type { DraftRequest, Drawn } from '../drafter.ts';
import type { RankedDraft } from '../rank-memory.ts';

/** What a pass gives at the least: logits over the target's vocabulary. */
export interface Pass {
  readonly logits: Float32Array;
}

/** A drafted token whose children are wanted. */
export interface Grown<From extends Pass> {
  readonly token: number;
  /** Index among the grown ones, -1 for the text. */
  readonly parent: number;
  /** The pass that it was drawn from. */
  readonly from: From;
}

/** The last level of a tree: its first node, and how many levels below the text it is. */
export interface Level {
  readonly first: number;
  readonly depth: number;
}

/** The passes of a drafter. */
export interface Growth<From extends Pass> {
  /** After the text. */
  readonly root: From;
  /** After the nodes of the last level; `nodes` are all whose children are wanted so far, parents first. */
  feed(nodes: readonly Grown<From>[], last: Level): Promise<readonly From[]>;
  /** Candidates that are ranked at every node, for the memory of ranks; default those that are drafted. */
  readonly width?: number;
}

/** A node of the shape whose children are wanted, and where its token went. */
interface Place<From extends Pass> {
  /** Index in the shape and in the draft; -1 for the text. */
  readonly shape: number;
  readonly draft: number;
  /** Index among the grown ones. */
  readonly grown: number;
  readonly pass: From;
  readonly path: readonly number[];
}

/** Draws a tree. What a law has too few tokens for is left out, with what would be below it. */
export async function growTree<From extends Pass>(
  request: DraftRequest,
  { parents: shape }: Pick<TreeShape, 'parents'>,
  { root, feed, width = 0 }: Growth<From>,
): Promise<RankedDraft> {
  const { tokens: text } = request;
  const children: number[][] = [[], ...shape.map(() => [])];
  for (const [node, parent] of shape.entries()) children[parent + 1].push(node);
  const tokens: Drawn[] = [];
  const parents: number[] = [];
  const candidates: (readonly number[])[] = [];
  const grown: Grown<From>[] = [];
  let level: readonly Place<From>[] = [{ shape: -1, draft: -1, grown: -1, pass: root, path: [] }];
  for (let depth = 1; level.length > 0; depth++) {
    const first = grown.length;
    const next: Omit<Place<From>, 'pass'>[] = [];
    for (const { shape: node, draft, grown: parent, pass, path } of level) {
      const wanted = children[node + 1];
      const law = request.law(pass.logits, path.length === 0 ? text : [...text, ...path]);
      const drawn = request.draw(law, text.length + path.length, Math.max(wanted.length, width));
      candidates[draft + 1] = drawn.map(({ token }) => token);
      for (const [rank, child] of wanted.slice(0, drawn.length).entries()) {
        const { token } = drawn[rank];
        if (children[child + 1].length > 0) {
          next.push({
            shape: child,
            draft: tokens.length,
            grown: grown.length,
            path: [...path, token],
          });
          grown.push({ token, parent, from: pass });
        }
        tokens.push(drawn[rank]);
        parents.push(draft);
      }
    }
    if (next.length === 0) break;
    const passes = await feed(grown, { first, depth });
    level = next.map((place, at) => ({ ...place, pass: passes[at] }));
  }
  return {
    tokens,
    parents,
    candidates: Array.from({ length: tokens.length + 1 }, (_, at) => candidates[at]),
  };
}

/** A chain: a pass for each token, after the text and then after every one that was drawn; `width` candidates are ranked. */
export async function growChain<From extends Pass>(
  request: DraftRequest,
  width: number,
  next: (
    drawn: { readonly token: number; readonly from: From } | undefined,
    depth: number,
  ) => Promise<From>,
): Promise<RankedDraft> {
  const { maxTokens, maxDepth } = request;
  const text = [...request.tokens];
  const tokens: Drawn[] = [];
  const candidates: (readonly number[])[] = [];
  const most = Math.min(maxTokens, maxDepth);
  let pass = await next(undefined, 0);
  for (;;) {
    const drawn = request.draw(request.law(pass.logits, text), text.length, width);
    candidates.push(drawn.map(({ token }) => token));
    const [first] = drawn;
    if (first === undefined) break;
    tokens.push(first);
    text.push(first.token);
    if (tokens.length >= most) break;
    pass = await next({ token: first.token, from: pass }, tokens.length);
  }
  return { tokens, candidates };
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

/** Levels of a shape. */
export const levelsOf = ({ parents }: Pick<TreeShape, 'parents'>): number =>
  Math.max(0, ...depthsOf(parents));
