// A device that is lost: a clear error, nothing half-written used, and a backend that can be made anew.
import { describe, expect, it } from 'vitest';
import { gpu } from '../../src/kernels/gpu/index.ts';
import { load } from '../../src/models/load.ts';
import { generate } from '../../src/speculate/generate.ts';
import { Session } from '../../src/speculate/session.ts';
import { urlSource } from '../../src/tensor/url-source.ts';

const PROMPT = 'Once upon a time';
const OPTIONS = { contextLength: 64, maxRows: 8 };

interface Device {
  destroy(): void;
}

/** Devices that are made from now on. */
function watchDevices(): Device[] {
  const { GPUAdapter } = globalThis as unknown as {
    readonly GPUAdapter: {
      readonly prototype: { requestDevice(...args: unknown[]): Promise<Device> };
    };
  };
  const { requestDevice } = GPUAdapter.prototype;
  const devices: Device[] = [];
  GPUAdapter.prototype.requestDevice = async function (...args) {
    const device = await requestDevice.apply(this, args);
    devices.push(device);
    return device;
  };
  return devices;
}

interface Context {
  getExtension(name: string): { loseContext(): void } | null;
}

/** WebGL 2 contexts that are made from now on. */
function watchContexts(): Context[] {
  type Canvas = { readonly prototype: { getContext(...args: unknown[]): Context | null } };
  const { OffscreenCanvas, HTMLCanvasElement } = globalThis as unknown as Record<string, Canvas>;
  const contexts: Context[] = [];
  for (const { prototype } of [OffscreenCanvas, HTMLCanvasElement]) {
    const { getContext } = prototype;
    prototype.getContext = function (...args) {
      const context = getContext.apply(this, args);
      if (context !== null && args[0] === 'webgl2') contexts.push(context);
      return context;
    };
  }
  return contexts;
}

const devices = watchDevices();
const contexts = watchContexts();

describe.each([
  {
    mode: 'webgpu',
    count: () => devices.length,
    lose: () => {
      for (const device of devices) device.destroy();
    },
  },
  {
    mode: 'webgl2',
    count: () => contexts.length,
    lose: () => {
      for (const context of contexts) context.getExtension('WEBGL_lose_context')?.loseContext();
    },
  },
] as const)('a device of mode $mode that is lost', ({ mode, count, lose }) => {
  it('ends the sessions that were on it with one error, and none that come after', async () => {
    const backend = await gpu({ mode });
    const target = await load(urlSource('/models/draft'), { backend, ...OPTIONS });
    const expected = await generate(target, PROMPT, { maxTokens: 8 });
    const session = new Session(target.model);
    const half = await generate(target, PROMPT, { maxTokens: 4, session });
    expect(half.tokens).toEqual(expected.tokens.slice(0, 4));
    expect(count()).toBeGreaterThan(0);
    lose();
    const text = [...target.tokenizer.encode(PROMPT), ...half.tokens];
    for (let attempt = 0; attempt < 2; attempt++)
      await expect(generate(target, text, { maxTokens: 4, session }).then()).rejects.toThrow(
        /states of its program are lost/,
      );
    session.dispose();
    expect((await generate(target, PROMPT, { maxTokens: 8 })).tokens).toEqual(expected.tokens);
    target.dispose();
    backend.dispose();
  });
});
