// What is checked of the segments of a forward before any of them grows.
import { OptionError, UnsupportedError } from '../kernels/errors.ts';
import type { Segment } from './model.ts';

/** Every token is of the vocabulary. */
export function checkTokens(segments: readonly Segment[], vocab: number): void {
  for (const { tokens, draft } of segments)
    for (const token of [...tokens, ...(draft?.tokens ?? [])])
      if (!Number.isInteger(token) || token < 0 || token >= vocab)
        throw new OptionError(`forward: expected token ids from 0 to ${vocab - 1}, got ${token}`);
}

/** Every row has a state of the width where the model takes them, and none where it does not. */
export function checkStates(segments: readonly Segment[], width: number | undefined): void {
  for (const { tokens, draft, states } of segments) {
    const rows = width === undefined ? 0 : tokens.length + (draft?.tokens.length ?? 0);
    const found = states ?? [];
    const wrong = found.find(({ length }) => length !== width);
    if (found.length !== rows || wrong !== undefined)
      throw new OptionError(
        `forward: expected ${rows} states${width === undefined ? '' : ` of ${width} numbers`}, got ${found.length}${wrong === undefined ? '' : `, one of ${wrong.length}`}`,
      );
  }
}

/** Rows that see each other are computed in one run, and not where `windows` are counted from every row. */
export function checkMutual(
  segments: readonly Segment[],
  maxRows: number,
  windows: readonly number[],
): void {
  if (!segments.some(({ draft }) => draft?.mutual)) return;
  if (windows.length > 0)
    throw new UnsupportedError(
      `forward: expected layers of full attention with a draft that is mutual, got windows of ${windows.join(', ')}`,
    );
  const rows = segments.reduce(
    (sum, { tokens, draft }) => sum + tokens.length + (draft?.tokens.length ?? 0),
    0,
  );
  if (rows > maxRows)
    throw new OptionError(
      `forward: expected at most ${maxRows} rows with a draft that is mutual, got ${rows}`,
    );
}
