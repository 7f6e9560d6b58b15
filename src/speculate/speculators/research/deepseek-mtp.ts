// The layer for multi-token prediction of DeepSeek-V3 and of those who name it as they do (GLM): one more layer after the last,
// `model.layers.{N}`. The columns of `eh_proj` are the token's, then the state's: so does every runtime of these files
// concatenate, although the paper writes the state first. That is the order of the format, so no column moves.
import { FormatError } from '../../../kernels/errors.ts';
import { decoderOf, type Json } from '../config.ts';
import type { ResearchFormat } from './format.ts';
import { isPlain, LAYER, mtpCommon } from './mtp.ts';
import { renames } from './names.ts';

const HEAD = /^model\.layers\.\d+\.(eh_proj|enorm|hnorm|shared_head\.norm)\.weight$/;
const PROJECTION = /^model\.layers\.\d+\.eh_proj\.weight$/;
const LAYERS = /^model\.layers\.(\d+)\./;

/** The layout for a model of so many layers. */
function after(layers: number): ResearchFormat {
  const at = `model.layers.${layers}`;
  const names = renames(
    { [`${at}.`]: `${LAYER}.` },
    {
      [`${at}.eh_proj.weight`]: `${LAYER}.input_proj.weight`,
      [`${at}.enorm.weight`]: `${LAYER}.token_layernorm.weight`,
      [`${at}.hnorm.weight`]: `${LAYER}.hidden_layernorm.weight`,
      [`${at}.shared_head.norm.weight`]: `${LAYER}.final_layernorm.weight`,
    },
  );
  const copies: Readonly<Record<string, string>> = {
    [`${at}.embed_tokens.weight`]: 'model.embed_tokens.weight',
    [`${at}.shared_head.head.weight`]: 'lm_head.weight',
  };
  return {
    ...mtpCommon,
    matches: deepseekMtp.matches,
    // A further layer has no place in the format, and has to be refused.
    includes: (name) => Number(LAYERS.exec(name)?.[1] ?? -1) >= layers,
    fate(name) {
      if (Object.hasOwn(copies, name)) return { dropped: 'the target has it' };
      const to = isPlain(name) ? names.to(name) : undefined;
      return to === undefined ? undefined : { name: to };
    },
    back: names.back,
    originals: (name) => (Object.hasOwn(copies, name) ? [copies[name]] : []),
  };
}

/** Multi-token prediction of DeepSeek; where its layer is, the config says. */
export const deepseekMtp: ResearchFormat = {
  ...mtpCommon,
  matches: (_, names) => [...names].some((name) => PROJECTION.test(name)),
  within(own: Json) {
    const layers = decoderOf(own)['num_hidden_layers'];
    if (typeof layers !== 'number')
      throw new FormatError(
        `config.json: num_hidden_layers: expected the layers of the target, got ${layers}`,
      );
    return after(layers);
  },
  includes: (name) => LAYERS.test(name),
  // Of any number of layers, to say what comes closest.
  fate: (name) => (HEAD.test(name) ? { name } : undefined),
  back: () => undefined,
};
