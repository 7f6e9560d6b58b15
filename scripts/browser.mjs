// Bundles what pages load. First the worker, as text for src/browser/worker-source.ts, which is never committed; after the
// compiler has run, the entry for pages as one file: node scripts/browser.mjs worker | entry
import { rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { root } from './compile.mjs';

const at = (path) => fileURLToPath(new URL(path, root));

/** One minified file for any browser of the last years. */
async function bundle(entry, format) {
  const { outputFiles } = await build({
    entryPoints: [at(entry)],
    bundle: true,
    format,
    minify: true,
    platform: 'browser',
    target: 'es2022',
    legalComments: 'none',
    write: false,
    logLevel: 'warning',
  });
  return outputFiles[0].text;
}

if (process.argv[2] === 'worker')
  writeFileSync(
    at('src/browser/worker-source.ts'),
    `// Written by scripts/browser.mjs at build.\n/** The program of the worker, bundled. */\nexport const workerSource: string = ${JSON.stringify(await bundle('src/browser/worker.ts', 'iife'))};\n`,
  );
else {
  writeFileSync(at('dist/browser/index.js'), await bundle('src/browser/index.ts', 'esm'));
  // It is inside the entry now.
  rmSync(at('dist/browser/worker-source.d.ts'));
}
