// What `inspect` says of a path, and how it is shown: fields in columns, in lines of 100 at most.
import type { Field } from '../speculate/speculators/fields.ts';
import type { Checkpoint } from '../tensor/checkpoint.ts';

/** A field of a config.json, or a value that is made of several. */
export interface Row extends Omit<Field, 'from'> {
  readonly from: Field['from'] | 'made';
}

/** One part of a config.json. */
export interface Part {
  readonly title: string;
  readonly fields: readonly Row[];
}

/** What is said of a path. */
export interface Findings {
  readonly path: string;
  readonly kind: string;
  /** Names and values, in order. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Of a speculator, with whose value each is. */
  readonly parts?: readonly Part[];
  readonly tensors: readonly {
    readonly name: string;
    readonly type: string;
    readonly shape: readonly number[];
    readonly bytes: number;
  }[];
  readonly notes: readonly string[];
}

/** The tensors of a checkpoint. */
export const tensorList = ({ tensors }: Checkpoint): Findings['tensors'] =>
  [...tensors].map(([name, { type, shape, from, to }]) => ({
    name,
    type,
    shape,
    bytes: to - from,
  }));

/** What a terminal shows. */
export function format({ path, kind, config, parts = [], tensors, notes }: Findings): string {
  const total = tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  const types = new Map<string, number>();
  for (const { type } of tensors) types.set(type, (types.get(type) ?? 0) + 1);
  const longest = Math.max(0, ...tensors.map(({ name }) => name.length));
  return [
    `${path}: ${kind}`,
    ...Object.entries(config).map(([key, value]) => `  ${key}: ${value}`),
    ...linesOf(parts),
    `${tensors.length} tensors, ${total} bytes: ${[...types].map(([type, count]) => `${count} in ${type}`).join(', ')}`,
    ...tensors.map(
      ({ name, type, shape, bytes }) =>
        `  ${name.padEnd(longest)}  ${type.padEnd(5)} [${shape.join(', ')}]  ${bytes}`,
    ),
    ...notes.map((note) => `note: ${note}`),
  ].join('\n');
}

/** Columns of a terminal that is read without wrapping. */
const WIDTH = 100;

/** How a value is marked. */
const MARKS: Readonly<Record<Row['from'], string>> = {
  file: 'file',
  default: 'default',
  missing: 'missing',
  other: 'other',
  made: '',
};

/** Name, whose value it is, and the value; all parts have the same columns. */
function linesOf(parts: readonly Part[]): readonly string[] {
  const all = parts.flatMap(({ fields }) => fields);
  const names = Math.max(0, ...all.map(({ name }) => name.length));
  const marks = Math.max(...Object.values(MARKS).map((mark) => mark.length));
  return parts.flatMap(({ title, fields }) => [
    title,
    ...fields.flatMap(({ name, value, from }) => {
      const before = `  ${name.padEnd(names)}  ${MARKS[from].padEnd(marks)}  `;
      const [first, ...rest] = wrapped(shown(value), WIDTH - before.length);
      return [before + first, ...rest.map((line) => ' '.repeat(before.length) + line)];
    }),
  ]);
}

/** Lines of at most so many columns, broken after commas and blanks where they can be. */
function wrapped(text: string, columns: number): readonly string[] {
  if (text.length <= columns) return [text];
  const end = Math.max(text.lastIndexOf(',', columns - 1), text.lastIndexOf(' ', columns - 1)) + 1;
  const cut = end > 0 ? end : columns;
  return [text.slice(0, cut).trimEnd(), ...wrapped(text.slice(cut).trimStart(), columns)];
}

function shown(value: unknown): string {
  if (value === null) return 'none';
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return `[${value.map(shown).join(', ')}]`;
  return JSON.stringify(value);
}
