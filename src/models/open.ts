// Finds the model that a path or a folder means: a Hugging Face folder, a .gguf file, or a folder with one .gguf file.
import { FormatError, OptionError } from '../kernels/errors.ts';
import { hasSafetensors } from '../tensor/safetensors.ts';
import { type FolderSource, openFolder } from '../tensor/source.ts';
import type { ModelFiles } from './files.ts';
import { openModelFolder } from './folder.ts';
import { openGgufModel } from './gguf/files.ts';

/** Opens a model for the time of `body`; what was opened for a path is closed after it. */
export async function withModel<Result>(
  from: string | FolderSource,
  body: (files: ModelFiles) => Promise<Result>,
): Promise<Result> {
  if (typeof from !== 'string') return body(await openIn(from));
  const [folder, file] = isGguf(from) ? splitPath(from) : [from, null];
  const source = await openFolder(folder);
  try {
    return await body(file === null ? await openIn(source) : await openGgufModel(source, file));
  } finally {
    await source.close();
  }
}

async function openIn(source: FolderSource): Promise<ModelFiles> {
  const methods = ['has', 'size', 'read', 'text'] as const;
  if (!methods.every((name) => typeof source?.[name] === 'function'))
    throw new OptionError(
      `load: expected the path of a folder or of a .gguf file, or a FolderSource, got ${source}`,
    );
  // Where a folder has both, the safetensors are the model and the GGUF a copy of it.
  if (await hasSafetensors(source)) return openModelFolder(source);
  const found = (await source.files?.())?.filter(isGguf) ?? [];
  if (found.length > 1)
    throw new FormatError(
      `${source.name}: expected safetensors or one .gguf file, got ${found.toSorted().join(', ')}; name one of them`,
    );
  if (found.length === 1) return openGgufModel(source, found[0]);
  if (!(await source.has('config.json')))
    throw new FormatError(
      `${source.name}: expected config.json with safetensors, or one .gguf file, got neither`,
    );
  return openModelFolder(source);
}

const isGguf = (path: string) => /\.gguf$/i.test(path);

/** Folder and file. */
function splitPath(path: string): readonly [string, string] {
  const at = Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\'));
  if (at < 0) return ['.', path];
  return [at === 0 ? path[0] : path.slice(0, at), path.slice(at + 1)];
}
