// Shapes of drafts, for every drafter that has passes: chains and trees that are fixed, learnt, or asked for by the drafter's own
// probabilities.
import { OptionError } from '../../kernels/errors.ts';
import type { Draft, DraftRequest } from '../drafter.ts';
import { MAX_DRAFT } from '../limits.ts';
import { type BestOptions, createBestShapes } from './best.ts';
import { checkBranching, checkPaths, nodesOf, type PathTree, pathNodesAt } from './branching.ts';
import { type DynamicTree, growDynamic, growPaths } from './explore.ts';
import { growChain, growTree, innerNodes, isChain, shapeOf } from './grow.ts';
import type { Pass, Passes } from './passes.ts';

/** One shape; a chain by default. */
export interface ShapeOptions {
  /**
   * Children of every node per level, e.g. [3, 2, 1]; levels beyond the list get one. Default [1]: a chain. The shape
   * is fixed before anything is drawn, so drawn tokens never decide where the tree grows.
   */
  readonly branching?: readonly number[] | undefined;
  /** The shape that is worth most by what was measured and learnt. */
  readonly best?: BestOptions | undefined;
  /** The tree that the drafter holds most probable (EAGLE-2). */
  readonly dynamic?: DynamicTree | undefined;
  /** The whole paths that the drafter holds most probable (MLP speculators). */
  readonly paths?: PathTree | undefined;
  /**
   * Of a chain: it ends where a path of the drafter's most probable tokens would be less probable, whatever the temperature. Default 0:
   * it is as long as asked for. Raise it where rejected tokens are expensive.
   */
  readonly minProbability?: number | undefined;
}

/** A shape of drafts. */
export interface Shape {
  /** Null for a chain. */
  readonly name: string | null;
  draft(passes: Passes, request: DraftRequest, root: Pass): Promise<Draft>;
  /** Nodes of a full draft of so many levels. */
  nodesAt(levels: number): number;
  /** Levels of its deepest draft. */
  readonly levels: number;
  /** Nodes that a full draft of so many levels looks at again for a pass `depth` levels below the text; 0 for chains. */
  fedAt(levels: number, depth: number): number;
}

/** One draft in a shape; nothing where the drafter has nothing to say. */
export async function draftFrom(
  passes: Passes,
  shape: Shape,
  request: DraftRequest,
): Promise<Draft> {
  const begun = await passes.begin(request);
  if (begun === null) return { tokens: [] };
  const maxDepth = Math.min(request.maxDepth, begun.levels);
  return shape.draft(passes, { ...request, maxDepth }, begun.root);
}

/** Throws an OptionError for more than one shape, and for one that is none; `where` names the drafter. */
export function shapeFrom(where: string, options: ShapeOptions): Shape {
  const { branching, best, dynamic, paths, minProbability = 0 } = options;
  const given = Object.entries({ branching, best, dynamic, paths }).filter(
    ([, value]) => value !== undefined,
  );
  if (given.length > 1)
    throw new OptionError(
      `${where}: expected one shape, got ${given.map(([key]) => key).join(' and ')}`,
    );
  if (!(minProbability >= 0 && minProbability <= 1))
    throw new OptionError(
      `${where}: minProbability: expected a probability from 0 to 1, got ${minProbability}`,
    );
  const other = given.find(([key]) => key !== 'branching' || branching?.some((count) => count > 1));
  if (minProbability > 0 && other !== undefined)
    throw new OptionError(`${where}: minProbability: expected a chain with it, got ${other[0]}`);
  if (best !== undefined) return learnt(where, best);
  if (dynamic !== undefined) return expanded(where, dynamic);
  if (paths !== undefined) {
    checkPaths(where, paths);
    const { expansion, kept } = paths;
    checkFed(where, nodesOf(expansion, expansion.length - 1));
    return {
      name: `${kept} paths of [${expansion.join(', ')}]`,
      draft: (passes, request, root) => growPaths(passes, paths, request, root),
      nodesAt: (levels) => pathNodesAt(paths, levels),
      levels: expansion.length,
      fedAt: (_, depth) => nodesOf(expansion, depth),
    };
  }
  return fixed(where, branching ?? [1], minProbability);
}

function fixed(where: string, branching: readonly number[], least: number): Shape {
  checkBranching(where, branching);
  const nodesAt = (levels: number) => nodesOf(branching, levels);
  const levels = Number.POSITIVE_INFINITY;
  if (branching.every((count) => count === 1))
    return {
      name: null,
      draft: (passes, request, root) => growChain(passes, request, root, { least }),
      nodesAt,
      levels,
      fedAt: () => 0,
    };
  return {
    name: `tree [${branching.join(', ')}]`,
    draft: (passes, request, root) => growTree(passes, shapeOf(branching, request), request, root),
    nodesAt,
    levels,
    fedAt: (_, depth) => nodesOf(branching, depth),
  };
}

function learnt(where: string, options: BestOptions): Shape {
  const best = createBestShapes(where, options);
  return {
    name: 'best tree',
    draft: (passes, request, root) =>
      best.draft(request, (shape, asked, width) =>
        isChain(shape)
          ? growChain(passes, asked, root, { width })
          : growTree(passes, shape, asked, root, width),
      ),
    nodesAt: (levels) => best.shapeAt(levels).parents.length,
    levels: best.levels,
    fedAt(levels, depth) {
      const shape = best.shapeAt(levels);
      return isChain(shape) ? 0 : innerNodes(shape, depth);
    },
  };
}

function expanded(where: string, dynamic: DynamicTree): Shape {
  for (const [key, value] of Object.entries(dynamic))
    if (!Number.isInteger(value) || value < 1)
      throw new OptionError(
        `${where}: dynamic.${key}: expected a whole number from 1, got ${value}`,
      );
  const { expansion, levels: deepest, tokens } = dynamic;
  checkFed(where, expansion * (deepest - 1));
  return {
    name: `tree of ${tokens}, ${expansion} wide`,
    draft: (passes, request, root) => growDynamic(passes, dynamic, request, root),
    nodesAt: (levels) =>
      levels < 1
        ? 0
        : Math.min(tokens, expansion + (Math.min(levels, deepest) - 1) * expansion ** 2),
    levels: deepest,
    fedAt: (_, depth) => expansion * depth,
  };
}

/** Caches have room for so many nodes after a text. */
function checkFed(where: string, nodes: number): void {
  if (nodes > MAX_DRAFT)
    throw new OptionError(
      `${where}: expected a tree of at most ${MAX_DRAFT} nodes with children, got ${nodes}`,
    );
}
