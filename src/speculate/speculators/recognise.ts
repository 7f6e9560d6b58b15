// Whether a folder holds a head that its research project has published, and that has to be converted before it drafts.
import { FormatError, UnsupportedError } from '../../kernels/errors.ts';
import { openCheckpoint } from '../../tensor/safetensors.ts';
import { type FolderSource, inFolder } from '../../tensor/source.ts';
import { readConfig } from './config.ts';
import { LAYOUTS } from './research/layouts.ts';

/** The name of the research layout in a folder; null for a model, a speculator, or anything else. */
export async function researchLayoutIn(from: string | FolderSource): Promise<string | null> {
  return inFolder(from, async (source) => {
    if (!(await source.has('config.json'))) return null;
    const own = await readConfig(source);
    if ('speculators_model_type' in own) return null;
    const names = await namesIn(source);
    // Heads that lie in a model leave it a model.
    const found = Object.entries(LAYOUTS).find(
      ([, { includes, matches }]) => includes === undefined && matches(own, names),
    );
    return found?.[0] ?? null;
  });
}

/** Throws an UnsupportedError for a folder with such a head. */
export async function refuseResearch(from: string | FolderSource): Promise<void> {
  const layout = await researchLayoutIn(from);
  if (layout === null) return;
  const name = typeof from === 'string' ? from : from.name;
  throw new UnsupportedError(
    `${name}: expected a draft model or a speculator, got a head in the research layout ${layout}; foretoken convert makes a speculator of it`,
  );
}

async function namesIn(source: FolderSource): Promise<ReadonlySet<string>> {
  try {
    return new Set((await openCheckpoint(source)).tensors.keys());
  } catch (error) {
    // Whoever loads it says what is wrong.
    if (error instanceof FormatError) return new Set();
    throw error;
  }
}
