// The package in pages of its own, outside any bundler's server: a plain module script, isolated or not, under policies for
// content, and with a worker that offers the modes of GPU.js.
import { build } from 'esbuild';
import { type Browser, chromium } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chromiumPath, FLAGS, ISOLATION } from './chromium.ts';
import { type Page, servePages } from './server.ts';

/** Generates in an engine and leaves what happened in `window.done`. */
const script = (engine: string, load = '{}') => `
import { connect, createEngine } from '/dist/browser/index.js';
const run = async () => {
  const engine = ${engine};
  const model = await engine.load({ url: '/models/draft' }, ${load});
  const generation = model.generate('Once upon a time', { maxTokens: 8, ignoreEos: true });
  const ids = [];
  for await (const { id } of generation) ids.push(id);
  return { ids, isolated: crossOriginIsolated, report: await model.currentReport() };
};
window.done = run().catch((error) => ({ error: error.name + ': ' + error.message }));
`;

/** Generates for a while and compares with a run that nothing disturbed; `window.count` says how far it is. */
const LONG = `
import { createEngine } from '/dist/browser/index.js';
window.count = 0;
const run = async () => {
  const engine = createEngine();
  const model = await engine.load({ url: '/models/target' }, { inflate: { parameters: 4e7 } });
  const options = { maxTokens: 200, ignoreEos: true };
  const ids = [];
  for await (const { id } of model.generate('Once upon a time', options)) {
    ids.push(id);
    window.count = ids.length;
  }
  const { tokens } = await model.generate('Once upon a time', options);
  return { same: tokens.length === 200 && tokens.join() === ids.join() };
};
window.done = run().catch((error) => ({ error: error.name + ': ' + error.message }));
`;

interface Outcome {
  readonly ids?: readonly number[];
  readonly isolated?: boolean;
  readonly report?: { readonly executor: string; readonly notes: readonly string[] };
  readonly error?: string;
}

const policy = (value: string) => ({ 'Content-Security-Policy': value });
const OWN = `connect(new Worker('/worker.js?page=' + location.pathname, { type: 'module' }))`;
const gpuMode = (mode: string) =>
  `{ contextLength: 64, backend: { name: 'gpu', options: { mode: '${mode}' } } }`;

const PAGES: Readonly<Record<string, Page>> = {
  '/plain': { script: script('createEngine()') },
  '/long': { script: LONG, headers: ISOLATION },
  '/isolated': { script: script('createEngine()'), headers: ISOLATION },
  '/policy': {
    script: script('createEngine()'),
    headers: {
      ...ISOLATION,
      ...policy("default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src blob:"),
    },
  },
  '/no-workers': {
    script: script('createEngine()'),
    headers: policy("default-src 'self'; script-src 'self' 'wasm-unsafe-eval'"),
  },
  '/own-worker': {
    script: script(OWN),
    headers: {
      ...ISOLATION,
      ...policy("default-src 'self'; script-src 'self' 'wasm-unsafe-eval'"),
    },
  },
  ...Object.fromEntries(
    Object.entries({
      webgpu: '',
      webgl2: '',
      webasm: "; script-src 'self' 'wasm-unsafe-eval'",
      cpu: "; script-src 'self' 'unsafe-eval'",
    }).map(([mode, scripts]) => [
      `/${mode}`,
      { script: script(OWN, gpuMode(mode)), headers: policy(`default-src 'self'${scripts}`) },
    ]),
  ),
};

const WORKER = `
import { serve } from './src/browser/serve.ts';
import { gpu } from './src/kernels/gpu/index.ts';
serve(globalThis, { gpu });
`;

describe.skipIf(chromiumPath === undefined)('a page', () => {
  let browser: Browser;
  let server: Awaited<ReturnType<typeof servePages>>;
  beforeAll(async () => {
    const bundle = await build({
      stdin: { contents: WORKER, resolveDir: '.', loader: 'ts' },
      bundle: true,
      format: 'esm',
      platform: 'browser',
      write: false,
      logLevel: 'error',
    });
    server = await servePages(PAGES, { '/worker.js': bundle.outputFiles[0].text });
    browser = await chromium.launch({ executablePath: chromiumPath!, args: FLAGS });
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    server?.close();
  });

  /** What a page did, and what it complained about. */
  async function visit(
    path: string,
  ): Promise<Outcome & { readonly complaints: readonly string[] }> {
    const page = await browser.newPage();
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    const outside: string[] = [];
    page.on('request', (request) => {
      const url = request.url();
      if (!url.startsWith(server.base) && !/^(blob|data):/.test(url)) outside.push(url);
    });
    await page.goto(`${server.base}${path}`);
    const outcome = (await page.evaluate('window.done')) as Outcome;
    await page.close();
    expect(outside).toEqual([]);
    return { ...outcome, complaints };
  }

  let expected: readonly number[] | undefined;
  const check = (outcome: Outcome & { readonly complaints: readonly string[] }) => {
    expect(outcome.error).toBeUndefined();
    expect(outcome.complaints).toEqual([]);
    expect(outcome.ids).toHaveLength(8);
    expected ??= outcome.ids;
    expect(outcome.ids).toEqual(expected);
  };

  it('runs one file without a bundler, on one thread where it is not isolated', async () => {
    const outcome = await visit('/plain');
    check(outcome);
    expect(outcome.isolated).toBe(false);
    expect(outcome.report!.executor).toMatch(/SIMD, 1 thread$/);
    expect(outcome.report!.notes.join()).toContain('cross-origin isolated');
  });

  it('has threads where it is isolated', async () => {
    const outcome = await visit('/isolated');
    check(outcome);
    expect(outcome.isolated).toBe(true);
    expect(outcome.report!.executor).toMatch(/SIMD, [2-8] threads$/);
  });

  it('runs under the policy that the documentation names', async () => {
    const outcome = await visit('/policy');
    check(outcome);
    expect(outcome.report!.executor).toMatch(/SIMD, [2-8] threads$/);
  });

  it('goes on where it was when a tab that slept wakes up', async () => {
    const page = await browser.newPage();
    await page.goto(`${server.base}/long`);
    await page.waitForFunction('window.count > 4');
    const session = await page.context().newCDPSession(page);
    await session.send('Page.setWebLifecycleState', { state: 'frozen' });
    // Nothing of the page can be asked while it sleeps.
    await new Promise((done) => setTimeout(done, 500));
    await session.send('Page.setWebLifecycleState', { state: 'active' });
    const outcome = (await page.evaluate('window.done')) as { same?: boolean; error?: string };
    expect(outcome).toEqual({ same: true });
    await page.close();
  }, 60_000);

  it('says so where the policy allows no worker from a blob', async () => {
    const outcome = await visit('/no-workers');
    expect(outcome.error).toMatch(/^Error: engine: the worker ended/);
  });

  it('takes a worker file of its own under a stricter policy, on the threads that it gets', async () => {
    const outcome = await visit('/own-worker');
    check(outcome);
    expect(outcome.report!.notes.join()).toContain('a thread less than asked for');
  });

  it.each([
    ['webgpu', 'webgpu fused-encoder'],
    ['webgl2', 'webgl2 chained'],
    ['webasm', 'webasm fused-sync'],
    ['cpu', 'cpu generic'],
  ])(
    'runs GPU.js in mode %s in its worker',
    async (mode, executor) => {
      const outcome = await visit(`/${mode}`);
      check(outcome);
      expect(outcome.report!.executor).toBe(executor);
    },
    60_000,
  );
});
