// `foretoken inspect`: what a folder or a .gguf file holds: kind, configuration, tensors with types, shapes and sizes.
import { withModel } from '../models/open.ts';
import { readConfig } from '../speculate/speculators/config.ts';
import { Speculator } from '../speculate/speculators/load.ts';
import { researchLayoutIn } from '../speculate/speculators/recognise.ts';
import { openCheckpoint } from '../tensor/safetensors.ts';
import { inFolder } from '../tensor/source.ts';
import { type Findings, format, tensorList } from './findings.ts';
import { inspectSpeculator } from './inspect-speculator.ts';
import { type CliOptions, UsageError } from './options.ts';

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
    tensors: tensorList(await openCheckpoint(source)),
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
      tensors: tensorList(checkpoint),
      notes: [],
    };
  });
}
