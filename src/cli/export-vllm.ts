// `foretoken export-vllm`: the command that serves a target with a speculator in vLLM, the road past one machine.
import { openSpeculatorConfig } from '../speculate/speculators/config.ts';
import { exportVllm } from '../speculate/speculators/vllm.ts';
import { inFolder } from '../tensor/source.ts';
import { type CliOptions, numberOf, UsageError } from './options.ts';

/** Runs the command; returns the exit status. */
export async function exportToVllm(paths: readonly string[], options: CliOptions): Promise<number> {
  const [speculator] = paths;
  if (paths.length !== 1)
    throw new UsageError(`export-vllm: expected HEAD, got ${JSON.stringify(paths.join(' '))}`);
  const draftLength =
    options['draft-length'] === 'auto' ? undefined : numberOf(options, 'draft-length');
  return inFolder(speculator, async (source) => {
    const config = await openSpeculatorConfig(source);
    const { verifier } = options;
    const found = exportVllm(config, { speculator, verifier, draftLength });
    const { command, speculativeConfig, notes } = found;
    if (options.json) console.log(JSON.stringify(found));
    else
      console.log(
        [
          command,
          '',
          `speculative_config = ${JSON.stringify(speculativeConfig, null, 2)}`,
          ...notes.map((note) => `note: ${note}`),
        ].join('\n'),
      );
    return 0;
  });
}
