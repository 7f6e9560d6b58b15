import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^foretoken$/, replacement: source('src/index.ts') },
      { find: /^foretoken\/(.+)$/, replacement: `${source('src')}/$1/index.ts` },
    ],
  },
  test: { include: ['tests/**/*.test.ts'], testTimeout: 30_000, pool: 'threads' },
});
