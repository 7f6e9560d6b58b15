// Runs the TypeScript compiler, Node and other commands in the root of the checkout; a failure ends the process with its status.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout, as a URL that ends in a slash. */
export const root = new URL('../', import.meta.url);

/** Runs `tsc` with the given arguments. */
export function compile(args) {
  const manifest = createRequire(import.meta.url).resolve('typescript/package.json');
  node([join(dirname(manifest), 'bin', 'tsc'), ...args]);
}

/** Runs Node with the given arguments, the terminal shared. */
export const node = (args) => run(process.execPath, args);

/** Runs a command. */
export function run(command, args) {
  const { status } = spawnSync(command, args, {
    cwd: fileURLToPath(root),
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(status ?? 1);
}
