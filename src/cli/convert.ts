// `foretoken convert`: a draft head of a research project as a folder in the format of speculators. Nothing is written before all
// of it is known to fit.
import { existsSync } from 'node:fs';
import { type Json, readConfig } from '../speculate/speculators/config.ts';
import { convertSpeculator } from '../speculate/speculators/convert.ts';
import { CONVERTED } from '../speculate/speculators/research/layouts.ts';
import { openFolder, writeFolder } from '../tensor/source.ts';
import { type CliOptions, oneOf, UsageError } from './options.ts';

/** Runs the command; returns the exit status. */
export async function convert(paths: readonly string[], options: CliOptions): Promise<number> {
  const [from] = paths;
  const { verifier, output } = options;
  if (paths.length !== 1)
    throw new UsageError(`convert: expected MODEL, got ${JSON.stringify(paths.join(' '))}`);
  if (verifier === undefined)
    throw new UsageError('--verifier: expected the folder of the target, got none');
  if (output === undefined && !options['dry-run'])
    throw new UsageError('--output: expected a folder to write, got none; or --dry-run');
  if (output !== undefined && existsSync(output) && !options.force && !options['dry-run'])
    throw new UsageError(`convert: ${output} exists; --force writes into it`);

  const source = await openFolder(from);
  try {
    const made = await convertSpeculator(source, {
      verifier: { config: await configOf(verifier), name: verifier },
      algorithm: options.algorithm && oneOf('algorithm', options.algorithm, CONVERTED),
      fields: options['norm-before-residual'] ? { norm_before_residual: true } : {},
    });
    const bytes = made.tensors.reduce((sum, { data }) => sum + data.byteLength, 0);
    console.log(`${from}: ${made.algorithm}, ${made.tensors.length} tensors, ${bytes} bytes`);
    for (const [name, to] of made.renamed) console.log(`renamed ${name} to ${to}`);
    for (const [name, why] of made.dropped) console.log(`left out ${name}: ${why}`);
    if (made.algorithm === 'eagle3' && !options['norm-before-residual'])
      console.log(
        'norm_before_residual is false: no file says which it is; --norm-before-residual if acceptance is poor',
      );
    if (options['dry-run'] || output === undefined) return 0;
    await writeFolder(output, made.files());
    console.log(`written to ${output}`);
    return 0;
  } finally {
    await source.close();
  }
}

async function configOf(folder: string): Promise<Json> {
  const source = await openFolder(folder);
  try {
    return await readConfig(source);
  } finally {
    await source.close();
  }
}
