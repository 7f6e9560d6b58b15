// What a generation shows: text as soon as its characters are whole and no stop string can begin in it, and why it ended.
import type { TextStream, Tokenizer } from '../models/tokenizer.ts';
import type { Settings } from './options.ts';
import { createStopText } from './stops.ts';

/** A stop token or string, a limit (maxTokens or the context), or an abort. */
export type FinishReason = 'stop' | 'length' | 'abort';

/** Collects the tokens emitted after `prompt`; `limit` is how many there may be. */
export function createOutput(
  tokenizer: Tokenizer,
  settings: Pick<Settings, 'stop' | 'stopTokens' | 'ignoreEos'>,
  {
    prompt,
    eosTokens,
    limit,
  }: {
    readonly prompt: readonly number[];
    readonly eosTokens: readonly number[];
    readonly limit: number;
  },
) {
  const stream: TextStream = tokenizer.stream();
  // The text goes on where the prompt ends: a space at its start stays, and a character that the prompt began is ended.
  for (const id of prompt) stream.push(id);
  const stops = createStopText(settings.stop);
  const stopTokens = new Set([...settings.stopTokens, ...(settings.ignoreEos ? [] : eosTokens)]);
  const ids: number[] = [];
  let text = '';
  let stop: string | null = null;
  let finishReason: FinishReason | null = null;

  const show = (piece: string): string => {
    const released = stops.push(piece);
    if (released.stop !== null) {
      stop = released.stop;
      finishReason = 'stop';
    }
    return released.text;
  };
  /** Text held back for a character or a stop string that did not come. */
  const flush = (): string => {
    if (stop !== null) return '';
    const rest = show(stream.flush());
    return stop === null ? rest + stops.flush() : rest;
  };

  return {
    get finishReason(): FinishReason | null {
      return finishReason;
    },
    get count(): number {
      return ids.length;
    },
    /** Adds a token; returns the text that may be shown now, all that is left with the last token. */
    push(id: number): string {
      ids.push(id);
      let shown = '';
      if (stopTokens.has(id)) finishReason = 'stop';
      else shown = show(stream.push(id));
      // A stop string in the last token counts before the limit does.
      if (ids.length >= limit) finishReason ??= 'length';
      if (finishReason !== null) shown += flush();
      text += shown;
      return shown;
    },
    /** What was emitted; a generation that has not finished by then was aborted. */
    result() {
      if (finishReason === null) text += flush();
      return { text, tokens: ids, finishReason: finishReason ?? 'abort', stop };
    },
  };
}
