// An independent draft model in the format of speculators: a whole model with its own cache, whose config.json has the keys of the
// model and those of the format side by side. It drafts as `draftModel` does.
import { FormatError, UnsupportedError } from '../../kernels/errors.ts';
import { createDecoder, tensorsOf } from '../../models/decoder.ts';
import { openModelFolder } from '../../models/folder.ts';
import { loadTokenizer } from '../../models/tokenizer.ts';
import { checkWeights, loadWeights } from '../../models/weights.ts';
import type { FolderSource } from '../../tensor/source.ts';
import { draftModel } from '../drafters/model.ts';
import {
  type SharedVocabulary,
  sharedVocabulary,
  type Worded,
} from '../drafters/shared-vocabulary.ts';
import type { Loader, SpeculatorOptions } from './loaded.ts';

/** What a model may have beside config and weights. */
const TEXTS = [
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'chat_template.jinja',
] as const;

/** Loads an independent draft model. */
export const loadIndependent: Loader = async (source, _config, options) => {
  const { verifier, dtype = 'auto', onProgress, signal } = options;
  const files = await openModelFolder(source);
  const { architecture, config } = files;
  const map = architecture.weights(config);
  const notes = checkWeights(files, map);
  const { vocabulary, note } = await vocabularyOf(source, config, options);
  if (note !== null) notes.push(note);
  const texts = await textsOf(source);
  const loaded = await loadWeights(files, map, verifier.backend, { dtype, onProgress, signal });
  const { weights } = loaded;
  const model = createDecoder({
    config,
    forward: (ops, context) => architecture.forward(ops, { ...context, weights }),
    tensors: tensorsOf(weights),
    lent: weights,
    backend: verifier.backend,
    contextLength: Math.min(config.maxPositions, verifier.contextLength),
    maxRows: verifier.maxRows,
  });
  return {
    model,
    head: null,
    notes: [...notes, ...loaded.notes],
    weights: new Map([...loaded.tensors].map(([{ name }, tensor]) => [name, tensor])),
    vocabulary: [],
    tensors: files.checkpoint.tensors,
    metadata: files.checkpoint.metadata,
    texts,
    drafter({ confidence, ...shape } = {}) {
      if (confidence !== undefined)
        throw new UnsupportedError(
          `${source.name}: expected a shape of an independent draft model, which says nothing of its acceptance, got confidence`,
        );
      return draftModel(model, { vocabulary, ...shape });
    },
    dispose: () => model.dispose(),
  };
};

/** What it shares with the target; nothing is compared where a tokenizer is missing, and sizes have to agree then. */
async function vocabularyOf(
  source: FolderSource,
  config: Worded['model']['config'],
  { verifier, tokenizer }: SpeculatorOptions,
): Promise<{ readonly vocabulary?: SharedVocabulary; readonly note: string | null }> {
  const hasOwn = await source.has('tokenizer.json');
  if (hasOwn && tokenizer !== undefined) {
    const own = { model: { config }, tokenizer: await loadTokenizer(source) };
    const vocabulary = sharedVocabulary(own, { model: verifier, tokenizer });
    return { vocabulary, note: vocabulary.note };
  }
  const missing = hasOwn ? "the target's was not given" : 'it has none';
  const { vocab } = verifier.config;
  if (config.vocab !== vocab)
    throw new FormatError(
      `${source.name}/config.json: vocab_size: expected the target's ${vocab} where no tokenizers are compared (${missing}), got ${config.vocab}`,
    );
  return { note: `its tokenizer is not compared with the target's: ${missing}` };
}

/** The files of an independent draft model beside config and weights. */
export async function textsOf(source: FolderSource): Promise<Record<string, string>> {
  const texts: Record<string, string> = {};
  for (const name of TEXTS) if (await source.has(name)) texts[name] = await source.text(name);
  return texts;
}
