// Runs a TypeScript file of this checkout: node scripts/run.mjs bench/main.ts kernels --backend cpu
// Everything is compiled to .build/ first, so that it runs as plain JavaScript on every supported Node.
import { readdirSync } from 'node:fs';
import { compile, node, root } from './compile.mjs';

const [file, ...args] = process.argv.slice(2);
if (file === 'examples') runExample(args);
else run(file, args);

function run(path, rest) {
  compile(['-p', 'tsconfig.run.json']);
  node([`.build/${path.replace(/\.ts$/, '.js')}`, ...rest]);
}

/** npm run example -- <name> */
function runExample([name, ...rest]) {
  const names = readdirSync(new URL('examples', root))
    .filter((entry) => entry.endsWith('.ts'))
    .map((entry) => entry.slice(0, -3));
  if (!names.includes(name)) {
    console.error(`example: expected one of ${names.join(', ')}, got ${name ?? 'none'}`);
    process.exit(2);
  }
  run(`examples/${name}.ts`, rest);
}
