// A bench in Chromium: the same code in a worker of an isolated page, with the lines it prints.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { chromium } from 'playwright';
import { chromiumPath, FLAGS, ISOLATION, PLACES } from '../tests/pages/chromium.ts';
import { servePages } from '../tests/pages/server.ts';
import type { BenchOptions } from './measure.ts';

/** In the page: hands the request to the worker, and every line to the terminal. */
const SCRIPT = `
const worker = new Worker('/worker.js?page=/', { type: 'module' });
window.run = (request) => new Promise((resolve, reject) => {
  worker.onerror = ({ message }) => reject(new Error(message));
  worker.onmessage = ({ data }) => {
    if ('line' in data) return window.print(data.line);
    if (data.end === null) resolve();
    else reject(new Error(data.end));
  };
  worker.postMessage(request);
});
window.ready = true;
`;

/** Runs a bench of the page; prints what it prints. */
export async function runInPage(name: string, options: BenchOptions): Promise<void> {
  if (chromiumPath === undefined) {
    console.error(`bench: --page: expected Chromium in ${PLACES.join(', ')}, got none`);
    process.exit(2);
  }
  const bench = fileURLToPath(new URL('.', import.meta.url)).replace(/[\\/]$/, '');
  const bundle = await build({
    entryPoints: [join(bench, 'page', 'worker.js')],
    bundle: true,
    format: 'esm',
    platform: 'browser',
    write: false,
    logLevel: 'error',
    plugins: [
      {
        name: 'host',
        setup: ({ onResolve }) =>
          onResolve({ filter: /^\.\/host\.js$/ }, ({ resolveDir }) =>
            resolveDir === bench ? { path: join(bench, 'page', 'host.js') } : undefined,
          ),
      },
    ],
  });
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const server = await servePages(
    { '/': { script: SCRIPT, headers: ISOLATION } },
    { '/worker.js': bundle.outputFiles[0].text },
    root,
  );
  const browser = await chromium.launch({ executablePath: chromiumPath, args: FLAGS });
  try {
    const page = await browser.newPage();
    await page.exposeFunction('print', (line: string) => console.log(line));
    await page.goto(server.base);
    await page.waitForFunction('window.ready');
    await page.evaluate(`window.run(${JSON.stringify({ name, options })})`);
  } finally {
    await browser.close();
    server.close();
  }
}
