// `foretoken convert`: a draft head of a research project as a folder in the format of speculators, a folder of an older version of
// the format as one of the current, a tuned layer back into a copy of its target (--stitch), or a speculator in the layout of its
// research project (--back). Nothing is written before tensors, config and, where there is one, target are known to fit; what this
// version cannot look at, a note says.
import { existsSync } from 'node:fs';
import { OptionError } from '../kernels/errors.ts';
import { type Json, readConfig } from '../speculate/speculators/config.ts';
import {
  type Conversion,
  convertSpeculator,
  exportResearch,
} from '../speculate/speculators/convert.ts';
import { migrateSpeculator } from '../speculate/speculators/migrate.ts';
import { ALGORITHM_NAMES } from '../speculate/speculators/research/layouts.ts';
import { readOrigin } from '../speculate/speculators/research/origin.ts';
import { stitchMtp } from '../speculate/speculators/stitch.ts';
import { partsBytes, type TensorParts } from '../tensor/parts.ts';
import { type FolderSource, inFolder, writeFolder } from '../tensor/source.ts';
import { type CliOptions, oneOf, UsageError } from './options.ts';

/** What would be written, and what is said of it. */
interface Made {
  readonly lines: readonly string[];
  save(folder: string): Promise<void>;
}

/** Runs the command; returns the exit status. */
export async function convert(paths: readonly string[], options: CliOptions): Promise<number> {
  const [from] = paths;
  const { verifier, output, stitch, back } = options;
  if (paths.length !== 1)
    throw new UsageError(`convert: expected MODEL, got ${JSON.stringify(paths.join(' '))}`);
  if (stitch && back) throw new UsageError('--back: expected it or --stitch, got both');
  if (output === '' || (output === undefined && !options['dry-run']))
    throw new UsageError(
      `--output: expected a folder to write, got ${output === '' ? '""' : 'none'}; or --dry-run`,
    );
  if (output !== undefined && existsSync(output) && !options.force && !options['dry-run'])
    throw new UsageError(`convert: ${output} exists; --force writes into it`);

  const run = async (source: FolderSource, target?: FolderSource) => {
    const { lines, save } = stitch
      ? await stitched(source, target, options)
      : back
        ? await returned(source, target, options)
        : 'speculators_model_type' in (await readConfig(source))
          ? await migrated(source, target, options)
          : await converted(source, target, options);
    for (const line of lines) console.log(line);
    if (options['dry-run'] || output === undefined) return 0;
    await save(output);
    console.log(`written to ${output}`);
    return 0;
  };
  return inFolder(from, (source) =>
    verifier === undefined ? run(source) : inFolder(verifier, (target) => run(source, target)),
  );
}

async function converted(
  source: FolderSource,
  target: FolderSource | undefined,
  options: CliOptions,
): Promise<Made> {
  const verifier = target && {
    config: await readConfig(target),
    name: target.name,
    source: target,
  };
  const converting = convertSpeculator(source, {
    verifier,
    algorithm: options.algorithm && oneOf('algorithm', options.algorithm, ALGORITHM_NAMES),
    fields: fieldsOf(options),
  });
  const made = await flagged(converting);
  const { algorithm, config, tensors } = made;
  return {
    lines: [
      `${source.name}: ${algorithm}, ${sizeOf(tensors)}`,
      ...fatesOf(made, options),
      ...(isOpen(config, 'norm_before_residual') && !options['norm-before-residual']
        ? [
            'norm_before_residual is false: no file says which it is; --norm-before-residual if acceptance is poor',
          ]
        : []),
    ],
    save: made.savePretrained,
  };
}

async function returned(
  source: FolderSource,
  target: FolderSource | undefined,
  options: CliOptions,
): Promise<Made> {
  refuse(options, ['algorithm', 'norm-before-residual'], 'a research layout');
  const made = await exportResearch(source, { verifier: target });
  return {
    lines: [
      `${source.name}: the layout ${made.layout}, ${sizeOf(made.tensors)}`,
      ...fatesOf(made, options),
    ],
    save: made.savePretrained,
  };
}

/** What becomes of every tensor, and what a user should know. */
const fatesOf = (
  { kept, renamed, arranged, dropped, notes }: Conversion,
  options: CliOptions,
): readonly string[] => [
  ...(options['dry-run'] ? kept.map((name) => `kept ${name}`) : []),
  ...renamed.map(([name, to]) => `renamed ${name} to ${to}`),
  ...arranged,
  ...leftOut(dropped),
  ...notes.map((note) => `note: ${note}`),
];

/** What no file says. */
const fieldsOf = (options: CliOptions): Json =>
  options['norm-before-residual'] ? { norm_before_residual: true } : {};

/** Options of the library, as they are called here. */
const FLAGS: Readonly<Record<string, string>> = {
  fields: '--norm-before-residual',
  verifier: '--verifier',
  algorithm: '--algorithm',
};

/** What is made; an error about an option is one of the command line. */
async function flagged<Result>(made: Promise<Result>): Promise<Result> {
  try {
    return await made;
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    throw new UsageError(error.message.replace(/^\w+(?=:)/, (name) => FLAGS[name] ?? name));
  }
}

/** Whether a field is a guess: the research config does not have it. */
const isOpen = (config: Json, key: string) =>
  Object.hasOwn(readOrigin(config, 'config.json').fields, key);

async function migrated(
  source: FolderSource,
  target: FolderSource | undefined,
  options: CliOptions,
): Promise<Made> {
  refuse(options, ['algorithm'], 'a research layout');
  const verifier = target && { config: await readConfig(target), name: target.name };
  const made = await flagged(migrateSpeculator(source, { fields: fieldsOf(options), verifier }));
  const { algorithm, tensors, dropped, changes, notes, savePretrained: save } = made;
  return {
    lines: [
      `${source.name}: ${algorithm}, ${sizeOf(tensors)}, in the format of speculators`,
      ...(options['dry-run'] ? tensors.map(({ name }) => `kept ${name}`) : []),
      ...leftOut(dropped),
      ...(changes.length > 0 ? changes : ['config.json is current']),
      ...notes.map((note) => `note: ${note}`),
    ],
    save,
  };
}

async function stitched(
  source: FolderSource,
  target: FolderSource | undefined,
  options: CliOptions,
): Promise<Made> {
  refuse(options, ['algorithm', 'norm-before-residual'], 'a research layout');
  if (target === undefined)
    throw new UsageError('--verifier: expected the folder of the target, got none');
  const { replaced, dropped, arranged, left, files } = await stitchMtp(source, target);
  return {
    lines: [
      `${target.name}: ${replaced.length} tensors from ${source.name}`,
      ...arranged,
      ...replaced.map(([name, file]) => `replaced ${name} in ${file}`),
      ...leftOut(dropped),
      ...left.map((name) => `not copied: the folder ${name} of ${target.name}`),
    ],
    save: (folder) => writeFolder(folder, files()),
  };
}

const leftOut = (dropped: readonly (readonly [string, string])[]) =>
  dropped.map(([name, why]) => `left out ${name}: ${why}`);

function sizeOf(tensors: readonly TensorParts[]): string {
  const bytes = tensors.reduce((sum, tensor) => sum + partsBytes(tensor), 0);
  return `${tensors.length} tensors, ${bytes} bytes`;
}

/** Refuses options that would have no effect. */
function refuse(options: CliOptions, names: readonly (keyof CliOptions)[], what: string): void {
  const given = names.find((name) => options[name]);
  if (given !== undefined) throw new UsageError(`--${given}: expected with ${what}`);
}
