// What a layout of a research project declares: how it is told from others, what its tensors are called, and what its config.json
// says. Tensors keep their bytes; every one is renamed, kept or left out by name, and none is made up. Types only.
import type { TensorParts } from '../../../tensor/parts.ts';
import type { Json } from '../config.ts';

/** What a source tensor becomes. */
export type Fate = { readonly name: string } | { readonly dropped: string };

/** A layout in which a research project publishes its heads. */
export interface ResearchFormat extends Partial<Particulars> {
  /** `speculators_model_type` of what it becomes. */
  readonly algorithm: string;
  /** Whether a config.json and the names of the tensors are of this layout. */
  matches(config: Json, names: ReadonlySet<string>): boolean;
  /** What becomes of a tensor; undefined for one that the format has no place for. */
  fate(name: string): Fate | undefined;
  /** The name in the research layout; undefined for a tensor that is not of it. */
  back(name: string): string | undefined;
  /**
   * The fields of config.json beside those that every speculator has, `architectures` among them. `own` is the research project's config.json, with what the
   * caller chose in it; `shapes` has the tensors by their research names; `verifier` is the target's decoder.
   */
  fields(parts: {
    readonly own: Json;
    readonly shapes: ReadonlyMap<string, readonly number[]>;
    readonly verifier: Json;
  }): Json;
  /** The research project's own config.json from that of the format. */
  ownConfig(config: Json): Json;
}

/** Tensors that were cut or joined, and a line of the report for each change. */
export interface Arranged {
  readonly tensors: readonly TensorParts[];
  readonly changes: readonly string[];
  /** Parts of tensors that are left out, and why. */
  readonly lost?: readonly (readonly [string, string])[];
}

/** What only some layouts have. */
export interface Particulars {
  /** The layout of one source, where its names depend on the research project's config.json. */
  within(own: Json): ResearchFormat;
  /** Which tensors are of the head, where it lies in the checkpoint of its target. */
  includes(name: string): boolean;
  /** Names of the tensor of the target that one of the head repeats; where both are there they have to be equal. */
  originals(name: string): readonly string[];
  /** Those of them that every head of the layout has. */
  readonly repeats: readonly string[];
  /** What other readers of the format do not understand of a config.json in it, a line each. */
  elsewhere(config: Json): readonly string[];
  /** Why a tensor without a fate has none. */
  reason(name: string): string | undefined;
  /** Names in the format without which there is no head, where so many `names` are there. */
  needs(config: Json, names: ReadonlySet<string>): readonly string[];
  /** Keys of `own` that a caller may choose. */
  readonly choices: readonly string[];
  /** Drafted tokens of the proposal method, for a config.json of the format. */
  draftLength(config: Json): number;
  /** Tensors under their names in the format, cut and joined as the format has them. */
  arrange(
    tensors: readonly TensorParts[],
    parts: { readonly own: Json; readonly verifier: Json },
  ): Arranged;
  /** The inverse, for a config.json of the format. */
  restore(tensors: readonly TensorParts[], config: Json): Arranged;
  /** Tensors that the format may have and the layout takes from the target. */
  readonly lent: readonly string[];
}
