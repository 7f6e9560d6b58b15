import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { playwright } from '@vitest/browser-playwright';
import { defineConfig, type TestProjectConfiguration } from 'vitest/config';
import { chromiumPath, FLAGS, ISOLATION, PLACES } from './tests/pages/chromium.ts';

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

if (chromiumPath === undefined && !process.argv.includes('--project'))
  console.warn(
    `tests in pages are skipped: no Chromium in ${PLACES.join(', ')}; the variable CHROMIUM names another`,
  );

const alias = [
  { find: /^foretoken$/, replacement: source('src/index.ts') },
  { find: /^foretoken\/(.+)$/, replacement: `${source('src')}/$1/index.ts` },
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
  server: { headers: ISOLATION },
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
      provider: playwright({ launchOptions: { executablePath: chromiumPath, args: FLAGS } }),
      instances: [{ browser: 'chromium' }],
    },
  },
} satisfies TestProjectConfiguration;

export default defineConfig({
  test: { projects: chromiumPath === undefined ? [node] : [node, pages] },
});
