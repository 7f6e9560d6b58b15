// The shape of a drafter's trees by what it has learnt: how often its candidates of each rank came, how long its levels take, and what the
// target's checked rows cost.
import * as z from 'zod';
import { OptionError } from '../../kernels/errors.ts';
import type { Ladder } from '../../models/model.ts';
import { bestTree, bestTrees, type TreeShape } from '../best-tree.ts';
import type { DraftRequest } from '../drafter.ts';
import { createRankMemory, type RankedDraft } from '../rank-memory.ts';
import { levelsOf } from './grow.ts';

const BestSchema = z.strictObject({
  ladder: z.custom<Ladder>(
    (value) => typeof (value as Ladder | null)?.ms === 'function',
    'expected the ladder of the target',
  ),
  width: z.int().min(1).max(16).default(4),
});

/**
 * Trees in the shape that is worth most.
 * - `ladder`: of the target, `target.model.ladder`, which knows what rows cost.
 * - `width`: children of a node at most, and ranks that are learnt; default 4.
 */
export type BestOptions = z.input<typeof BestSchema>;

/** Levels and nodes of the largest tree, and nodes of the largest that `draftLength: 'auto'` asks for. */
const MOST_LEVELS = 8;
const MOST_NODES = 32;
const AUTO_NODES = 15;
/** Drafts after which shapes are thought over: 1, 2, 4, …, and every so many from then on. */
const RETHINK = 16;
/** What a pass is taken to cost before any was timed, in steps of the target. */
const FIRST_COST = 0.2;
/** Weight of a new time: code gets faster while it runs, and other programs make it slower for a while. */
const [FASTER, SLOWER] = [0.5, 0.05];

/** Shapes, and what they are learnt from. */
export interface BestShapes {
  /**
   * A draft of as many nodes as are asked for in the shape that is best for them; `grow` draws it and ranks `width` candidates at every node where it looks.
   */
  draft(
    request: DraftRequest,
    grow: (shape: TreeShape, request: DraftRequest, width: number) => Promise<RankedDraft>,
  ): Promise<RankedDraft>;
  /** The shape that is worth most for so many levels. */
  shapeAt(levels: number): TreeShape;
  /** Levels of the deepest. */
  readonly levels: number;
}

/** Begins to learn. Throws an OptionError for wrong options. */
export function createBestShapes(where: string, options: BestOptions): BestShapes {
  const parsed = BestSchema.safeParse(options);
  if (!parsed.success) throw new OptionError(`${where}: best: ${z.prettifyError(parsed.error)}`);
  const { ladder, width } = parsed.data;
  const memory = createRankMemory(MOST_LEVELS, width);
  /** As it was thought last: the best trees by levels, and the shapes of them that were asked for. */
  let trees: (readonly (TreeShape | undefined)[])[] = [];
  let shapes = new Map<string, TreeShape>();
  let drafts = 0;
  let levelMs: number | undefined;

  const cost = (nodes: number, levels: number): number => {
    const stepMs = ladder.ms(1);
    // Before anything was measured, rows are taken to be free.
    if (stepMs === undefined) return 1 + FIRST_COST * levels;
    return (levelMs ?? FIRST_COST * stepMs) * levels + (ladder.ms(1 + nodes) ?? stepMs);
  };
  const treesOf = (levels: number) => {
    trees[levels] ??= bestTrees(memory.acceptance, { nodes: MOST_NODES, levels, width });
    return trees[levels];
  };
  /** The best shape of `least` to `nodes` nodes, or of as many as there is room for. */
  const shapeOf = (least: number, nodes: number, maxDepth: number): TreeShape => {
    const levels = Math.min(maxDepth, MOST_LEVELS);
    const key = `${least},${nodes},${levels}`;
    let shape = shapes.get(key);
    for (let fewer = least; shape === undefined && fewer > 0; fewer--) {
      const found = bestTree(treesOf, { nodes, levels, least: fewer }, cost);
      if (found.parents.length > 0) shape = found;
    }
    if (shape === undefined) throw new Error('internal: expected a tree of one node, got none');
    shapes.set(key, shape);
    return shape;
  };
  return {
    async draft(request, grow) {
      const { tokens, maxTokens, maxDepth } = request;
      memory.seen(tokens);
      drafts += 1;
      if (drafts % RETHINK === 0 || (drafts < RETHINK && isPowerOfTwo(drafts))) {
        trees = [];
        shapes = new Map();
      }
      const nodes = Math.min(maxTokens, MOST_NODES);
      const shape = shapeOf(nodes, nodes, maxDepth);
      const levels = levelsOf(shape);
      const start = performance.now();
      const draft = await grow(shape, { ...request, maxDepth: levels }, width);
      memory.drafted(tokens, draft);
      // The pass after the text has been made before.
      if (levels > 1) {
        const ms = (performance.now() - start) / (levels - 1);
        levelMs ??= ms;
        levelMs += (ms < levelMs ? FASTER : SLOWER) * (ms - levelMs);
      }
      return draft;
    },
    shapeAt(levels) {
      if (levels < 1) return { parents: [], value: 1 };
      return shapeOf(Math.min(levels, AUTO_NODES), AUTO_NODES, levels);
    },
    levels: MOST_LEVELS,
  };
}

const isPowerOfTwo = (value: number) => (value & (value - 1)) === 0;
