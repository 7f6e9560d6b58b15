// Drafting with an independent, smaller model: a chain, or a static tree. The model keeps its own session; `feed` reconciles it
// with whatever was accepted, so there is nothing to roll back. A model of another vocabulary drafts through a translation.
import { OptionError } from '../../kernels/errors.ts';
import { measureLadder } from '../../models/ladder.ts';
import type { Model } from '../../models/model.ts';
import type { TreeShape } from '../best-tree.ts';
import type { DraftCost, Drafter, DraftRequest } from '../drafter.ts';
import type { RankedDraft } from '../rank-memory.ts';
import { Session } from '../session.ts';
import { type BestOptions, createBestShapes } from './best.ts';
import { checkBranching, nodesOf } from './branching.ts';
import { type Grown, growChain, growTree, isChain, type Pass, shapeOf } from './grow.ts';
import { checkVocabulary, type SharedVocabulary } from './shared-vocabulary.ts';
import { type Translation, UNTRANSLATED } from './translation.ts';

/** Options of `draftModel`. */
export interface DraftModelOptions {
  /**
   * Children of every node per level, e.g. [3, 2, 1]; levels beyond the list get one. Default [1]: a chain. The shape
   * is fixed before anything is drawn, so drawn tokens never decide where the tree grows.
   */
  readonly branching?: readonly number[];
  /** Instead of a fixed shape the one that is worth most by what was measured and learnt. */
  readonly best?: BestOptions;
  /** Of `model`; by default one of its own. In a batch, one of the batch. */
  readonly session?: Session;
  /**
   * What the model shares with a target of another tokenizer (`sharedVocabulary`); it then drafts the tokens that both have. Default:
   * every id is the same token in both.
   */
  readonly vocabulary?: SharedVocabulary | undefined;
}

/** A drafter that runs `model`. It gives back its session on dispose, not the model. */
export function draftModel(model: Model, options: DraftModelOptions = {}): Drafter {
  const { branching = [1], best: bestOptions, session: given, vocabulary } = options;
  if (options.branching !== undefined && bestOptions !== undefined)
    throw new OptionError('draftModel: expected branching or best, got both');
  checkBranching('draftModel', branching);
  const best = bestOptions && createBestShapes('draftModel', bestOptions);
  if (given !== undefined && given.model !== model)
    throw new OptionError(
      'draftModel: expected a session of the draft model, got one of another model',
    );
  if (vocabulary !== undefined) checkVocabulary(vocabulary, model.config.vocab);
  const translation = vocabulary?.translate() ?? UNTRANSLATED;
  const session = given ?? new Session(model);
  const wide = branching.some((count) => count > 1);
  const nodesAt = best?.nodesAt ?? ((levels: number) => nodesOf(branching, levels));
  return {
    name: best ? 'model, best tree' : wide ? `model tree [${branching.join(', ')}]` : 'model',
    // Of the target's tokens; what a translated text leaves is seen when it has been read.
    ...(translation === UNTRANSLATED && { contextLength: model.contextLength }),
    async draft(request) {
      const own = translation.read(request.tokens);
      const maxDepth = Math.min(request.maxDepth, model.contextLength - own.length);
      if (own.length === 0 || maxDepth < 1) return { tokens: [] };
      const text = { session, translation, own };
      const within = { ...request, maxDepth };
      if (best === undefined)
        return wide ? grow(text, shapeOf(branching, within), within) : extend(text, within);
      return best.draft(within, (shape, asked, width) =>
        isChain(shape) ? extend(text, asked, width) : grow(text, shape, asked, width),
      );
    },
    nodesAt,
    cost: (signal) => costOf(session, wide || best ? nodesAt : () => 0, signal),
    dispose: () => session.dispose(),
  };
}

/** By the ladder of the draft model: a forward per level, of the last token and of `computedAgain` nodes before it. */
async function costOf(
  session: Session,
  computedAgain: (levels: number) => number,
  signal: AbortSignal | undefined,
): Promise<DraftCost> {
  const { model, cache } = session;
  const { ladder, maxRows } = model;
  await measureLadder(model, cache, { signal });
  const ms = (rows: number) => ladder.ms(rows) ?? 0;
  return {
    draftMs(levels) {
      let sum = 0;
      for (let depth = 0; depth < levels; depth++) sum += ms(1 + computedAgain(depth));
      return sum;
    },
    get missedMs() {
      return maxRows > 1 ? (ms(maxRows) - ms(1)) / (maxRows - 1) : ms(1);
    },
  };
}

/** The text of a request as the draft model has it. */
interface OwnText {
  readonly session: Session;
  readonly translation: Translation;
  readonly own: readonly number[];
}

/** A chain is text: every drawn token is fed as if it were committed, so that it is computed once, and stays when it is. */
async function extend(
  { session, translation, own: before }: OwnText,
  request: DraftRequest,
  width = 1,
): Promise<RankedDraft> {
  const own = [...before];
  return growChain(request, width, async (drawn) => {
    if (drawn !== undefined) own.push(translation.token(drawn.token));
    const { logits } = await session.feed(own, { tokens: [] }, { signal: request.signal });
    return { logits: translation.logits(logits[0]) };
  });
}

/** A tree: one forward of the draft model per level computes every node so far. */
async function grow(
  { session, translation, own }: OwnText,
  shape: Pick<TreeShape, 'parents'>,
  request: DraftRequest,
  width = 0,
): Promise<RankedDraft> {
  const passes = async (nodes: readonly Grown<Pass>[], first: number): Promise<Pass[]> => {
    const tokens = nodes.map(({ token }) => ({ token: translation.token(token) }));
    const parents = nodes.map(({ parent }) => parent);
    const { logits } = await session.feed(own, { tokens, parents }, { signal: request.signal });
    return logits.slice(first).map((row) => ({ logits: translation.logits(row) }));
  };
  const [root] = await passes([], 0);
  return growTree(request, shape, {
    root,
    width,
    feed: (nodes, { first }) => passes(nodes, 1 + first),
  });
}
