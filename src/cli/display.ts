// What a terminal shows: colours where they are wanted, tables, a progress bar. Plain text everywhere else.
import type { DecoderConfig } from '../models/config.ts';
import type { CliOptions } from './options.ts';

/** Escape codes, or nothing when standard output is not a terminal or colours were declined. */
export function colours(options: CliOptions) {
  const { NO_COLOR, FORCE_COLOR } = process.env;
  const wanted = FORCE_COLOR ? FORCE_COLOR !== '0' : process.stdout.isTTY === true;
  const on = wanted && !NO_COLOR && !options['no-color'];
  const paint = (code: number) => (text: string) => (on ? `\u001b[${code}m${text}\u001b[0m` : text);
  return {
    on,
    drafted: paint(32),
    title: paint(1),
    quiet: paint(2),
    good: paint(32),
    bad: paint(31),
  };
}

/** Rows of cells in columns: the first left, the others right. */
export function table(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** What was made of an inflated target, in one line; no line for others. */
export function inflationLine(options: CliOptions, { inflation }: DecoderConfig): string[] {
  if (inflation === undefined) return [];
  const millions = (count: number) => `${(count / 1e6).toFixed(1)}M`;
  const name = options.model ?? 'embedded target';
  const hint = options.inflate === undefined ? '; --no-inflate runs it as it is' : '';
  return [
    `${name} (${millions(inflation.from)} parameters) inflated to ${millions(inflation.to)}: the same function at the memory traffic of that size${hint}`,
  ];
}

/** A bar on standard error; silent when that is not a terminal, and for loads under 100 ms. */
export function progressBar(label: string) {
  const start = performance.now();
  const width = 24;
  let shown = false;
  return {
    update(done: number, total: number): void {
      if (process.stderr.isTTY !== true || performance.now() - start < 100) return;
      shown = true;
      const filled = Math.round((width * done) / Math.max(1, total));
      const bar = '█'.repeat(filled) + '░'.repeat(width - filled);
      const megabytes = `${(done / 1e6).toFixed(0)} of ${(total / 1e6).toFixed(0)} MB`;
      process.stderr.write(`\r\u001b[K${label} ${bar} ${megabytes}`);
    },
    end(): void {
      if (shown) process.stderr.write('\r\u001b[K');
    },
  };
}
