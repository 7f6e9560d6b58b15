// What tells a speculator from a model: a key of its config.json. Alone in a file, so that a page can ask without the heads.
import { type FolderSource, inFolder, parseJson } from '../../tensor/source.ts';

/** Whether a folder holds a speculator: a config.json that says so. Throws a FormatError for one that is no JSON. */
export const isSpeculator = (from: string | FolderSource): Promise<boolean> =>
  inFolder(from, async (source) => {
    if (!(await source.has('config.json'))) return false;
    const json = parseJson(await source.text('config.json'), `${source.name}/config.json`);
    return typeof json === 'object' && json !== null && 'speculators_model_type' in json;
  });
