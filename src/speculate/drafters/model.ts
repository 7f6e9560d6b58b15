// Drafting with an independent, smaller model, in any shape. The model keeps its own session; `feed` reconciles it with whatever was
// accepted, so there is nothing to roll back. A model of another vocabulary drafts through a translation.
import { OptionError } from '../../kernels/errors.ts';
import { measureLadder } from '../../models/ladder.ts';
import type { Model } from '../../models/model.ts';
import type { DraftCost, Drafter, DraftRequest } from '../drafter.ts';
import { Session } from '../session.ts';
import type { Pass, Passes } from './passes.ts';
import { draftFrom, type Shape, type ShapeOptions, shapeFrom } from './shapes.ts';
import { checkVocabulary, type SharedVocabulary } from './shared-vocabulary.ts';
import { type Translation, UNTRANSLATED } from './translation.ts';

/** Options of `draftModel`. */
export interface DraftModelOptions extends ShapeOptions {
  /** Of `model`; by default one of its own. In a batch, one of the batch. */
  readonly session?: Session | undefined;
  /**
   * What the model shares with a target of another tokenizer (`sharedVocabulary`); it then drafts the tokens that both have. Default:
   * every id is the same token in both.
   */
  readonly vocabulary?: SharedVocabulary | undefined;
}

/** A drafter that runs `model`. It gives back its session on dispose, not the model. */
export function draftModel(model: Model, options: DraftModelOptions = {}): Drafter {
  const { session: given, vocabulary } = options;
  const shape = shapeFrom('draftModel', options);
  if (given !== undefined && given.model !== model)
    throw new OptionError(
      'draftModel: expected a session of the draft model, got one of another model',
    );
  if (vocabulary !== undefined) checkVocabulary(vocabulary, model.config.vocab);
  const translation = vocabulary?.translate() ?? UNTRANSLATED;
  const session = given ?? new Session(model);
  return {
    name: shape.name === null ? 'model' : `model ${shape.name}`,
    maxDepth: shape.levels,
    // Of the target's tokens; what a translated text leaves is seen when it has been read.
    ...(translation === UNTRANSLATED && { contextLength: model.contextLength }),
    // The session tells texts apart; what belongs to one is made for every draft.
    draft: (request) => draftFrom(createPasses(session, translation), shape, request),
    nodesAt: shape.nodesAt,
    cost: (signal) => costOf(session, shape.fedAt, signal),
    dispose: () => session.dispose(),
  };
}

/** Passes of a model: a chain is text, so that every token is computed once, and stays when it is accepted; a tree is computed anew. */
function createPasses(session: Session, translation: Translation): Passes {
  const { model } = session;
  /** The text as the draft model has it, and after it the chain. */
  let own: number[] = [];
  const passOf = (logits: Float32Array): Pass => ({
    logits: translation.logits(logits),
    state: STATELESS,
  });
  const after = async (signal: DraftRequest['signal']): Promise<Pass> =>
    passOf((await session.feed(own, { tokens: [] }, { signal })).logits[0]);
  return {
    async begin({ tokens, signal }) {
      own = [...translation.read(tokens)];
      const levels = model.contextLength - own.length;
      if (own.length === 0 || levels < 1) return null;
      return { root: await after(signal), levels };
    },
    async push({ token }, _, signal) {
      own.push(translation.token(token));
      return after(signal);
    },
    async feed(nodes, { first }, signal) {
      const tokens = nodes.map(({ token }) => ({ token: translation.token(token) }));
      const parents = nodes.map(({ parent }) => parent);
      const { logits } = await session.feed(own, { tokens, parents }, { signal });
      return logits.slice(1 + first).map(passOf);
    },
    dispose() {},
  };
}

const STATELESS = new Float32Array(0);

/** By the ladder of the draft model: a forward per level, of the last token and of the nodes that are computed again. */
async function costOf(
  session: Session,
  fedAt: Shape['fedAt'],
  signal: AbortSignal | undefined,
): Promise<DraftCost> {
  const { model, cache } = session;
  const { ladder, maxRows } = model;
  await measureLadder(model, cache, { signal });
  const ms = (rows: number) => ladder.ms(rows) ?? 0;
  return {
    draftMs(levels) {
      let sum = 0;
      for (let depth = 0; depth < levels; depth++) sum += ms(1 + fedAt(levels, depth));
      return sum;
    },
    get missedMs() {
      return maxRows > 1 ? (ms(maxRows) - ms(1)) / (maxRows - 1) : ms(1);
    },
  };
}
