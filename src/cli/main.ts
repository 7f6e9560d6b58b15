#!/usr/bin/env node
// The command line. Nothing but Node's own modules is imported before a command runs, so that --help comes at once.
import { setFlagsFromString } from 'node:v8';
import { helpText } from './help.ts';
import { type CliOptions, type Command, parseCommand, UsageError } from './options.ts';

/** Exit statuses: a failed check or a broken file, and a command line that makes no sense. */
const FAILED = 1;
const USAGE = 2;

async function main(args: readonly string[]): Promise<number> {
  const command = parseCommand(args);
  if (command.options.help) {
    console.log(helpText);
    return 0;
  }
  if (command.options.version) {
    console.log((await import('../version.ts')).version);
    return 0;
  }
  // V8 would let its young generation grow while files are read, and keep it: 7 MB, 13 in Node 24.
  setFlagsFromString('--semi-space-growth-factor=1');
  const abort = new AbortController();
  // The first interrupt ends the generation and shows what there is; the second one is Node's own.
  process.once('SIGINT', () => abort.abort(new Error('interrupted')));
  return (await runner(command))(command.options, abort.signal);
}

async function runner(command: Command) {
  switch (command.name) {
    case 'compare':
      return (await import('./compare.ts')).compare;
    case 'generate':
      return (await import('./generate.ts')).generateText;
    case 'explain':
      return (await import('./explain.ts')).explain;
    case 'inspect': {
      const { inspect } = await import('./inspect.ts');
      return (options: CliOptions) => inspect(command.paths, options);
    }
    case 'export-vllm': {
      const { exportToVllm } = await import('./export-vllm.ts');
      return (options: CliOptions) => exportToVllm(command.paths, options);
    }
    case 'doctor': {
      const { doctor } = await import('./doctor.ts');
      return (options: CliOptions, signal: AbortSignal) => doctor(command.paths, options, signal);
    }
    case 'convert': {
      const { convert } = await import('./convert.ts');
      return (options: CliOptions) => convert(command.paths, options);
    }
    case 'quantize': {
      const { quantize } = await import('./quantize.ts');
      return (options: CliOptions, signal: AbortSignal) => quantize(command.paths, options, signal);
    }
  }
}

/** Errors a user can act on are shown as their message, ours with the stack. */
function report(error: unknown): number {
  const known = ['FormatError', 'OptionError', 'ShapeError', 'UnsupportedError'];
  if (error instanceof UsageError) {
    console.error(`foretoken: ${error.message}\nTry foretoken --help.`);
    return USAGE;
  }
  if (error instanceof Error && known.includes(error.name))
    console.error(`foretoken: ${error.message}`);
  else if (error instanceof Error && error.message === 'interrupted')
    console.error('\nforetoken: interrupted');
  else console.error(error);
  return FAILED;
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader of a pipe went away (| head): nothing is left to say.
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
process.exitCode = await main(process.argv.slice(2)).catch(report);
