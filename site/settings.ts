// The form as data. The browser has checked ranges and patterns before this is asked.
import type { EngineGenerateOptions } from '../src/browser/engine.ts';
import type { RemoteLoadOptions } from '../src/browser/protocol.ts';
import { byId } from './dom.ts';

/** What the form says, as it was when a run began. */
export interface Settings {
  readonly prompt: string;
  readonly backend: string;
  readonly target: string;
  readonly dtype: NonNullable<RemoteLoadOptions['dtype']>;
  /** The model, or the speculator, of the drafters that run one. */
  readonly draft: string;
  readonly drafter: 'model' | 'tree' | 'speculator' | 'ngram' | 'suffix' | 'none';
  readonly draftLength: number | 'auto';
  readonly branching: readonly number[];
  /** Of sampled texts; at temperature 0 it is greedy. */
  readonly verifier: 'match' | 'rejection' | 'greedy';
  readonly temperature: number;
  readonly seed: number;
  readonly maxTokens: number;
  readonly slow: boolean;
  readonly compare: boolean;
}

/** Of a draft, in `generate`. */
const MOST_NODES = 64;

const select = (id: string) => byId(id, HTMLSelectElement).value;
const input = (id: string) => byId(id, HTMLInputElement);

/** What values of speculators begin with, each of which is a drafter of its own. */
export const SPECULATOR = 'speculator:';

/** Reads the form. */
export function readSettings(): Settings {
  const length = select('length');
  const chosen = select('drafter');
  const isSpeculator = chosen.startsWith(SPECULATOR);
  const drafter = isSpeculator ? 'speculator' : (chosen as Settings['drafter']);
  const branching = input('branching').value.split(',').map(Number);
  const temperature = input('temperature').valueAsNumber;
  return {
    prompt: byId('prompt', HTMLTextAreaElement).value,
    backend: select('backend'),
    target: select('target'),
    dtype: select('dtype') as Settings['dtype'],
    draft: isSpeculator ? chosen : select('draft'),
    drafter,
    draftLength:
      drafter === 'tree' ? nodesOf(branching) : length === 'auto' ? 'auto' : Number(length),
    branching,
    verifier: temperature === 0 ? 'greedy' : (select('verifier') as Settings['verifier']),
    temperature,
    seed: input('seed').valueAsNumber,
    maxTokens: input('tokens').valueAsNumber,
    slow: select('pace') === 'slow',
    compare: input('compare').checked,
  };
}

/** Shows what the other choices leave without meaning as not to be chosen. */
export function settleForm(): void {
  const drafter = select('drafter');
  input('branching').disabled = drafter !== 'tree';
  byId('draft', HTMLSelectElement).disabled = drafter !== 'tree' && drafter !== 'model';
  byId('length', HTMLSelectElement).disabled = drafter === 'none' || drafter === 'tree';
  input('compare').disabled = drafter === 'none';
  byId('verifier', HTMLSelectElement).disabled = input('temperature').valueAsNumber === 0;
}

/** Nodes of a full tree, as far as a draft may go. */
function nodesOf(branching: readonly number[]): number {
  let [nodes, width] = [0, 1];
  for (const count of branching) {
    width *= count;
    nodes += width;
  }
  return Math.min(nodes, MOST_NODES);
}

/** Options of a generation, but for the drafter. */
export function optionsOf(settings: Settings): EngineGenerateOptions {
  const { draftLength, verifier, temperature, seed, maxTokens } = settings;
  return { draftLength, verifier, temperature, seed, maxTokens };
}
