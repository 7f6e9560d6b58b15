// `foretoken inspect`: what a folder or a .gguf file holds: kind, configuration, tensors with types, shapes and sizes.
import { withModel } from '../models/open.ts';
import {
  openSpeculatorConfig,
  readConfig,
  readDraftConfig,
  type SpeculatorConfig,
} from '../speculate/speculators/config.ts';
import { ALGORITHMS, Speculator } from '../speculate/speculators/load.ts';
import { researchLayoutIn } from '../speculate/speculators/recognise.ts';
import type { Checkpoint } from '../tensor/checkpoint.ts';
import { openCheckpoint } from '../tensor/safetensors.ts';
import { inFolder } from '../tensor/source.ts';
import { type CliOptions, UsageError } from './options.ts';

/** What is said of a path. */
interface Findings {
  readonly path: string;
  readonly kind: string;
  /** Names and values, in order. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly tensors: readonly {
    readonly name: string;
    readonly type: string;
    readonly shape: readonly number[];
    readonly bytes: number;
  }[];
  readonly notes: readonly string[];
}

/** Runs the command; returns the exit status. */
export async function inspect(paths: readonly string[], options: CliOptions): Promise<number> {
  const [path] = paths;
  if (paths.length !== 1)
    throw new UsageError(`inspect: expected PATH, got ${JSON.stringify(paths.join(' '))}`);
  const findings = await examine(path);
  console.log(options.json ? JSON.stringify(findings) : format(findings));
  return 0;
}

async function examine(path: string): Promise<Findings> {
  if (/\.gguf$/i.test(path)) return inspectModel(path);
  if (await Speculator.isIn(path)) return inspectSpeculator(path);
  const layout = await researchLayoutIn(path);
  return layout === null ? inspectModel(path) : inspectResearch(path, layout);
}

/** A head that has to be converted: its config as it is, and its tensors. */
async function inspectResearch(path: string, layout: string): Promise<Findings> {
  return inFolder(path, async (source) => ({
    path,
    kind: `head in the research layout ${layout}`,
    config: Object.fromEntries(
      Object.entries(await readConfig(source)).map(([key, value]) => [
        key,
        typeof value === 'object' ? JSON.stringify(value) : value,
      ]),
    ),
    tensors: listOf(await openCheckpoint(source)),
    notes: ['foretoken convert makes a speculator of it'],
  }));
}

async function inspectModel(path: string): Promise<Findings> {
  return withModel(path, async ({ architecture, config, checkpoint }) => {
    const { raw: _, eosTokens, windows, rope, ...plain } = config;
    const sliding = windows.filter((window) => window > 0).length;
    return {
      path,
      kind: `model of type ${architecture.modelType}`,
      config: {
        ...plain,
        rope: `${rope.type}, theta ${rope.theta}`,
        eosTokens: eosTokens.join(', '),
        windows: sliding === 0 ? 'none' : `${sliding} of ${windows.length} layers`,
      },
      tensors: listOf(checkpoint),
      notes: [],
    };
  });
}

async function inspectSpeculator(path: string): Promise<Findings> {
  return inFolder(path, async (source) => {
    const file = `${path}/config.json`;
    const config = await openSpeculatorConfig(source);
    return {
      path,
      kind: `speculator of algorithm ${config.algorithm}, version ${config.version ?? 'not given'}`,
      config: {
        verifier: config.verifier.nameOrPath ?? 'not given',
        proposals: config.proposals
          .map(({ proposal_type, ...rest }) => `${proposal_type} ${JSON.stringify(rest)}`)
          .join('; '),
        default: config.defaultProposal,
        ...layerOf(config, file),
        ...Object.fromEntries(
          Object.entries(config.raw)
            .filter(([, value]) => typeof value !== 'object' || Array.isArray(value))
            .map(([key, value]) => [key, Array.isArray(value) ? value.join(', ') : value]),
        ),
      },
      tensors: listOf(await openCheckpoint(source)),
      notes: config.notes,
    };
  });
}

/** What a file says of its decoder layers itself, and what their class says where it is silent; nothing where there are none. */
function layerOf(config: SpeculatorConfig, file: string): Findings['config'] {
  const given = config.raw['transformer_layer_config'];
  if (hasNoLayers(config)) return {};
  const { modelType, layers, width, heads, kvHeads, headDim, ffnWidth, vocab, ...rest } =
    readDraftConfig(config, file);
  return {
    [given === undefined ? 'model' : 'layer']: JSON.stringify({
      modelType,
      layers,
      width,
      heads,
      kvHeads,
      headDim,
      ffnWidth,
      vocab,
      rotaryDim: rest.rotaryDim,
      isGated: rest.isGated,
      latent: rest.latent,
      mixture: rest.mixture,
    }),
    ...(given !== undefined && {
      'keys of its layer':
        Object.keys(given as object).join(', ') || 'none, so that all are defaults',
    }),
  };
}

/** Whether its algorithm is one of those that step by depth. */
const hasNoLayers = ({ algorithm }: SpeculatorConfig) =>
  Object.hasOwn(ALGORITHMS, algorithm) && ALGORITHMS[algorithm].forward === undefined;

const listOf = ({ tensors }: Checkpoint): Findings['tensors'] =>
  [...tensors].map(([name, { type, shape, from, to }]) => ({
    name,
    type,
    shape,
    bytes: to - from,
  }));

function format({ path, kind, config, tensors, notes }: Findings): string {
  const total = tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  const types = new Map<string, number>();
  for (const { type } of tensors) types.set(type, (types.get(type) ?? 0) + 1);
  const longest = Math.max(0, ...tensors.map(({ name }) => name.length));
  return [
    `${path}: ${kind}`,
    ...Object.entries(config).map(([key, value]) => `  ${key}: ${value}`),
    `${tensors.length} tensors, ${total} bytes: ${[...types].map(([type, count]) => `${count} in ${type}`).join(', ')}`,
    ...tensors.map(
      ({ name, type, shape, bytes }) =>
        `  ${name.padEnd(longest)}  ${type.padEnd(5)} [${shape.join(', ')}]  ${bytes}`,
    ),
    ...notes.map((note) => `note: ${note}`),
  ].join('\n');
}
