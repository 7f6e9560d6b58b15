// The shape of a drafter's trees by what it has learnt: how often its candidates of each rank came, how long its levels take, and what the
// target's checked rows cost.
import * as z from 'zod';
import { OptionError } from '../../kernels/errors.ts';
import type { Ladder } from '../../models/model.ts';
import { bestTree, type TreeShape } from '../best-tree.ts';
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
/** Drafts after which shapes are thought over. */
const RETHINK = 8;
/** What a level is taken to cost before any was timed, in steps of the target; and the weight of a new time. */
const FIRST_COST = 0.2;
const NEW_TIME = 0.1;

/** Shapes, and what they are learnt from. */
export interface BestShapes {
  /**
   * A draft of at least one node in the best shape of now; `grow` draws it and ranks `width` candidates at every node where it looks.
   */
  draft(
    request: DraftRequest,
    grow: (shape: TreeShape, request: DraftRequest, width: number) => Promise<RankedDraft>,
  ): Promise<RankedDraft>;
  nodesAt(levels: number): number;
}

/** Begins to learn. Throws an OptionError for wrong options. */
export function createBestShapes(where: string, options: BestOptions): BestShapes {
  const parsed = BestSchema.safeParse(options);
  if (!parsed.success) throw new OptionError(`${where}: best: ${z.prettifyError(parsed.error)}`);
  const { ladder, width } = parsed.data;
  const memory = createRankMemory(MOST_LEVELS, width);
  let shapes = new Map<string, TreeShape>();
  let drafts = 0;
  let levelMs: number | undefined;

  const cost = (nodes: number, levels: number): number => {
    const stepMs = ladder.ms(1);
    // Before anything was measured, rows are taken to be free.
    if (stepMs === undefined) return 1 + FIRST_COST * levels;
    return (levelMs ?? FIRST_COST * stepMs) * levels + (ladder.ms(1 + nodes) ?? stepMs);
  };
  const shapeAt = (maxTokens: number, maxDepth: number): TreeShape => {
    const nodes = Math.min(maxTokens, MOST_NODES);
    const levels = Math.min(maxDepth, MOST_LEVELS);
    const key = `${nodes},${levels}`;
    const known = shapes.get(key);
    if (known !== undefined) return known;
    const found = bestTree(memory.acceptance, { nodes, levels, width, least: 1 }, cost);
    shapes.set(key, found);
    return found;
  };
  return {
    async draft(request, grow) {
      const { tokens, maxTokens, maxDepth } = request;
      memory.seen(tokens);
      if (drafts % RETHINK === 0) shapes = new Map();
      drafts += 1;
      const shape = shapeAt(maxTokens, maxDepth);
      const levels = levelsOf(shape);
      const start = performance.now();
      const draft = await grow(shape, { ...request, maxDepth: levels }, width);
      memory.drafted(tokens.length, draft);
      // The first one reads the text.
      const ms = (performance.now() - start) / levels;
      if (drafts > 1) levelMs = levelMs === undefined ? ms : levelMs + NEW_TIME * (ms - levelMs);
      return draft;
    },
    nodesAt: (levels) => (levels < 1 ? 0 : shapeAt(AUTO_NODES, levels).parents.length),
  };
}
