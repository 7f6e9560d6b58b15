// The version comes from git: on a tag `v1.2.3` it is 1.2.3, N commits after it 1.3.0-dev.N+gHASH. Written to the file
// named on the command line, printed otherwise. Without git (a source archive) the version of package.json stands.
import { spawnSync } from 'node:child_process';
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';

/** What `git describe --tags --long` says of release tags, or null for a history without version tags. */
export type Description = string | null;

/** The semantic version of a commit: `commits` and `hash` count when no tag has been set yet. */
export function versionOf(description: Description, commits: number, hash: string): string {
  if (description === null) return `0.1.0-dev.${commits}+g${hash}`;
  const parts = /^v(\d+)\.(\d+)\.(\d+)-(\d+)-g([0-9a-f]+)$/.exec(description);
  if (parts === null)
    throw new Error(`version: expected a tag like v1.2.3, got ${JSON.stringify(description)}`);
  const [major, minor, patch, since] = parts.slice(1, 5).map(Number);
  if (since === 0) return `${major}.${minor}.${patch}`;
  return `${major}.${minor + 1}.0-dev.${since}+g${parts[5]}`;
}

/** The version of the checkout this file is in. */
function currentVersion(): string {
  const git = (...args: string[]): string | null => {
    const { status, stdout } = spawnSync('git', args, { encoding: 'utf8' });
    return status === 0 ? stdout.trim() : null;
  };
  const hash = git('rev-parse', '--short=9', 'HEAD');
  const top = git('rev-parse', '--show-toplevel');
  // An archive that was unpacked inside another repository has no history of its own.
  if (hash === null || top === null || realpathSync(top) !== realpathSync('.'))
    return JSON.parse(readFileSync('package.json', 'utf8')).version;
  const releases = ['--match', 'v[0-9]*', '--exclude', '*-*'];
  const description = git('describe', '--tags', '--long', '--abbrev=9', ...releases);
  return versionOf(description, Number(git('rev-list', '--count', 'HEAD')), hash);
}

function main(file: string | undefined): void {
  const version = currentVersion();
  if (file === undefined) console.log(version);
  else
    writeFileSync(
      file,
      `// Written by scripts/version.ts at build.\n/** The version of this build. */\nexport const version = '${version}';\n`,
    );
}

if (process.argv[1]?.endsWith('version.js')) main(process.argv[2]);
