// Drafting with a head: it continues the target's states, in any shape.
import { OptionError } from '../../kernels/errors.ts';
import type { Drafter } from '../drafter.ts';
import type { Head } from '../speculators/head.ts';
import { createDepths } from './head-depths.ts';
import { createPairs } from './head-pairs.ts';
import { createPlaces, longestOf } from './head-places.ts';
import type { Passes } from './passes.ts';
import { draftFrom, type ShapeOptions, shapeFrom } from './shapes.ts';

/** Options of `draftHead`. */
export interface DraftHeadOptions extends ShapeOptions {
  /** Shown in reports; default `head`. */
  readonly name?: string;
  /**
   * Of heads that say how probable it is that a draft is accepted: a chain stops where the product falls below; default 0, never.
   */
  readonly confidence?: number | undefined;
}

/** A drafter that runs a head. It gives back its cache on dispose, not the head. */
export function draftHead(head: Head, options: DraftHeadOptions = {}): Drafter {
  const { name = 'head', confidence = 0 } = options;
  const shape = shapeFrom('draftHead', options);
  if (!(confidence >= 0 && confidence <= 1))
    throw new OptionError(
      `draftHead: confidence: expected a probability from 0 to 1, got ${confidence}`,
    );
  const isConfident = head.model !== undefined && head.isConfident;
  if (confidence > 0 && (shape.name !== null || !isConfident))
    throw new OptionError(
      `draftHead: confidence: expected a chain of a head that says how probable its drafts are, got ${shape.name ?? name}`,
    );
  const passes = passesOf(head, confidence);
  const longest = Math.min(shape.levels, head.model === undefined ? head.steps : longestOf(head));
  let isBusy = false;
  return {
    name: shape.name === null ? name : `${name} ${shape.name}`,
    taps: head.taps,
    contextLength: head.contextLength,
    maxDepth: longest,
    ...(passes.known && { known: passes.known }),
    async draft(request) {
      // Its cache holds one text; a batch could ask for two at once.
      if (isBusy)
        throw new OptionError(
          `drafter ${name}: expected one text at a time, got another; each text of a batch needs a drafter of its own`,
        );
      isBusy = true;
      try {
        return await draftFrom(passes, shape, request);
      } finally {
        isBusy = false;
      }
    },
    nodesAt: (levels) => shape.nodesAt(Math.min(levels, longest)),
    dispose: () => passes.dispose(),
  };
}

function passesOf(head: Head, confidence: number): Passes {
  if (head.model === undefined) return createDepths(head);
  const inOne = head.mask !== undefined || head.block !== undefined;
  return inOne ? createPlaces(head, confidence) : createPairs(head);
}
