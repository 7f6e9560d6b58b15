// What is said of a layout in which a research project publishes its heads. Types only.
import type { Json } from '../config.ts';

/** What a source tensor becomes. */
export type Fate = { readonly name: string } | { readonly dropped: string };

/** A layout in which a research project publishes its heads. */
export interface ResearchFormat {
  /** `speculators_model_type` of what it becomes. */
  readonly algorithm: string;
  /** Whether a config.json and the names of the tensors are of this layout. */
  matches(config: Json, names: ReadonlySet<string>): boolean;
  /** What becomes of a tensor; undefined for one that the format has no place for. */
  fate(name: string): Fate | undefined;
  /** The name in the research layout; undefined for a tensor that is not of it. */
  back(name: string): string | undefined;
  /** The fields of config.json beside those that every speculator has. */
  fields(parts: {
    readonly own: Json;
    readonly shapes: ReadonlyMap<string, readonly number[]>;
    readonly verifier: Json;
  }): Json;
  /** The research project's own config.json from that of the format. */
  ownConfig(config: Json): Json;
}
