import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { playwright } from '@vitest/browser-playwright';
import { defineConfig, type TestProjectConfiguration } from 'vitest/config';

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Where Debian and others put Chromium. */
const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const chromium = [process.env.CHROMIUM ?? '', ...places].find((path) => existsSync(path));
if (chromium === undefined && !process.argv.includes('--project'))
  console.warn(
    `tests/browser is skipped: no Chromium in ${places.join(', ')}; the variable CHROMIUM names another`,
  );

const alias = [
  { find: /^foretoken$/, replacement: source('src/index.ts') },
  { find: /^foretoken\/(.+)$/, replacement: `${source('src')}/$1/index.ts` },
];

/** Pages that may share memory among threads. */
const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

const flags = [
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--disable-background-networking',
  '--disable-component-update',
];

/** A model of the checkout and its golden values, as paths of the server. */
export interface ServedFixture {
  readonly name: string;
  readonly folder: string;
  readonly golden: string;
}

declare module 'vitest' {
  interface ProvidedContext {
    readonly fixtures: readonly ServedFixture[];
  }
}

const fixtures: readonly ServedFixture[] = [
  ...readdirSync(source('tests/golden'))
    .filter((name) => name.startsWith('tiny-random-'))
    .map((name) => ({
      name,
      folder: `/tests/golden/${name}`,
      golden: `/tests/golden/${name}/golden.json`,
    })),
  ...['target', 'draft'].map((name) => ({
    name: `demo ${name}`,
    folder: `/models/${name}`,
    golden: `/tests/golden/demo-${name}.json`,
  })),
];

const node = {
  resolve: { alias },
  test: {
    name: 'node',
    include: ['tests/**/*.test.ts'],
    exclude: ['tests/browser/**'],
    testTimeout: 30_000,
    pool: 'threads',
  },
} satisfies TestProjectConfiguration;

/** Tests in pages. */
const pages = {
  resolve: { alias },
  server: { headers: isolation },
  // Named, because Vite reloads the page when it meets a dependency that it has not prepared.
  optimizeDeps: {
    include: [
      '@huggingface/jinja',
      '@huggingface/tokenizers',
      '@petamoriken/float16',
      'gpu.js',
      'zod',
    ],
  },
  test: {
    name: 'chromium',
    include: ['tests/browser/**/*.test.ts'],
    testTimeout: 240_000,
    provide: { fixtures },
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({ launchOptions: { executablePath: chromium, args: flags } }),
      instances: [{ browser: 'chromium' }],
    },
  },
} satisfies TestProjectConfiguration;

export default defineConfig({
  test: { projects: chromium === undefined ? [node] : [node, pages] },
});
