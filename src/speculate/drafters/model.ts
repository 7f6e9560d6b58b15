// Drafting with an independent, smaller model: a chain, or a static tree. The model keeps its own session; `feed` reconciles it
// with whatever was accepted, so there is nothing to roll back. A model of another vocabulary drafts through a translation.
import { OptionError } from '../../kernels/errors.ts';
import { measureLadder } from '../../models/ladder.ts';
import type { Model } from '../../models/model.ts';
import { pathTo } from '../../models/tree.ts';
import type { Draft, DraftCost, Drafter, DraftRequest, Drawn } from '../drafter.ts';
import { Session } from '../session.ts';
import { checkBranching, nodesOf } from './branching.ts';
import { checkVocabulary, type SharedVocabulary } from './shared-vocabulary.ts';
import { type Translation, UNTRANSLATED } from './translation.ts';

/** Options of `draftModel`. */
export interface DraftModelOptions {
  /**
   * Children of every node per level, e.g. [3, 2, 1]; levels beyond the list get one. Default [1]: a chain. The shape
   * is fixed before anything is drawn, so drawn tokens never decide where the tree grows.
   */
  readonly branching?: readonly number[];
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
  const { branching = [1], session: given, vocabulary } = options;
  checkBranching('draftModel', branching);
  if (given !== undefined && given.model !== model)
    throw new OptionError(
      'draftModel: expected a session of the draft model, got one of another model',
    );
  if (vocabulary !== undefined) checkVocabulary(vocabulary, model.config.vocab);
  const translation = vocabulary?.translate() ?? UNTRANSLATED;
  const session = given ?? new Session(model);
  const wide = branching.some((count) => count > 1);
  const nodesAt = (levels: number) => nodesOf(branching, levels);
  return {
    name: wide ? `model tree [${branching.join(', ')}]` : 'model',
    // Of the target's tokens; what a translated text leaves is seen when it has been read.
    ...(translation === UNTRANSLATED && { contextLength: model.contextLength }),
    async draft(request) {
      const own = translation.read(request.tokens);
      const maxDepth = Math.min(request.maxDepth, model.contextLength - own.length);
      if (own.length === 0 || maxDepth < 1) return { tokens: [] };
      const text = { session, translation, own };
      return wide
        ? grow(text, branching, { ...request, maxDepth })
        : extend(text, { ...request, maxDepth });
    },
    nodesAt,
    cost: (signal) => costOf(session, wide ? nodesAt : () => 0, signal),
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
): Promise<Draft> {
  const { tokens, maxTokens, maxDepth, signal } = request;
  const drawn: Drawn[] = [];
  const text = [...tokens];
  const own = [...before];
  while (drawn.length < Math.min(maxTokens, maxDepth)) {
    const { logits } = await session.feed(own, { tokens: [] }, { signal });
    const law = request.law(translation.logits(logits[0]), text);
    const [next] = request.draw(law, text.length, 1);
    if (next === undefined) break;
    drawn.push(next);
    text.push(next.token);
    own.push(translation.token(next.token));
  }
  return { tokens: drawn };
}

/** Level by level: one forward of the draft model per level computes every node of the level before. */
async function grow(
  { session, translation, own }: OwnText,
  branching: readonly number[],
  request: DraftRequest,
): Promise<Draft> {
  const { tokens, maxTokens, maxDepth, signal } = request;
  const drawn: Drawn[] = [];
  const parents: number[] = [];
  let frontier: readonly number[] = [-1];
  for (let depth = 0; depth < maxDepth && drawn.length < maxTokens; depth++) {
    const nodes = drawn.map(({ token }) => ({ token: translation.token(token) }));
    const { logits } = await session.feed(own, { tokens: nodes, parents }, { signal });
    const next: number[] = [];
    for (const node of frontier) {
      const count = Math.min(branching[depth] ?? 1, maxTokens - drawn.length);
      if (count === 0) break;
      const path = pathTo(node, (each) => parents[each]).map((each) => drawn[each].token);
      const law = request.law(translation.logits(logits[node + 1]), [...tokens, ...path]);
      for (const child of request.draw(law, tokens.length + depth, count)) {
        next.push(drawn.length);
        drawn.push(child);
        parents.push(node);
      }
    }
    frontier = next;
  }
  return { tokens: drawn, parents };
}
