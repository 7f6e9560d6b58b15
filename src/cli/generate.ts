// `foretoken generate`: the continuation on standard output, everything else on standard error.
import { generate } from '../speculate/generate.ts';
import { inflationLine } from './display.ts';
import type { CliOptions } from './options.ts';
import { loadTarget, openBackend, openDrafter, promptOf, settingsOf } from './parts.ts';

/** Runs the command; returns the exit status. */
export async function generateText(options: CliOptions, signal: AbortSignal): Promise<number> {
  const settings = settingsOf(options);
  const prompt = await promptOf(options);
  const backend = await openBackend(options);
  const target = await loadTarget(options, { backend, signal });
  const opened = await openDrafter(options, 'none', { backend, target, signal });
  const { drafter, notes, dispose } = opened;
  for (const note of notes) console.error(`note: ${note}`);
  const generation = generate(target, prompt, {
    ...opened.settings,
    ...settings,
    drafter,
    signal,
    onAbort: 'return',
  });
  for await (const { text } of generation) process.stdout.write(text);
  process.stdout.write('\n');
  const { stats, usage, finishReason } = await generation.result;
  if (options.stats)
    console.error(
      [
        `${usage.promptTokens} prompt and ${usage.completionTokens} new tokens, ended by ${finishReason}`,
        `loaded in ${target.loadMs.toFixed(0)} ms, first token ${stats.firstTokenMs.toFixed(0)} ms after, then ${stats.tokensPerSecond.toFixed(1)} tokens/s`,
        `${stats.targetForwards} target forwards, ${stats.acceptedTokens} of ${stats.draftedTokens} drafted tokens accepted`,
        stats.explain(),
        `${target.model.report.backend}: ${target.model.report.executor}`,
        ...inflationLine(options, target.model.config),
      ].join('\n'),
    );
  dispose();
  target.dispose();
  backend.dispose();
  return 0;
}
