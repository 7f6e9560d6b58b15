// Models and speculators of the user's own: chosen, dropped on the page, or kept in the browser. They become choices of the form.
import type { StoredModel } from '../src/browser/store.ts';
import { isSpeculator } from '../src/speculate/speculators/is-speculator.ts';
import { fileSource } from '../src/tensor/file-source.ts';
import { button, byId, html } from './dom.ts';
import type { Models, OwnModel } from './models.ts';
import { SPECULATOR } from './settings.ts';

/** What a model file is called by. */
const MODEL = /\.(gguf|safetensors)$/;

/** Wires the inputs for files; `onChoice` is called when a model has become one of the choices and is chosen. */
export function createFiles(
  models: Models,
  {
    onError,
    onChoice,
  }: { readonly onError: (error: unknown) => void; readonly onChoice: () => void },
): { list(): Promise<void> } {
  const role = byId('role', HTMLSelectElement);
  const keep = byId('keep', HTMLInputElement);
  const target = byId('target', HTMLSelectElement);
  const draft = byId('draft', HTMLSelectElement);
  const drafter = byId('drafter', HTMLSelectElement);
  const progress = byId('progress', HTMLProgressElement);
  const stored = byId('stored', HTMLUListElement);

  let offers = 0;
  const offer = (own: Omit<OwnModel, 'version'>, kind: StoredModel['kind']) => {
    const drafts = kind === 'speculator';
    const value = `${drafts ? SPECULATOR : 'own:'}${own.name}`;
    models.own.set(value, { ...own, version: ++offers });
    const select = drafts ? drafter : role.value === 'draft' ? draft : target;
    if (![...select.options].some((option) => option.value === value))
      select.append(html('option', { value }, drafts ? `${own.name}, a speculator` : own.name));
    select.value = value;
    // The draft model of the stories knows another vocabulary.
    const lacks = target.value.startsWith('own:') && !draft.value.startsWith('own:');
    if (lacks && ['model', 'tree'].includes(drafter.value)) drafter.value = 'ngram';
    onChoice();
  };

  const take = async (files: readonly File[]) => {
    try {
      const weights = files.find(({ name }) => MODEL.test(name));
      if (weights === undefined)
        throw new Error(
          `Your own model: expected a folder with .safetensors files or a .gguf file, got ${files.length === 0 ? 'nothing' : files.map(({ name }) => name).join(', ')}`,
        );
      const folder = weights.webkitRelativePath.split('/').at(-2);
      const name = folder ?? weights.name;
      const origin = { files, name };
      if (!keep.checked) {
        const found = await isSpeculator(fileSource(files, name));
        return offer({ name, origin }, found ? 'speculator' : 'model');
      }
      progress.hidden = false;
      const { kind } = await models.engine().store(name, origin, {
        onProgress({ storedBytes, totalBytes }) {
          progress.value = storedBytes / totalBytes;
        },
      });
      progress.hidden = true;
      await list();
      offer({ name, origin: { stored: name } }, kind);
    } catch (error) {
      progress.hidden = true;
      onError(error);
    }
  };

  const list = async () => {
    try {
      const copies = await models.engine().stored();
      stored.replaceChildren(
        ...copies.map(({ name, kind, bytes }) =>
          html(
            'li',
            {},
            `${name} (${(bytes / 1e6).toFixed(1)} MB) `,
            button('Use', { 'aria-label': `Use ${name}` }, () =>
              offer({ name, origin: { stored: name } }, kind),
            ),
            button('Remove', { 'aria-label': `Remove ${name}` }, () => {
              models.engine().removeStored(name).then(list, onError);
            }),
          ),
        ),
      );
    } catch {
      // A page without storage, as in a private window, has no copies.
      stored.replaceChildren();
    }
  };

  for (const id of ['folder', 'file']) {
    const input = byId(id, HTMLInputElement);
    input.addEventListener('change', () => {
      if (input.files !== null && input.files.length > 0) void take([...input.files]);
      // So that the same file can be chosen again.
      input.value = '';
    });
  }
  document.addEventListener('dragover', (event) => {
    event.preventDefault();
    document.body.classList.add('dropping');
  });
  document.addEventListener('dragleave', (event) => {
    if (event.relatedTarget === null) document.body.classList.remove('dropping');
  });
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    document.body.classList.remove('dropping');
    const entries = [...(event.dataTransfer?.items ?? [])].flatMap(
      (item) => item.webkitGetAsEntry() ?? [],
    );
    void Promise.all(entries.map(filesOf)).then((found) => take(found.flat()), onError);
  });
  return { list };
}

/** The files of what was dropped: itself, or those of a folder. */
async function filesOf(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile)
    return [
      await new Promise<File>((resolve, reject) =>
        (entry as FileSystemFileEntry).file(resolve, reject),
      ),
    ];
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const files: File[] = [];
  // A reader gives a hundred entries at most, and none in the end.
  while (true) {
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (entries.length === 0) return files;
    for (const each of entries) if (each.isFile) files.push(...(await filesOf(each)));
  }
}
