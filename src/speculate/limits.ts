// What a round may hold at most.

/**
 * Nodes of a draft; and nodes of a drafter's tree whose children it looks at. Every cache has slots for so many, so it is no more than the
 * format's own default tree needs (124).
 */
export const MAX_DRAFT = 128;

/** Slots of a cache for a text of `contextLength` positions with a draft after it, in a model that takes so many rows in a run. */
export const slotsFor = (model: {
  readonly contextLength: number;
  readonly maxRows: number;
}): number => model.contextLength + Math.max(model.maxRows, MAX_DRAFT);
