// Peers are installed on demand, each into a folder of its own below .build/, and never are dependencies. Scripts of their
// packages do not run.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ADAPTERS, type PeerName } from './adapters.ts';
import type { Adapter } from './peer.ts';

/** .build/peers: what is installed, and the random models. */
export const CACHE = fileURLToPath(new URL('../../peers', import.meta.url));

/** Where the packages of a peer are. */
export const folderOf = (name: PeerName) => `${CACHE}/${name}`;

/** Whether every package is there in its version. */
export function isInstalled(name: PeerName): boolean {
  return packagesOf(name).every((pinned) => {
    const at = pinned.lastIndexOf('@');
    const manifest = `${folderOf(name)}/node_modules/${pinned.slice(0, at)}/package.json`;
    if (!existsSync(manifest)) return false;
    const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { readonly version: string };
    return version === pinned.slice(at + 1);
  });
}

/** Installs a peer with npm; throws when npm fails. */
export function install(name: PeerName): void {
  const folder = folderOf(name);
  mkdirSync(folder, { recursive: true });
  // Optional packages are binaries for other machines and for GPUs, 700 MB of them.
  const flags = ['--ignore-scripts', '--omit=optional', '--no-audit', '--no-fund'];
  const args = ['install', '--prefix', folder, ...flags, ...packagesOf(name)];
  console.log(`npm ${args.join(' ')}`);
  const isWindows = process.platform === 'win32';
  const { status } = spawnSync('npm', args, { stdio: ['ignore', 2, 2], shell: isWindows });
  if (status !== 0) throw new Error(`peers: expected npm to install ${name}, got status ${status}`);
}

function packagesOf(name: PeerName): readonly string[] {
  const adapter: Adapter = ADAPTERS[name];
  return adapter.packages();
}
