// The site: built to site/dist, which any host of files can serve; with the headers of isolation it has threads.
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Pages with these may share memory among threads. */
const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

/** Nothing from elsewhere, nothing to elsewhere. Only of the built page: the server for development puts scripts into it. */
const POLICY = [
  "default-src 'self'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self' blob:",
  "connect-src 'self' blob:",
  "img-src 'self' data:",
].join('; ');

const hosting: Plugin = {
  name: 'hosting',
  apply: 'build',
  transformIndexHtml: () => [
    {
      tag: 'meta',
      attrs: { 'http-equiv': 'Content-Security-Policy', content: POLICY },
      injectTo: 'head-prepend',
    },
  ],
  generateBundle() {
    // Several hosts of static files read this.
    const headers = Object.entries(ISOLATION).map(([name, value]) => `  ${name}: ${value}\n`);
    this.emitFile({ type: 'asset', fileName: '_headers', source: `/*\n${headers.join('')}` });
  },
};

export default defineConfig({
  root: at('.'),
  // The embedded pair, as it is in the package.
  publicDir: at('../models'),
  base: './',
  build: {
    outDir: at('dist'),
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: { polyfill: false },
  },
  worker: { format: 'es' },
  server: { headers: ISOLATION },
  preview: { headers: ISOLATION },
  plugins: [hosting],
});
