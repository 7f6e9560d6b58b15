// Where Chromium is on this machine, and how the tests start it.
import { existsSync } from 'node:fs';

/** Where Debian and others put it. */
export const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** The executable, or undefined; the variable CHROMIUM names another place. */
export const chromiumPath = [process.env.CHROMIUM ?? '', ...PLACES].find((path) =>
  existsSync(path),
);

/**
 * WebGPU on a software adapter, no requests of the browser's own, and `gc`: every plan of GPU.js on WebAssembly has a memory of its
 * own, for which V8 reserves gigabytes of addresses, and a hundred plans in a row run out of them before it collects any.
 */
export const FLAGS = [
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--js-flags=--expose-gc',
];

/** Headers of pages that may share memory among threads. */
export const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};
