// How far the loop drafts in each round: always as far as it was told, or as far as a controller finds that it pays. Decided
// before the round's draft exists, from rounds that are over and from times, so that no drawn token decides on its own fate.
import { measureLadder } from '../models/ladder.ts';
import type { Ladder } from '../models/model.ts';
import {
  type Choice,
  type Controller,
  createController,
  type Knowledge,
  type Outcome,
} from './controller.ts';
import type { Drafter } from './drafter.ts';
import type { Session } from './session.ts';

/** What one round may draft. */
export interface Allowance extends Choice {
  readonly maxTokens: number;
}

/** What the statistics say about the choices. */
export interface PaceReport {
  readonly drafter: string;
  /** As it was asked for. */
  readonly draftLength: number | 'auto';
  readonly ladder: Ladder;
  /** What the controller knew in the end; undefined where it never had a choice to make. */
  readonly knowledge: Knowledge | undefined;
}

/** Decides rounds and learns from them. */
export interface Pace {
  /** For a text of `position` tokens that may get `left` more. */
  next(state: { readonly position: number; readonly left: number }): Promise<Allowance>;
  add(outcome: Outcome): void;
  report(): PaceReport;
}

const NOTHING: Allowance = { levels: 0, trial: false, missed: 0, maxTokens: 0 };

/** The pace of a generation. */
export function createPace(
  draftLength: number | 'auto',
  parts: {
    readonly drafter: Drafter;
    readonly session: Session;
    readonly signal: AbortSignal | undefined;
  },
): Pace {
  return draftLength === 'auto' ? automatic(parts) : fixed(draftLength, parts);
}

/** The same in every round, clipped by what may still be emitted and by the drafter's context. */
function fixed(draftLength: number, { drafter, session }: Parameters<typeof createPace>[1]): Pace {
  return {
    async next({ position, left }) {
      const levels = Math.min(draftLength, roomFor(drafter, position, left));
      return { ...NOTHING, maxTokens: draftLength, levels };
    },
    add() {},
    report: () => ({
      drafter: drafter.name,
      draftLength,
      ladder: session.model.ladder,
      knowledge: undefined,
    }),
  };
}

/**
 * As far as it pays. The first round drafts nothing: it computes the prompt, and the first token should come as early as
 * without a drafter. What is learnt about a drafter stays with the session.
 */
function automatic({ drafter, session, signal }: Parameters<typeof createPace>[1]): Pace {
  const { ladder } = session.model;
  const nodesAt = (levels: number) => drafter.nodesAt?.(levels) ?? levels;
  let begun = false;
  let controller: Controller | undefined;

  async function open(): Promise<Controller> {
    const known = session.controllers.get(drafter);
    if (known !== undefined) return known;
    await measureLadder(session.model, session.cache, { signal });
    const cost = await drafter.cost?.(signal);
    const made = createController({ ladder, nodesAt, cost, maxDepth: drafter.maxDepth });
    session.controllers.set(drafter, made);
    return made;
  }

  return {
    async next({ position, left }) {
      const room = roomFor(drafter, position, left);
      const first = !begun;
      begun = true;
      if (first || room < 1) return NOTHING;
      controller ??= await open();
      const { company } = session;
      const { levels, trial, missed } = controller.choose({ position, left, room, company });
      return { levels, trial, missed, maxTokens: levels > 0 ? nodesAt(levels) : 0 };
    },
    add: (outcome) => controller?.add(outcome),
    report: () => ({
      drafter: drafter.name,
      draftLength: 'auto',
      ladder,
      knowledge: controller?.knowledge(),
    }),
  };
}

/** Levels that may be drafted: the target adds a token of its own, and a drafter has a context. */
function roomFor(
  { contextLength = Number.POSITIVE_INFINITY, maxDepth = Number.POSITIVE_INFINITY }: Drafter,
  position: number,
  left: number,
) {
  return Math.min(left - 1, contextLength - position, maxDepth);
}
