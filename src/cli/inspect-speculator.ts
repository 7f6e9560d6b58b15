// What a speculator's folder holds: its proposal methods, every field of its algorithm and of its decoder layers with whose value it
// is, and why it does not run here where it does not.
import { FormatError, UnsupportedError } from '../kernels/errors.ts';
import { parse } from '../models/schema.ts';
import type { LayerConfig } from '../speculate/drafters/layer-config.ts';
import {
  commonSchema,
  draftClass,
  type Json,
  openSpeculatorConfig,
  type SpeculatorConfig,
} from '../speculate/speculators/config.ts';
import { type Field, fieldsOf } from '../speculate/speculators/fields.ts';
import { ALGORITHMS } from '../speculate/speculators/load.ts';
import { openCheckpoint } from '../tensor/safetensors.ts';
import { inFolder } from '../tensor/source.ts';
import { type Findings, type Part, tensorList } from './findings.ts';

/** Parts of a config.json, and what cannot be run of it. */
interface Examined {
  readonly parts: readonly Part[];
  readonly problems: readonly string[];
}

/** Examines a folder in the format; one that cannot run here is no error. */
export async function inspectSpeculator(path: string): Promise<Findings> {
  return inFolder(path, async (source) => {
    const file = `${path}/config.json`;
    const config = await openSpeculatorConfig(source);
    const own = algorithmOf(config, file);
    const layers = hasNoLayers(config) ? NOTHING : layersOf(config, file);
    return {
      path,
      kind: `speculator of algorithm ${config.algorithm}, version ${config.version ?? 'not given'}`,
      config: {
        verifier: config.verifier.nameOrPath ?? 'not given',
        proposals: config.proposals
          .map(({ proposal_type, ...rest }) => `${proposal_type} ${JSON.stringify(rest)}`)
          .join('; '),
        default: config.defaultProposal,
      },
      parts: [...own.parts, ...layers.parts],
      tensors: tensorList(await openCheckpoint(source)),
      notes: [
        ...config.notes,
        ...[...own.problems, ...layers.problems].map((each) => `it does not run here: ${each}`),
      ],
    };
  });
}

const NOTHING: Examined = { parts: [], problems: [] };

/** The fields beside those that every speculator has; of an independent draft model they are those of the model. */
function algorithmOf({ algorithm, raw }: SpeculatorConfig, file: string): Examined {
  if (algorithm === 'independent') return NOTHING;
  const own = withoutCommon(raw);
  const title = `fields of ${algorithm}`;
  if (!Object.hasOwn(ALGORITHMS, algorithm)) {
    const names = [...Object.keys(ALGORITHMS), 'independent'].join(', ');
    const problem = `${file}: speculators_model_type: expected ${names}, got ${algorithm}`;
    return { parts: [{ title, fields: given(own) }], problems: [problem] };
  }
  const { schema } = ALGORITHMS[algorithm];
  return {
    parts: [{ title, fields: fieldsOf(schema, own) }],
    problems: problemOf(() => parse(schema, raw, file)),
  };
}

/** The fields of the decoder layers, and what is made of them where they can be read. */
function layersOf(config: SpeculatorConfig, file: string): Examined {
  const isModel = config.algorithm === 'independent';
  const layer = isModel ? withoutCommon(config.raw) : config.raw['transformer_layer_config'];
  const title = isModel ? 'fields of the model' : 'fields of its layers';
  let found: ReturnType<typeof draftClass>;
  try {
    found = draftClass(config, file);
  } catch (error) {
    const parts = layer === undefined ? [] : [{ title, fields: given(layer as Json) }];
    return { parts, problems: [messageOf(error)] };
  }
  const { own, defaults, fields: schema } = found;
  const fields = fieldsOf(schema, isModel ? withoutCommon(own) : own, defaults);
  let read: LayerConfig | undefined;
  const problems = problemOf(() => {
    read = found.read();
  });
  return {
    parts: [{ title, fields }, ...(read === undefined ? [] : [asRead(read)])],
    problems,
  };
}

/** What several fields together come to. */
function asRead({ rope, windows, ...layer }: LayerConfig): Part {
  const sliding = windows.filter((window) => window > 0);
  const values = {
    'width of a head': layer.headDim,
    'heads with keys': layer.kvHeads,
    rope: `${rope.type}, theta ${rope.theta}`,
    windows: sliding.length === 0 ? null : `${sliding.length} of ${windows.length} layers`,
    ...(layer.rotaryDim !== undefined && { 'columns that turn': layer.rotaryDim }),
    ...(layer.latent && { 'latent attention': layer.latent }),
    ...(layer.mixture && { experts: layer.mixture }),
  };
  const fields = Object.entries(values).map(([name, value]) => ({
    name,
    value,
    from: 'made' as const,
  }));
  return { title: 'which come to', fields };
}

/** All fields of an object of which no schema is known. */
const given = (own: Json): readonly Field[] =>
  Object.entries(own).map(([name, value]) => ({ name, value, from: 'file' }));

/** Whether its algorithm is one of those that step by depth. */
const hasNoLayers = ({ algorithm }: SpeculatorConfig) =>
  Object.hasOwn(ALGORITHMS, algorithm) && ALGORITHMS[algorithm].forward === undefined;

const withoutCommon = (raw: Json): Json =>
  Object.fromEntries(
    Object.entries(raw).filter(([key]) => !Object.hasOwn(commonSchema.shape, key)),
  );

/** The message of what a file has that is broken or not run; none where there is nothing. */
function problemOf(read: () => unknown): readonly string[] {
  try {
    read();
    return [];
  } catch (error) {
    return [messageOf(error)];
  }
}

function messageOf(error: unknown): string {
  if (error instanceof FormatError || error instanceof UnsupportedError) return error.message;
  throw error;
}
