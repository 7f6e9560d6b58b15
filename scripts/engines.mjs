// Runs the tests of the kernels under other versions of Node: node scripts/engines.mjs [24.9.0 …]. The wasm backend sets flags of V8
// by its release, and V8 joins operations only in code that it has optimised, which --no-liftoff makes of all from the start.
import { existsSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { root, run } from './compile.mjs';

const VERSIONS = ['24.9.0', '26.10.0'];
const TESTS = ['tests/kernels', 'tests/models'];
const at = (path) => fileURLToPath(new URL(path, root));

const versions = process.argv.length > 2 ? process.argv.slice(2) : VERSIONS;
for (const version of versions) {
  const name = `node-${process.platform}-${process.arch}`;
  const home = at(`.build/engines/${version}`);
  const engine = `${home}/node_modules/${name}/bin/node`;
  if (!existsSync(engine)) {
    mkdirSync(home, { recursive: true });
    run('npm', [
      'install',
      '--prefix',
      home,
      '--no-save',
      '--ignore-scripts',
      `${name}@${version}`,
    ]);
  }
  console.log(`Node ${version}`);
  const vitest = at('node_modules/vitest/vitest.mjs');
  run(engine, ['--no-liftoff', vitest, 'run', '--project', 'node', ...TESTS]);
}
