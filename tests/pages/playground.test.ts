// The playground as it is built, in Chromium: what it shows, what it saves, that it can be used by everybody, and that it asks
// no other host for anything. Its speed is not tested; its size is.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright';
import { build, type PreviewServer, preview } from 'vite';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { byteLevelFiles } from '../models/tokenizers.ts';
import { chromiumPath, FLAGS } from './chromium.ts';

const configFile = fileURLToPath(new URL('../../site/vite.config.ts', import.meta.url));
const axeFile = fileURLToPath(new URL('../../node_modules/axe-core/axe.min.js', import.meta.url));
const models = fileURLToPath(new URL('../../models', import.meta.url));
const golden = fileURLToPath(new URL('../golden', import.meta.url));

/** Of everything that is fetched before a text can be generated, but for the model. */
const LARGEST_GZIP = 250_000;

describe.skipIf(chromiumPath === undefined)('the playground', () => {
  let folder: string;
  let server: PreviewServer;
  let browser: Browser;
  let base: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'foretoken-site-'));
    await build({ configFile, logLevel: 'error', build: { outDir: folder } });
    server = await preview({
      configFile,
      logLevel: 'error',
      build: { outDir: folder },
      preview: { port: 0, host: '127.0.0.1' },
    });
    base = server.resolvedUrls!.local[0];
    browser = await chromium.launch({ executablePath: chromiumPath!, args: FLAGS });
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Errors and requests elsewhere, of the page of a test. */
  let complaints: string[];
  let requests: string[];
  afterEach(() => {
    expect(complaints).toEqual([]);
    expect(requests.filter((url) => !url.startsWith(base) && !/^(blob|data):/.test(url))).toEqual(
      [],
    );
  });

  async function open(options: BrowserContextOptions = {}): Promise<Page> {
    complaints = [];
    requests = [];
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, ...options });
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('request', (request) => requests.push(request.url()));
    await page.goto(base);
    await ready(page);
    return page;
  }

  const ready = (page: Page) => page.waitForSelector('#generate:enabled', { timeout: 60_000 });
  /** The small model, which any backend runs in no time. */
  const small = async (page: Page) => {
    await page.selectOption('#target', 'embedded');
    await page.fill('#tokens', '24');
    await ready(page);
  };
  const generate = async (page: Page) => {
    await page.click('#generate');
    await ready(page);
    expect(await page.textContent('#error')).toBe('');
  };

  it('needs less than a quarter of a megabyte, and generates with the threads of an isolated page', async () => {
    const page = await open();
    const files = [...new Set(requests)]
      .map((url) => new URL(url).pathname)
      .filter((path) => !/^\/(target|draft)\//.test(path) && !/^blob|foretoken/.test(path));
    const bytes = files
      .filter((path) => path.startsWith('/'))
      .map(
        (path) => gzipSync(readFileSync(join(folder, path === '/' ? 'index.html' : path))).length,
      );
    expect(bytes.length).toBeGreaterThan(3);
    expect(bytes.reduce((sum, each) => sum + each, 0)).toBeLessThan(LARGEST_GZIP);
    expect(await page.textContent('#status')).toMatch(/SIMD, \d+ threads/);
    await generate(page);
    const verdict = await page.textContent('#verdict');
    expect(verdict).toContain('Without drafts: the same 96 tokens, one by one.');
    await page.close();
  }, 60_000);

  it('colours every token by where it came from, and counts them', async () => {
    const page = await open();
    await small(page);
    await generate(page);
    const counts = await page.$$eval('[id^=count-]', (all) => all.map((each) => each.textContent));
    expect(counts.reduce((sum, count) => sum + Number(count), 0)).toBe(24);
    for (const [index, origin] of ['accepted', 'recovered', 'bonus', 'plain'].entries())
      expect(await page.locator(`#stream .token.${origin}`).count()).toBe(Number(counts[index]));
    expect(await page.locator('#stream .token.accepted').count()).toBeGreaterThan(4);
    await page.close();
  }, 60_000);

  it('is used by keys alone: rounds, steps, and the order of the focus', async () => {
    const page = await open();
    await small(page);
    // From the first to the last field in the order of the page, each with a visible focus.
    const order: number[] = [];
    await page.focus('.skip');
    for (let count = 0; count < 60; count++) {
      const found = await page.evaluate(() => {
        const all = [...document.querySelectorAll('*')];
        const active = document.activeElement!;
        const style = getComputedStyle(active);
        return {
          at: active === document.body ? -1 : all.indexOf(active),
          seen: style.outlineStyle !== 'none' && Number.parseFloat(style.outlineWidth) > 0,
        };
      });
      if (found.at < 0) break;
      expect(found.seen).toBe(true);
      order.push(found.at);
      await page.keyboard.press('Tab');
    }
    expect(order.length).toBeGreaterThan(20);
    expect(order).toEqual(order.toSorted((a, b) => a - b));

    await page.focus('#prompt');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await ready(page);
    await page.focus('#stream');
    await page.keyboard.press('Home');
    for (let count = 0; count < 2; count++) await page.keyboard.press('ArrowRight');
    expect(await page.textContent('#round .where >> nth=0')).toMatch(/^Round 2 of \d+$/);
    expect(await page.getAttribute('#stream [aria-selected=true]', 'id')).toBe('block-2');
    await page.getByRole('button', { name: 'Next step' }).focus();
    const titles = new Set([await page.textContent('#round h3')]);
    while (await page.getByRole('button', { name: 'Next step' }).isEnabled()) {
      await page.keyboard.press('Enter');
      titles.add(await page.textContent('#round h3'));
    }
    expect(titles.size).toBeGreaterThan(1);
    expect([...titles].at(-1)).toMatch(/comes next: (recovered|bonus|plain)$/);
    await page.close();
  }, 60_000);

  it('shows the coin of rejection, what is owed after it, and trees', async () => {
    const page = await open();
    await small(page);
    await page.selectOption('#drafter', 'tree');
    await page.selectOption('#verifier', 'rejection');
    await page.fill('#temperature', '1.2');
    await generate(page);
    let [coins, owed, trees] = [0, 0, 0];
    const rounds = await page.locator('#stream [role=option]').count();
    for (let round = 0; round < rounds; round++) {
      await page.locator(`#block-${round}`).click();
      while (true) {
        coins += await page.locator('#round .coin').count();
        owed += await page.getByText('owed: (p − q)₊').count();
        const next = page.getByRole('button', { name: 'Next step' });
        if (!(await next.isEnabled())) break;
        await next.click();
      }
      if ((await page.locator('#round .node').count()) > 4) trees += 1;
    }
    expect(Math.min(coins, owed, trees)).toBeGreaterThan(0);
    await page.close();
  }, 60_000);

  it('saves the trace as JSON and as a picture that stands alone', async () => {
    const page = await open();
    await small(page);
    await generate(page);
    const saved = async (id: string) => {
      const download = page.waitForEvent('download');
      await page.click(id);
      return readFileSync(await (await download).path(), 'utf8');
    };
    const trace = JSON.parse(await saved('#save-json'));
    expect(trace).toMatchObject({ format: 'foretoken trace', version: 1, settings: { seed: 1 } });
    const [drafted, plain] = trace.runs;
    expect(drafted.rounds.flatMap(({ emitted }: { emitted: number[] }) => emitted)).toEqual(
      drafted.result.tokens,
    );
    expect(plain.result.tokens).toEqual(drafted.result.tokens);
    const picture = await saved('#save-svg');
    expect(picture).toContain('xmlns="http://www.w3.org/2000/svg"');
    const alone = await browser.newPage();
    await alone.setContent(picture);
    const fills = await alone.$$eval('rect', (all) =>
      all.map((each) => getComputedStyle(each).fill),
    );
    expect(fills.length).toBeGreaterThan(drafted.rounds.length);
    expect(new Set(fills).size).toBeGreaterThan(2);
    await alone.close();
    await page.close();
  }, 60_000);

  it('measures the ladder of the machine, and proves in the tab', async () => {
    const page = await open();
    await small(page);
    await page.click('#ladder');
    await ready(page);
    expect(await page.locator('#charts .dot').count()).toBe(10);
    const prove = page.getByRole('button', { name: 'Prove', exact: true });
    await prove.click();
    await page.waitForSelector('.findings');
    expect(await page.locator('.findings .good').count()).toBe(2);
    await page.getByLabel('Verifier').last().selectOption('forgetful');
    await prove.click();
    await page.waitForSelector('.findings .bad');
    expect(await page.locator('.findings .bad').count()).toBe(2);
    await page.close();
  }, 60_000);

  it('takes a folder of the reader, keeps it when asked, and says what is wrong with another', async () => {
    const page = await open();
    await small(page);
    await page.click('summary');
    await page.setInputFiles('#file', {
      name: 'notes.txt',
      mimeType: 'text/plain',
      buffer: Buffer.from(''),
    });
    expect(await page.textContent('#error')).toContain('expected a folder with .safetensors files');
    await page.check('#keep');
    await page.setInputFiles('#folder', join(models, 'draft'));
    await page.waitForSelector('#stored li');
    await ready(page);
    expect(await page.textContent('#stored li')).toContain('draft (');
    expect(await page.inputValue('#target')).toBe('own:draft');
    expect(await page.inputValue('#drafter')).toBe('ngram');
    await generate(page);
    expect(await page.locator('#stream [role=option]').count()).toBeGreaterThan(0);
    // A target of one's own has no draft model yet.
    await page.selectOption('#drafter', 'model');
    await page.click('#generate');
    await ready(page);
    expect(await page.textContent('#error')).toContain('expected a draft model');
    // And with one it has.
    await page.selectOption('#role', 'draft');
    await page.getByRole('button', { name: 'Use draft' }).click();
    await ready(page);
    expect(await page.inputValue('#draft')).toBe('own:draft');
    await generate(page);
    expect(await page.textContent('#verdict')).toContain('the same 24 tokens');
    await page.getByRole('button', { name: 'Remove draft' }).click();
    await page.waitForSelector('#stored li', { state: 'detached' });
    await page.close();
  }, 60_000);

  it('takes a speculator of the reader as a drafter, also from its copies', async () => {
    const own = join(folder, 'own');
    cpSync(join(golden, 'tiny-random-llama-8l'), own, { recursive: true });
    // One id each for what the prompt has, so that it is a text of this model.
    const words = [...'aceimnoptuOĠ', ...Array.from({ length: 52 }, (_, index) => `w${index}`)];
    writeFileSync(join(own, 'tokenizer.json'), JSON.stringify(byteLevelFiles(words).tokenizerJson));
    const page = await open();
    await small(page);
    await page.click('summary');
    await page.check('#keep');
    const copies = page.locator('#stored li');
    for (const [index, path] of [own, join(golden, 'heads/eagle3')].entries()) {
      await page.setInputFiles('#folder', path);
      await expect.poll(() => copies.count()).toBe(index + 1);
      await ready(page);
    }
    await page.reload();
    await ready(page);
    await small(page);
    await page.click('summary');
    for (const name of ['own', 'eagle3']) {
      await page.getByRole('button', { name: `Use ${name}` }).click();
      await ready(page);
    }
    expect(await page.inputValue('#target')).toBe('own:own');
    expect(await page.inputValue('#drafter')).toBe('speculator:eagle3');
    expect(await page.textContent('#drafter option:checked')).toBe('eagle3, a speculator');
    expect(await page.isDisabled('#draft')).toBe(true);
    expect(await page.textContent('#status')).toContain('Drafter: eagle3.');
    await generate(page);
    expect(await page.textContent('#verdict')).toContain('the same 24 tokens');
    await page.locator('#block-1').click();
    expect(await page.locator('#round .node').count()).toBeGreaterThan(2);
    // It is none for another target.
    await page.selectOption('#target', 'embedded');
    await ready(page);
    expect(await page.textContent('#error')).toContain("vocab_size: expected the target's 2048");
    await page.selectOption('#target', 'own:own');
    await ready(page);
    await generate(page);
    await page.close();
  }, 60_000);

  it('stops, and goes on after it', async () => {
    const page = await open();
    await small(page);
    await page.selectOption('#pace', 'slow');
    await page.click('#generate');
    await page.waitForSelector('#stream .token.drafted');
    await page.click('#stop');
    await ready(page);
    expect(await page.textContent('#status')).toBe('Stopped.');
    await page.selectOption('#pace', 'full');
    await generate(page);
    await page.close();
  }, 60_000);

  it.each(['cpu', 'webasm', 'webgl2', 'webgpu'])(
    'runs on the backend %s',
    async (backend) => {
      const page = await open();
      await small(page);
      await page.selectOption('#backend', backend);
      await page.fill('#tokens', '8');
      await ready(page);
      await generate(page);
      expect(await page.textContent('#status')).toContain(
        `Ready: ${backend === 'cpu' ? 'cpu' : `gpu, ${backend}`}`,
      );
      expect(await page.textContent('#verdict')).toContain('the same 8 tokens');
      await page.close();
    },
    120_000,
  );

  for (const colorScheme of ['light', 'dark'] as const)
    for (const [name, viewport] of [
      ['wide', { width: 1280, height: 900 }],
      ['narrow', { width: 390, height: 844 }],
    ] as const)
      it(`has labels, contrast and roles as they should be, ${colorScheme} and ${name}, empty and full`, async () => {
        // The engine of the checks is put into the page, which its policy would not allow.
        const page = await open({ colorScheme, viewport, bypassCSP: true });
        await page.addScriptTag({ path: axeFile });
        const faults = () =>
          page.evaluate(async () => {
            const { axe } = globalThis as unknown as {
              axe: {
                run(): Promise<{
                  violations: { id: string; nodes: { html: string; failureSummary: string }[] }[];
                }>;
              };
            };
            const { violations } = await axe.run();
            return violations.flatMap(({ id, nodes }) =>
              nodes.map(
                ({ html, failureSummary }) => `${id}: ${html.slice(0, 120)}: ${failureSummary}`,
              ),
            );
          });
        expect(await faults()).toEqual([]);
        await small(page);
        await page.selectOption('#verifier', 'rejection');
        await page.check('#rejected');
        await page.click('summary');
        await generate(page);
        await page.click('#ladder');
        await ready(page);
        await page.getByRole('button', { name: 'Prove', exact: true }).click();
        await page.waitForSelector('.findings');
        for (let round = 0; round < 6; round++) {
          await page.locator(`#block-${round}`).click();
          while (await page.getByRole('button', { name: 'Next step' }).isEnabled())
            await page.getByRole('button', { name: 'Next step' }).click();
        }
        expect(await faults()).toEqual([]);
        // Nothing sticks out sideways.
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(
          viewport.width,
        );
        await page.close();
      }, 60_000);
});
