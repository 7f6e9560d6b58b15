// A folder of files behind a URL, read in ranges (RFC 9110, 14). What a server does not cut is fetched whole, once.
import { FormatError, OptionError } from '../kernels/errors.ts';
import { checkPath, decode, type FolderSource, type ReadOptions, truncated } from './source.ts';

/** Options of `urlSource`. */
export interface UrlSourceOptions {
  /** Sent with every request, e.g. an authorisation. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Instead of the global one. */
  readonly fetch?: typeof fetch;
}

/** A file as the first request found it. */
interface Found {
  readonly size: number;
  /** All of it, where the server knows no ranges. */
  readonly whole: Uint8Array | null;
}

/**
 * The folder at `base`; a base of a page is relative to it. A file that the server answers with 404, or with a page of HTML
 * instead, is not there. Throws an OptionError for a base that is no URL, and FormatErrors for other answers.
 */
export function urlSource(base: string | URL, options: UrlSourceOptions = {}): FolderSource {
  const { headers = {}, fetch: request = fetch } = options;
  const folder = folderUrl(base);
  const known = new Map<string, Promise<Found | null>>();

  const ask = async (path: string, from: number, to: number, { signal }: ReadOptions = {}) => {
    const url = new URL(path.split('/').map(encodeURIComponent).join('/'), folder);
    try {
      return await request(url, {
        headers: { ...headers, Range: `bytes=${from}-${to - 1}` },
        ...(signal && { signal }),
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw new FormatError(`${url}: expected an answer, got ${(error as Error).message}`, {
        cause: error,
      });
    }
  };

  const look = async (path: string, options?: ReadOptions): Promise<Found | null> => {
    const answer = await ask(path, 0, 1, options);
    const page = answer.headers.get('Content-Type')?.startsWith('text/html') ?? false;
    // An empty file has no first byte.
    if (answer.status === 416) return { size: 0, whole: new Uint8Array(0) };
    if (answer.status === 404 || (page && !path.endsWith('.html'))) {
      await answer.body?.cancel();
      return null;
    }
    if (!answer.ok) throw refused(answer);
    const total = /\/(\d+)$/.exec(answer.headers.get('Content-Range') ?? '')?.[1];
    if (answer.status === 206 && total !== undefined) {
      await answer.body?.cancel();
      return { size: Number(total), whole: null };
    }
    const whole = new Uint8Array(await answer.arrayBuffer());
    return { size: whole.length, whole };
  };

  const find = (path: string, options?: ReadOptions): Promise<Found | null> => {
    let found = known.get(checkPath(folder.href, path));
    if (found === undefined) {
      found = look(path, options);
      // Another try may succeed.
      found.catch(() => known.delete(path));
      known.set(path, found);
    }
    return found;
  };

  const read = async (path: string, from: number, to: number, options?: ReadOptions) => {
    const found = await find(path, options);
    const file = `${folder.href}${path}`;
    if (found === null) throw new FormatError(`${file}: expected a file, got nothing`);
    if (to > found.size) throw truncated(file, to, found.size);
    if (to === from) return new Uint8Array(0);
    if (found.whole !== null) return found.whole.slice(from, to);
    const answer = await ask(path, from, to, options);
    if (answer.status !== 206) throw refused(answer);
    const bytes = new Uint8Array(await answer.arrayBuffer());
    if (bytes.length !== to - from)
      throw new FormatError(
        `${file}: expected ${to - from} bytes from ${from} on, got ${bytes.length}`,
      );
    return bytes;
  };

  const size = async (path: string) => {
    const found = await find(path);
    if (found === null)
      throw new FormatError(`${folder.href}${path}: expected a file, got nothing`);
    return found.size;
  };
  return {
    name: folder.href.replace(/\/$/, ''),
    has: async (path) => (await find(path)) !== null,
    size,
    read,
    text: async (path) => decode(`${folder.href}${path}`, await read(path, 0, await size(path))),
    async close() {
      known.clear();
    },
  };
}

function folderUrl(base: string | URL): URL {
  const page = (globalThis as { readonly location?: { readonly href: string } }).location?.href;
  let url: URL;
  try {
    url = new URL(base, page);
  } catch {
    throw new OptionError(`urlSource: expected a URL, got ${JSON.stringify(String(base))}`);
  }
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}

const refused = ({ url, status, statusText }: Response): FormatError =>
  new FormatError(`${url}: expected a file, got HTTP ${status} ${statusText}`.trimEnd());
