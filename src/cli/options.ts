// The command line as typed options. Node's own parser, so that nothing is loaded for --help; values that the library
// checks (ranges, seeds) are left to it.
import { parseArgs } from 'node:util';

/** A command line that makes no sense. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const COMMANDS = [
  'compare',
  'generate',
  'explain',
  'quantize',
  'convert',
  'inspect',
  'export-vllm',
  'doctor',
] as const;
/** Those that take files. */
const WITH_PATHS: readonly string[] = ['quantize', 'convert', 'inspect', 'export-vllm', 'doctor'];

const text = { type: 'string' } as const;
const flag = { type: 'boolean', default: false } as const;

const OPTIONS = {
  model: text,
  backend: { ...text, default: 'wasm' },
  dtype: { ...text, default: 'auto' },
  'context-length': text,
  inflate: text,
  'no-inflate': flag,
  prompt: text,
  chat: flag,
  'max-tokens': { ...text, default: '160' },
  stop: { ...text, multiple: true, default: [] as string[] },
  'ignore-eos': flag,
  temperature: { ...text, default: '0' },
  'top-k': text,
  'top-p': text,
  'min-p': text,
  'repetition-penalty': text,
  'presence-penalty': text,
  'frequency-penalty': text,
  seed: { ...text, default: '0' },
  drafter: text,
  draft: text,
  prediction: text,
  'draft-layers': text,
  'draft-length': text,
  proposal: text,
  branching: text,
  verifier: text,
  stats: flag,
  rows: { ...text, default: '1' },
  type: text,
  algorithm: text,
  output: text,
  'norm-before-residual': flag,
  stitch: flag,
  back: flag,
  'dry-run': flag,
  force: flag,
  steps: flag,
  json: flag,
  'no-color': flag,
  version: flag,
  help: { ...flag, short: 'h' },
} as const;

const WRITING = ['compare', 'generate'] as const;
const RUNNING = [...WRITING, 'explain'] as const;
const LOADING = [...RUNNING, 'doctor'] as const;
/** Options that only some commands have; the others are of all. */
const ONLY: { readonly [Name in keyof typeof OPTIONS]?: readonly (typeof COMMANDS)[number][] } = {
  model: RUNNING,
  backend: LOADING,
  dtype: LOADING,
  'context-length': LOADING,
  prompt: LOADING,
  chat: LOADING,
  inflate: RUNNING,
  'max-tokens': WRITING,
  stop: WRITING,
  'ignore-eos': WRITING,
  temperature: WRITING,
  'top-k': WRITING,
  'top-p': WRITING,
  'min-p': WRITING,
  'repetition-penalty': WRITING,
  'presence-penalty': WRITING,
  'frequency-penalty': WRITING,
  seed: WRITING,
  drafter: WRITING,
  draft: WRITING,
  prediction: WRITING,
  'draft-layers': WRITING,
  'draft-length': [...WRITING, 'export-vllm', 'doctor'],
  proposal: WRITING,
  branching: WRITING,
  verifier: [...WRITING, 'convert', 'export-vllm'],
  stats: ['generate'],
  rows: ['explain'],
  steps: ['explain'],
  'no-inflate': ['compare'],
  json: ['compare', 'explain', 'inspect', 'export-vllm', 'doctor'],
  type: ['quantize'],
  algorithm: ['convert'],
  output: ['convert'],
  'norm-before-residual': ['convert'],
  stitch: ['convert'],
  back: ['convert'],
  'dry-run': ['convert'],
  force: ['quantize', 'convert'],
};

/** Values by option name; numbers are still text. */
export type CliOptions = ReturnType<typeof parse>['values'];

export interface Command {
  readonly name: (typeof COMMANDS)[number];
  readonly options: CliOptions;
  /** What follows the name of a command that takes files. */
  readonly paths: readonly string[];
}

/** Throws a UsageError for unknown commands, unknown options and options of another command. */
export function parseCommand(args: readonly string[]): Command {
  const { values, positionals, tokens } = parse(args);
  const [name = 'compare', ...paths] = positionals;
  const command = COMMANDS.find((each) => each === name);
  if (command === undefined || (paths.length > 0 && !WITH_PATHS.includes(command)))
    throw new UsageError(
      `expected one of ${COMMANDS.join(', ')}, got ${JSON.stringify(positionals.join(' '))}`,
    );
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const commands = ONLY[token.name as keyof typeof OPTIONS];
    if (commands !== undefined && !commands.includes(command))
      throw new UsageError(
        `--${token.name}: expected with ${commands.join(' or ')}, got it with ${command}`,
      );
  }
  return { name: command, options: values, paths };
}

/** A number, or undefined where the option was not given. */
export function numberOf(options: CliOptions, name: NumericOption): number | undefined {
  const value = options[name];
  if (value === undefined) return undefined;
  const number = Number(value);
  if (value.trim() === '' || !Number.isFinite(number))
    throw new UsageError(`--${name}: expected a number, got ${JSON.stringify(value)}`);
  return number;
}

type NumericOption =
  | 'context-length'
  | 'max-tokens'
  | 'temperature'
  | 'top-k'
  | 'top-p'
  | 'min-p'
  | 'repetition-penalty'
  | 'presence-penalty'
  | 'frequency-penalty'
  | 'seed'
  | 'draft-length'
  | 'rows';

/** A count like 400M, 1.1B or 1e8, or undefined where the option was not given. */
export function countOf(options: CliOptions, name: 'inflate'): number | undefined {
  const value = options[name];
  if (value === undefined) return undefined;
  const [, digits, unit] = /^(\d+(?:\.\d+)?(?:e\d+)?)([kmb]?)$/i.exec(value) ?? [];
  if (digits === undefined)
    throw new UsageError(
      `--${name}: expected a number like 400M or 1e8, got ${JSON.stringify(value)}`,
    );
  return (
    Number(digits) * { k: 1e3, m: 1e6, b: 1e9, '': 1 }[unit.toLowerCase() as 'k' | 'm' | 'b' | '']
  );
}

/** One of `names`. */
export function oneOf<const Name extends string>(
  option: string,
  value: string,
  names: readonly Name[],
): Name {
  const found = names.find((name) => name === value);
  if (found === undefined)
    throw new UsageError(
      `--${option}: expected one of ${names.join(', ')}, got ${JSON.stringify(value)}`,
    );
  return found;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true, tokens: true });
  } catch (error) {
    // Node's message names the option; the advice about `--` after the first sentence is about something else.
    throw new UsageError((error as Error).message.split('. ')[0]);
  }
}
