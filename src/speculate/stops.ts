// Stop strings in streamed text: what is released can never become part of a match, and nothing else is held back.

export interface StopText {
  /** Adds text; returns what may be shown now, and the stop string that was completed, if any. */
  push(piece: string): { readonly text: string; readonly stop: string | null };
  /** What was held back, once no more text comes. */
  flush(): string;
}

/** Watches for the earliest end of any of `stops`; the match itself is never shown. */
export function createStopText(stops: readonly string[]): StopText {
  let held = '';
  return {
    push(piece) {
      held += piece;
      const found = earliest(held, stops);
      if (found !== null) {
        const text = held.slice(0, found.at);
        held = '';
        return { text, stop: found.stop };
      }
      const keep = Math.max(0, ...stops.map((stop) => overlap(held, stop)));
      const text = held.slice(0, held.length - keep);
      held = held.slice(held.length - keep);
      return { text, stop: null };
    },
    flush() {
      const text = held;
      held = '';
      return text;
    },
  };
}

/** The match that ends first; of those that end together, the one that begins first. */
function earliest(text: string, stops: readonly string[]) {
  let best: { at: number; stop: string } | null = null;
  for (const stop of stops) {
    const at = text.indexOf(stop);
    if (at < 0) continue;
    const sooner = best === null || at + stop.length - (best.at + best.stop.length);
    if (sooner === true || sooner < 0 || (sooner === 0 && best !== null && at < best.at))
      best = { at, stop };
  }
  return best;
}

/** Length of the longest end of `text` that begins `stop`. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--)
    if (text.endsWith(stop.slice(0, length))) return length;
  return 0;
}
