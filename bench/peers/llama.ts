// node-llama-cpp: llama.cpp in a native addon, on the CPU. Tokens go to the addon's context itself, past the queue, the
// sampler and the tokenizer of the library, so that only llama.cpp is timed. That part is internal: hence one exact version.
import { pathToFileURL } from 'node:url';
import type { Adapter } from './peer.ts';

const VERSION = '3.22.1';

/** The addon's context (AddonContext). */
interface AddonContext {
  initBatch(size: number): void;
  /** Returns where the logits of the rows `withLogits` will be. */
  addToBatch(
    sequence: number,
    position: number,
    tokens: Uint32Array,
    withLogits: Uint32Array,
  ): Uint32Array;
  decodeBatch(): Promise<void>;
  sampleToken(logits: number, sampler: AddonSampler): Promise<number>;
  removeTokenCellsFromSequence(sequence: number, from: number, to: number): boolean;
  setThreads(threads: number): void;
}

interface AddonSampler {
  applyConfig(config: { readonly temperature: number }): void;
  dispose(): void;
}

interface Context {
  readonly _ctx: AddonContext;
}

interface Model {
  readonly _model: object;
  createContext(options: {
    readonly contextSize: number;
    readonly batchSize: number;
    readonly threads: number;
  }): Promise<Context>;
}

interface Llama {
  readonly _bindings: { readonly AddonSampler: new (model: object) => AddonSampler };
  readonly systemInfo: string;
  readonly llamaCppRelease: { readonly release: string };
  loadModel(options: { readonly modelPath: string }): Promise<Model>;
  dispose(): Promise<void>;
}

interface Package {
  getLlama(options: {
    readonly gpu: false;
    readonly build: 'never';
    readonly skipDownload: true;
    readonly logLevel: 'error';
    readonly maxThreads: number;
  }): Promise<Llama>;
}

/** The adapter. */
export const llama: Adapter = {
  packages: () => [`node-llama-cpp@${VERSION}`, `@node-llama-cpp/${platform()}@${VERSION}`],
  async openDecoder(file, { threads, folder }) {
    const entry = `${folder}/node_modules/node-llama-cpp/dist/index.js`;
    const { getLlama } = (await import(pathToFileURL(entry).href)) as Package;
    const llama = await getLlama({
      gpu: false,
      build: 'never',
      skipDownload: true,
      logLevel: 'error',
      maxThreads: threads,
    });
    const model = await llama.loadModel({ modelPath: file });
    const context = await model.createContext({ contextSize: 512, batchSize: 512, threads });
    const addon = context._ctx;
    addon.setThreads(threads);
    let length = 0;
    let last = -1;
    return {
      version: VERSION,
      build: `llama.cpp ${llama.llamaCppRelease.release}, ${features(llama.systemInfo)}, ${threads} thread${threads > 1 ? 's' : ''}`,
      async feed(tokens, logits) {
        const rows = logits === 'all' ? tokens.map((_, row) => row) : [tokens.length - 1];
        addon.initBatch(tokens.length);
        const places = addon.addToBatch(
          0,
          length,
          Uint32Array.from(tokens),
          Uint32Array.from(rows),
        );
        await addon.decodeBatch();
        length += tokens.length;
        last = places.at(-1)!;
      },
      truncate(to) {
        if (to < length && !addon.removeTokenCellsFromSequence(0, to, length))
          throw new Error(`llama: expected to forget tokens from ${to} on, got a refusal`);
        length = Math.min(length, to);
      },
      async next() {
        const sampler = new llama._bindings.AddonSampler(model._model);
        sampler.applyConfig({ temperature: 0 });
        const token = await addon.sampleToken(last, sampler);
        sampler.dispose();
        return token;
      },
      dispose: () => llama.dispose(),
    };
  },
};

/** The name of the package with the binaries. */
function platform(): string {
  const { platform, arch } = process;
  if (platform === 'darwin') return arch === 'arm64' ? 'mac-arm64-metal' : 'mac-x64';
  return `${platform === 'win32' ? 'win' : platform}-${arch}`;
}

/** The instruction sets in use, out of `CPU : SSE3 = 1 | AVX2 = 1 | …`. */
function features(systemInfo: string): string {
  const names = [...systemInfo.matchAll(/(\w+) = 1\b/g)].map(([, name]) => name);
  return names.length === 0 ? systemInfo : names.join(' ');
}
