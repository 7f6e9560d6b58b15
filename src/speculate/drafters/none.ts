// The drafter that proposes nothing: with it, the loop is plain decoding.
import type { Drafter } from '../drafter.ts';

/** A drafter whose drafts are empty, and that no text leaves room to ask. */
export function none(): Drafter {
  return { name: 'none', contextLength: 0, draft: () => ({ tokens: [] }) };
}
