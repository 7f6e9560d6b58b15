// The ways to read a head where its file may mean one thing and say another, or say nothing: each is the head with a changed
// config, other tensors for its vocabulary, or states of the target taken at another place. They are tried on the target.
import type { TensorData } from '../../tensor/safetensors.ts';
import { eagle } from '../drafters/eagle.ts';
import { usualLayerIds } from '../drafters/eagle3.ts';
import { mtp } from '../drafters/mtp.ts';
import type { HeadAlgorithm } from '../speculators/algorithm.ts';
import type { Json } from '../speculators/config.ts';

/** One way to read a head. */
export interface Reading {
  /** What is read otherwise than the file says; empty for nothing. */
  readonly label: string;
  /** Keys of config.json. */
  readonly config?: Json;
  /** Tensors that replace those of their names. */
  readonly tensors?: readonly TensorData[];
  /** The algorithm instead of the one of its name. */
  readonly algorithm?: HeadAlgorithm<unknown>;
}

/** What readings depend on. */
export interface ReadingParts {
  readonly algorithm: string;
  readonly raw: Json;
  /** Layers of the target. */
  readonly layers: number;
  /** Of d2t and t2d; without an entry they are as they are. */
  readonly vocabularies: readonly Reading[];
}

/**
 * All combinations, the file's own first. Where positions begin is not among them: queries and keys are turned by their positions, so
 * that attention sees differences only, and a head says the same from any origin.
 */
export function readingsOf(parts: ReadingParts): readonly Reading[] {
  const { algorithm, vocabularies } = parts;
  const own = Object.hasOwn(QUESTIONS, algorithm) ? QUESTIONS[algorithm](parts) : [];
  const questions = [...own, vocabularies];
  return questions.reduce<readonly Reading[]>(
    (all, answers) => all.flatMap((one) => [one, ...answers.map((other) => joined(one, other))]),
    [{ label: '' }],
  );
}

const joined = (one: Reading, other: Reading): Reading => ({
  ...one,
  ...other,
  label: [one.label, other.label].filter((label) => label !== '').join(', '),
  config: { ...one.config, ...other.config },
});

/** Other answers than the file's, question by question. */
const QUESTIONS: Readonly<
  Record<string, (parts: ReadingParts) => readonly (readonly Reading[])[]>
> = {
  eagle3: (parts) => [
    flag(parts, 'norm_before_residual', false),
    layerIds(parts, 'eagle_aux_hidden_state_layer_ids'),
  ],
  peagle: (parts) => [
    flag(parts, 'norm_before_residual', false),
    layerIds(parts, 'eagle_aux_hidden_state_layer_ids'),
  ],
  // Which place of a block says the first token: the anchor's own, or the one after it.
  dflash: (parts) => [
    flag(parts, 'sample_from_anchor', false),
    layerIds(parts, 'aux_hidden_state_layer_ids'),
  ],
  dspark: (parts) => [
    flag(parts, 'sample_from_anchor', true),
    layerIds(parts, 'aux_hidden_state_layer_ids'),
  ],
  // The state after the final norm, or before it.
  mlp: (parts) => [flag(parts, 'inputs_hidden_states_normalized', false)],
  eagle: () => [
    [
      {
        label: 'states before the final norm',
        algorithm: { ...eagle, fuse: mtp.fuse } as HeadAlgorithm<unknown>,
      },
    ],
  ],
  mtp: () => [
    [
      {
        label: 'states after the final norm',
        algorithm: { ...mtp, fuse: eagle.fuse } as HeadAlgorithm<unknown>,
      },
    ],
  ],
};

/** A flag the other way round. */
function flag({ raw }: ReadingParts, key: string, byDefault: boolean): Reading[] {
  const value = !(raw[key] ?? byDefault);
  return [{ label: `${key} ${value}`, config: { [key]: value } }];
}

/** Some count the states of a model from its embedding, some from the output of its first layer. */
function layerIds({ raw, layers }: ReadingParts, key: string): Reading[] {
  const given = raw[key];
  const ids: readonly number[] = Array.isArray(given) ? given : usualLayerIds(layers);
  return [-1, 1].flatMap((shift) => {
    const shifted = ids.map((id) => id + shift);
    if (shifted.some((id) => id < 0 || id > layers)) return [];
    return [{ label: `layers ${shifted.join(', ')}`, config: { [key]: shifted } }];
  });
}
