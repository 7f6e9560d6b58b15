// Builds dist/ from src/: compiles the WebAssembly kernels, writes the version, bundles the worker for pages, writes the
// declarations, and bundles the entries.
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import './assembly.mjs';
import { compile, node, root } from './compile.mjs';

compile(['-p', 'tsconfig.scripts.json']);
node(['.build/scripts/version.js', 'src/version.ts']);
node(['scripts/browser.mjs', 'worker']);
rmSync(fileURLToPath(new URL('dist', root)), { recursive: true, force: true });
compile(['-p', 'tsconfig.build.json']);
node(['scripts/bundle.mjs']);
node(['scripts/browser.mjs', 'entry']);
