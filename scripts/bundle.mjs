// Bundles the entries of the package and the command line, with shared pieces beside them: an import takes 50 ms instead of 170 and
// 7 MB less than module by module, most of it the messages of zod in forty languages, which modules load and a bundle leaves out.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { root } from './compile.mjs';

const at = (path) => fileURLToPath(new URL(path, root));
const { exports, bin } = JSON.parse(readFileSync(at('package.json'), 'utf8'));
// One file of its own (browser.mjs).
delete exports['./browser'];

/** dist/models/index.js to src/models/index.ts. */
const sourceOf = (file) => at(file.replace(/^(\.\/)?dist/, 'src').replace(/js$/, 'ts'));

await build({
  entryPoints: [
    ...Object.values(exports).flatMap(({ default: file }) => file ?? []),
    ...Object.values(bin),
  ].map(sourceOf),
  outbase: at('src'),
  outdir: at('dist'),
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  // All packages but zod, of which a few parts are used.
  external: ['gpu.js', 'gpu.js/*', '@huggingface/*', '@petamoriken/*'],
  chunkNames: 'shared/[name]-[hash]',
  legalComments: 'eof',
  logLevel: 'warning',
});
