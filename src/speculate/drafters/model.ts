// Drafting with an independent, smaller model of the same vocabulary: a chain, or a static tree. The model keeps its own
// session; `feed` reconciles it with whatever was accepted, so there is nothing to roll back.
import { OptionError } from '../../kernels/errors.ts';
import { measureLadder } from '../../models/ladder.ts';
import type { Model } from '../../models/model.ts';
import { pathTo } from '../../models/tree.ts';
import type { Draft, DraftCost, Drafter, DraftRequest, Drawn } from '../drafter.ts';
import { Session } from '../session.ts';
import { checkBranching, nodesOf } from './branching.ts';

/** Options of `draftModel`. */
export interface DraftModelOptions {
  /**
   * Children of every node per level, e.g. [3, 2, 1]; levels beyond the list get one. Default [1]: a chain. The shape
   * is fixed before anything is drawn, so drawn tokens never decide where the tree grows.
   */
  readonly branching?: readonly number[];
  /** Of `model`; by default one of its own. In a batch, one of the batch. */
  readonly session?: Session;
}

/** A drafter that runs `model`. It gives back its session on dispose, not the model. */
export function draftModel(model: Model, options: DraftModelOptions = {}): Drafter {
  const { branching = [1], session: given } = options;
  checkBranching('draftModel', branching);
  if (given !== undefined && given.model !== model)
    throw new OptionError(
      'draftModel: expected a session of the draft model, got one of another model',
    );
  const session = given ?? new Session(model);
  const wide = branching.some((count) => count > 1);
  const nodesAt = (levels: number) => nodesOf(branching, levels);
  return {
    name: wide ? `model tree [${branching.join(', ')}]` : 'model',
    contextLength: model.contextLength,
    draft: (request) => (wide ? grow(session, branching, request) : extend(session, request)),
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

/** A chain is text: every drawn token is fed as if it were committed, so that it is computed once, and stays when it is. */
async function extend(session: Session, request: DraftRequest): Promise<Draft> {
  const { tokens, maxTokens, maxDepth, signal } = request;
  const drawn: Drawn[] = [];
  const text = [...tokens];
  while (drawn.length < Math.min(maxTokens, maxDepth)) {
    const { logits } = await session.feed(text, { tokens: [] }, { signal });
    const [next] = request.draw(request.law(logits[0], text), text.length, 1);
    if (next === undefined) break;
    drawn.push(next);
    text.push(next.token);
  }
  return { tokens: drawn };
}

/** Level by level: one forward of the draft model per level computes every node of the level before. */
async function grow(
  session: Session,
  branching: readonly number[],
  request: DraftRequest,
): Promise<Draft> {
  const { tokens, maxTokens, maxDepth, signal } = request;
  const drawn: Drawn[] = [];
  const parents: number[] = [];
  let frontier: readonly number[] = [-1];
  for (let depth = 0; depth < maxDepth && drawn.length < maxTokens; depth++) {
    const { logits } = await session.feed(tokens, { tokens: drawn, parents }, { signal });
    const next: number[] = [];
    for (const node of frontier) {
      const count = Math.min(branching[depth] ?? 1, maxTokens - drawn.length);
      if (count === 0) break;
      const path = pathTo(node, (each) => parents[each]).map((each) => drawn[each].token);
      const law = request.law(logits[node + 1], [...tokens, ...path]);
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
