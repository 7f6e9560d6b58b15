// The built command line, and folders for it.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
/** The embedded target. */
export const target = fileURLToPath(new URL('../../models/target', import.meta.url));
/** A path in tests/golden. */
export const golden = (path: string) =>
  fileURLToPath(new URL(`../golden/${path}`, import.meta.url));

/** Runs it as a user starts it. */
export function foretoken(args: readonly string[], input = '') {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    encoding: 'utf8',
    input,
  });
  return { status, stdout, stderr };
}

/** A new folder, removed after the test. */
export function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'foretoken-cli-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The embedded draft model as a speculator with these proposal methods, the first one by default; removed after the test. */
export function independentFolder(
  methods: readonly Readonly<Record<string, unknown>>[] = [
    { proposal_type: 'greedy', speculative_tokens: 4 },
  ],
): string {
  const folder = temporary();
  cpSync(fileURLToPath(new URL('../../models/draft', import.meta.url)), folder, {
    recursive: true,
  });
  const file = join(folder, 'config.json');
  const config = {
    ...JSON.parse(readFileSync(file, 'utf8')),
    speculators_model_type: 'independent',
    speculators_version: '0.1.0',
    speculators_config: {
      algorithm: 'independent',
      default_proposal_method: methods[0]['proposal_type'],
      proposal_methods: methods,
      verifier: { name_or_path: target, architectures: [] },
    },
  };
  writeFileSync(file, JSON.stringify(config));
  return folder;
}
