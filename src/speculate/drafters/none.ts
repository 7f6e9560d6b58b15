// The drafter that proposes nothing: with it, the loop is plain decoding.
import type { Drafter } from '../drafter.ts';

/** A drafter whose drafts are empty. */
export function none(): Drafter {
  return { name: 'none', draft: () => ({ tokens: [] }) };
}
