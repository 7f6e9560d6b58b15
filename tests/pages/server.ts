// A server of pages for the tests: files of the checkout with ranges, and pages made up by a test with headers of its own.
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';

const checkout = fileURLToPath(new URL('../..', import.meta.url));

/** A page: the module it runs, and its headers. */
export interface Page {
  readonly script: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const TYPES: Readonly<Record<string, string>> = {
  js: 'text/javascript',
  json: 'application/json',
};

/**
 * Serves pages by path, scripts by path, and the folders `dist` and `models` of `root`. Scripts of a page get its headers too: a worker has
 * to ask for isolation itself.
 */
export async function servePages(
  pages: Readonly<Record<string, Page>>,
  scripts: Readonly<Record<string, string>> = {},
  root = checkout,
) {
  const server = createServer((request, response) => {
    const path = new URL(request.url!, 'http://localhost').pathname;
    const page = pages[path];
    const from = /page=([^&]+)/.exec(request.url!)?.[1];
    const headers = { ...page?.headers, ...(from && pages[from]?.headers) };
    if (page !== undefined) {
      response.writeHead(200, { 'Content-Type': 'text/html', ...headers });
      return response.end(
        `<!doctype html><title>test</title><script type="module" src="/script.js?page=${path}"></script>`,
      );
    }
    const text = path === '/script.js' && from ? pages[from].script : scripts[path];
    if (text !== undefined) {
      response.writeHead(200, { 'Content-Type': 'text/javascript', ...headers });
      return response.end(text);
    }
    if (path === '/favicon.ico') return response.writeHead(204).end();
    const file = `${root}${path}`;
    if (!/^\/(dist|models)\//.test(path) || path.includes('..') || !existsSync(file))
      return response.writeHead(404).end();
    const bytes = readFileSync(file);
    const type = TYPES[path.split('.').at(-1)!] ?? 'application/octet-stream';
    const common = { 'Content-Type': type, 'Cross-Origin-Resource-Policy': 'same-origin' };
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    if (range === null) return response.writeHead(200, common).end(bytes);
    const part = bytes.subarray(Number(range[1]), Number(range[2]) + 1);
    const end = Number(range[1]) + part.length - 1;
    response
      .writeHead(206, { ...common, 'Content-Range': `bytes ${range[1]}-${end}/${bytes.length}` })
      .end(part);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return { base: `http://127.0.0.1:${port}`, close: () => server.close() };
}
