// Drafting with an independent, smaller model of the same vocabulary: a chain, or a static tree. The model keeps its own
// session; `feed` reconciles it with whatever was accepted, so there is nothing to roll back.
import { OptionError } from '../../kernels/errors.ts';
import type { Model } from '../../models/model.ts';
import type { Draft, Drafter, DraftRequest, Drawn } from '../drafter.ts';
import { Session } from '../session.ts';

/** Options of `draftModel`. */
export interface DraftModelOptions {
  /**
   * Children of every node per level, e.g. [3, 2, 1]; levels beyond the list get one. Default [1]: a chain. The shape
   * is fixed before anything is drawn, so drawn tokens never decide where the tree grows.
   */
  readonly branching?: readonly number[];
}

/** A drafter that runs `model`. It gives back its session on dispose, not the model. */
export function draftModel(model: Model, { branching = [1] }: DraftModelOptions = {}): Drafter {
  if (branching.length === 0 || branching.some((count) => !Number.isInteger(count) || count < 1))
    throw new OptionError(
      `draftModel: branching: expected whole numbers from 1, got [${branching.join(', ')}]`,
    );
  const session = new Session(model);
  const wide = branching.some((count) => count > 1);
  return {
    name: wide ? `model tree [${branching.join(', ')}]` : 'model',
    contextLength: model.contextLength,
    draft: (request) => grow(session, branching, request),
    dispose: () => session.dispose(),
  };
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
      const law = request.law(logits[node + 1], [...tokens, ...pathTo(node, drawn, parents)]);
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

function pathTo(node: number, drawn: readonly Drawn[], parents: readonly number[]): number[] {
  const path: number[] = [];
  for (let each = node; each >= 0; each = parents[each]) path.push(drawn[each].token);
  return path.reverse();
}
