// What npm would publish, unpacked beside nothing but its run-time dependencies: imports in plain Node, types under both
// module resolutions, the command line, and no gpu.js where it was not asked for.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const DEPENDENCIES = [
  '@huggingface/jinja',
  '@huggingface/tokenizers',
  '@petamoriken/float16',
  'zod',
];
const ENTRIES = [
  'foretoken',
  'foretoken/kernels',
  'foretoken/kernels/gpu',
  'foretoken/tensor',
  'foretoken/models',
  'foretoken/speculate',
];

let folder: string;

function run(command: string, args: readonly string[], cwd = folder) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  return { status, stdout, stderr };
}

function node(script: string) {
  writeFileSync(join(folder, 'script.mjs'), script);
  return run(process.execPath, ['script.mjs']);
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'foretoken-package-'));
  const packed = run('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], root);
  expect(packed.status, packed.stderr).toBe(0);
  const [archive] = readdirSync(folder);
  mkdirSync(join(folder, 'node_modules'));
  expect(run('tar', ['-xzf', archive, '-C', 'node_modules']).status).toBe(0);
  run('mv', ['node_modules/package', 'node_modules/foretoken']);
  for (const name of DEPENDENCIES) {
    mkdirSync(dirname(join(folder, 'node_modules', name)), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  }
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the packed package', () => {
  it('depends on four pure-JavaScript packages that depend on nothing', () => {
    expect(Object.keys(manifest.dependencies).sort()).toEqual(DEPENDENCIES);
    for (const name of DEPENDENCIES) {
      const { dependencies = {} } = JSON.parse(
        readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8'),
      );
      expect([name, dependencies]).toEqual([name, {}]);
    }
  });

  it('has no install scripts and no source that it does not need', () => {
    const scripts = Object.keys(manifest.scripts);
    expect(scripts.filter((name) => /install|prepare|prepublish/.test(name))).toEqual([]);
    const top = readdirSync(join(folder, 'node_modules/foretoken')).sort();
    expect(top).toEqual(['CHANGELOG.md', 'LICENSE', 'README.md', 'dist', 'models', 'package.json']);
  });

  it('imports every entry in plain Node, and loads and runs a model', () => {
    const imports = ENTRIES.map((entry) => `await import('${entry}');`).join('\n');
    const { status, stdout, stderr } = node(`${imports}
      const { load, generate } = await import('foretoken');
      const target = await load('node_modules/foretoken/models/target');
      console.log((await generate(target, 'Once upon a time', { maxTokens: 4 })).text);
      target.dispose();`);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(stdout).toBe(', there was a\n');
  });

  it('says what is missing when the gpu backend is asked for without gpu.js', () => {
    const { stdout } = node(`const { gpu } = await import('foretoken/kernels/gpu');
      await gpu({ mode: 'webasm' }).catch((error) => console.log(error.name, error.message));`);
    expect(stdout).toMatch(/^UnsupportedError .*gpu\.js/);
  });

  it.each([
    ['nodenext', 'nodenext'],
    ['esnext', 'bundler'],
  ])('type-checks under module %s, resolution %s', (module, moduleResolution) => {
    writeFileSync(
      join(folder, 'user.ts'),
      `import { generate, load, ngram, type GenerateResult, type Token } from 'foretoken';
${ENTRIES.slice(1)
  .map((entry, index) => `import * as entry${index} from '${entry}';`)
  .join('\n')}
export const entries = [${ENTRIES.slice(1)
        .map((_, index) => `entry${index}`)
        .join(', ')}];
export async function main(): Promise<GenerateResult> {
  const target = await load('folder', { dtype: 'bf16' });
  const generation = generate(target, 'text', { drafter: ngram(), temperature: 0.5, seed: 1 });
  const tokens: Token[] = [];
  for await (const token of generation) tokens.push(token);
  // @ts-expect-error an unknown option
  generate(target, 'text', { temperatur: 0.5 });
  return generation;
}
`,
    );
    const compiler = join(root, 'node_modules/typescript/bin/tsc');
    const options = {
      module,
      moduleResolution,
      target: 'es2022',
      lib: ['es2023', 'dom', 'esnext.disposable'],
      strict: true,
      noEmit: true,
      types: [],
    };
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: options, files: ['user.ts'] }),
    );
    const { stdout, status } = run(process.execPath, [compiler, '-p', 'tsconfig.json']);
    expect(stdout).toBe('');
    expect(status).toBe(0);
  });

  it('brings a command line that prints its version', () => {
    const bin = join(folder, 'node_modules/foretoken', manifest.bin.foretoken);
    expect(existsSync(bin)).toBe(true);
    const { stdout } = run(process.execPath, [bin, '--version']);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+(-dev\.\d+\+g[0-9a-f]{9})?\n$/);
  });
});
