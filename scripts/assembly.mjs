// Compiles src/kernels/wasm/assembly to WebAssembly, with and without relaxed SIMD, and writes the bytes into
// src/kernels/wasm/binaries.ts, which is never committed.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { node, root } from './compile.mjs';

const at = (path) => fileURLToPath(new URL(path, root));
const FEATURES = {
  simd: 'simd,threads,bulk-memory',
  relaxed: 'simd,relaxed-simd,threads,bulk-memory',
};

mkdirSync(at('.build'), { recursive: true });
const lines = Object.entries(FEATURES).map(([name, features]) => {
  const out = at(`.build/${name}.wasm`);
  node([
    'node_modules/assemblyscript/bin/asc.js',
    'src/kernels/wasm/assembly/index.ts',
    ...['-O3', '--runtime', 'stub', '--noAssert', '--noExportMemory', '--enable', features],
    ...['--importMemory', '--sharedMemory', '--initialMemory', '2', '--maximumMemory', '65536'],
    ...['-o', out],
  ]);
  return `  ${name}: '${readFileSync(out).toString('base64')}',`;
});
writeFileSync(
  at('src/kernels/wasm/binaries.ts'),
  `// Written by scripts/assembly.mjs at build.\n/** The kernels as WebAssembly, in base64. */\nexport const binaries = {\n${lines.join('\n')}\n};\n`,
);
