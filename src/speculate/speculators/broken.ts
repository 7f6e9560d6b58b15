// Numbers that are none: a head with one in a hundred million loads, and drafts nothing that is accepted.
import type { Checkpoint } from '../../tensor/checkpoint.ts';
import { readMoments } from './moments.ts';

/** What to say of tensors with numbers that are NaN or infinite, a line each. */
export async function brokenNotes(
  checkpoint: Pick<Checkpoint, 'tensors' | 'readInto'>,
): Promise<string[]> {
  const notes: string[] = [];
  for (const { name, dtype } of checkpoint.tensors.values()) {
    if (dtype !== 'f32' && dtype !== 'f16' && dtype !== 'bf16') continue;
    const { broken, count } = await readMoments(checkpoint, name);
    if (broken > 0) notes.push(`${name}: ${broken} of ${count} numbers are NaN or infinite`);
  }
  return notes;
}
