// Folders behind a URL, on servers that cut files, that do not, and that answer something else.
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { FormatError, OptionError } from '../../src/kernels/errors.ts';
import { urlSource } from '../../src/tensor/url-source.ts';

const BYTES = Uint8Array.from({ length: 1000 }, (_, index) => index % 251);
const FILES: Readonly<Record<string, Uint8Array>> = {
  '/model/weights.bin': BYTES,
  '/model/text.txt': new TextEncoder().encode('naïve'),
  '/model/empty': new Uint8Array(0),
  '/model/sub%20folder/a%23b': Uint8Array.of(7),
};

let close: (() => void) | undefined;
afterEach(() => close?.());

/** Serves; gives the URL of the folder and the ranges that were asked for. */
async function serve(listener: RequestListener) {
  const ranges: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    ranges.push(request.headers.range);
    listener(request, response);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  close = () => server.close();
  const { port } = server.address() as AddressInfo;
  return { base: `http://127.0.0.1:${port}/model`, ranges };
}

const cutting: RequestListener = ({ url, headers }, response) => {
  const file = FILES[url!];
  if (file === undefined) return response.writeHead(404).end();
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range!)!.map(Number);
  if (from >= file.length) return response.writeHead(416).end();
  const part = file.subarray(from, to + 1);
  response
    .writeHead(206, { 'Content-Range': `bytes ${from}-${from + part.length - 1}/${file.length}` })
    .end(part);
};

const whole: RequestListener = ({ url }, response) => {
  const file = FILES[url!];
  if (file === undefined) response.writeHead(404).end();
  else response.writeHead(200).end(file);
};

describe.each([
  ['that cuts files', cutting],
  ['that does not', whole],
])('a server %s', (_, listener) => {
  it('gives sizes, bytes and text', async () => {
    const { base } = await serve(listener);
    const source = urlSource(base);
    expect(source.name).toBe(base);
    expect(await source.has('weights.bin')).toBe(true);
    expect(await source.has('other.bin')).toBe(false);
    expect(await source.size('weights.bin')).toBe(1000);
    expect(await source.read('weights.bin', 100, 300)).toEqual(BYTES.slice(100, 300));
    expect(await source.text('text.txt')).toBe('naïve');
    expect(await source.size('empty')).toBe(0);
    expect(await source.text('empty')).toBe('');
    expect(await source.read('sub folder/a#b', 0, 1)).toEqual(Uint8Array.of(7));
  });

  it('is refused for paths that leave the folder, files that are not there and bytes past the end', async () => {
    const source = urlSource((await serve(listener)).base);
    for (const path of ['../secret', '/etc/passwd', 'a//b', 'http:evil'])
      await expect(source.has(path)).rejects.toThrow(FormatError);
    await expect(source.read('other.bin', 0, 1)).rejects.toThrow('expected a file, got nothing');
    await expect(source.size('other.bin')).rejects.toThrow('expected a file, got nothing');
    await expect(source.read('weights.bin', 900, 1001)).rejects.toThrow('truncated');
  });
});

describe('urlSource', () => {
  it('asks for no more than it is asked for', async () => {
    const { base, ranges } = await serve(cutting);
    const source = urlSource(base);
    await source.read('weights.bin', 100, 300);
    await source.read('weights.bin', 300, 301);
    expect(ranges).toEqual(['bytes=0-0', 'bytes=100-299', 'bytes=300-300']);
  });

  it('fetches a file that is not cut once', async () => {
    const { base, ranges } = await serve(whole);
    const source = urlSource(base);
    await source.read('weights.bin', 100, 300);
    await source.read('weights.bin', 300, 301);
    expect(ranges).toHaveLength(1);
  });

  it('takes a page of HTML for a file that is not there', async () => {
    const { base } = await serve((_, response) => {
      response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end('<p>home</p>');
    });
    expect(await urlSource(base).has('model.safetensors')).toBe(false);
  });

  it('names other answers, and asks again after them', async () => {
    let broken = true;
    const { base } = await serve((request, response) => {
      if (broken) response.writeHead(503).end();
      else cutting(request, response);
    });
    const source = urlSource(base);
    await expect(source.size('weights.bin')).rejects.toThrow(/expected a file, got HTTP 503/);
    broken = false;
    expect(await source.size('weights.bin')).toBe(1000);
  });

  it('notices a file that is shorter than it was', async () => {
    let asked = 0;
    const { base } = await serve((request, response) => {
      if (asked++ === 0) cutting(request, response);
      else response.writeHead(206, { 'Content-Range': 'bytes 0-4/1000' }).end(BYTES.subarray(0, 5));
    });
    await expect(urlSource(base).read('weights.bin', 0, 10)).rejects.toThrow(
      'expected 10 bytes from 0 on, got 5',
    );
  });

  it('sends headers with every request and stops when it is told to', async () => {
    const seen: unknown[] = [];
    const { base } = await serve((request, response) => {
      seen.push(request.headers.authorization);
      cutting(request, response);
    });
    const source = urlSource(base, { headers: { Authorization: 'Bearer x' } });
    await source.read('weights.bin', 0, 5);
    expect(seen).toEqual(['Bearer x', 'Bearer x']);
    const stopped = source.read('weights.bin', 0, 5, { signal: AbortSignal.abort() });
    await expect(stopped).rejects.toThrow(/aborted/i);
  });

  it('names a server that does not answer, and a base that is no URL', async () => {
    const { base } = await serve(cutting);
    close?.();
    await expect(urlSource(base).size('weights.bin')).rejects.toThrow(/expected an answer, got/);
    expect(() => urlSource('model')).toThrow(OptionError);
  });
});
