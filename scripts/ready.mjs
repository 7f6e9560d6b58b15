// Makes a checkout ready to run: installs what is missing, builds what is stale, and does nothing otherwise.
// Plain JavaScript, because it runs before anything is installed.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const at = (...parts) => join(root, ...parts);
const manifest = JSON.parse(readFileSync(at('package.json'), 'utf8'));

/** What the build writes among the sources. */
const GENERATED = ['version.ts', 'binaries.ts', 'worker-source.ts'];

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`foretoken: expected Node ${manifest.engines.node}, got ${process.versions.node}`);
  process.exit(1);
}

if (missing().length > 0) {
  console.error(`installing ${missing().join(', ')} …`);
  run('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error']);
}
const stamp = stampOf();
const stampFile = at('.build', 'stamp');
if (
  !existsSync(at('dist', 'index.js')) ||
  !existsSync(stampFile) ||
  readFileSync(stampFile, 'utf8') !== stamp
) {
  console.error('building …');
  run(process.execPath, [at('scripts', 'build.mjs')]);
  mkdirSync(at('.build'), { recursive: true });
  writeFileSync(stampFile, stampOf());
}

/** Dependencies that are not installed in the version package.json pins. */
function missing() {
  const wanted = { ...manifest.dependencies, ...manifest.devDependencies };
  return Object.entries(wanted).flatMap(([name, version]) => {
    const file = at('node_modules', name, 'package.json');
    const found = existsSync(file) && JSON.parse(readFileSync(file, 'utf8')).version === version;
    return found ? [] : [`${name}@${version}`];
  });
}

/** Path, size and time of everything the build reads, and the commit the version is made of. */
function stampOf() {
  const git = spawnSync('git', ['describe', '--tags', '--long', '--always'], {
    cwd: root,
    encoding: 'utf8',
  });
  const files = ['src', 'scripts'].flatMap((folder) =>
    readdirSync(at(folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !GENERATED.includes(entry.name))
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  files.push(at('package.json'), at('tsconfig.json'), at('tsconfig.build.json'));
  const lines = files.sort().map((file) => {
    const { size, mtimeMs } = statSync(file);
    return `${file} ${size} ${mtimeMs}`;
  });
  return [git.stdout ?? '', ...lines].join('\n');
}

function run(command, args) {
  // Output goes to stderr: the standard output belongs to the program that is made ready.
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (status !== 0) {
    console.error(
      `foretoken: ${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ''}`,
    );
    process.exit(status ?? 1);
  }
}
