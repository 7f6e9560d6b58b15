// The part of the WebAssembly API that is used here: the types of Node leave it out, and those of browsers bring the rest
// of the browser with them.

/** A WebAssembly.Memory. */
export interface Memory {
  /** The bytes; another object after every `grow`. */
  readonly buffer: SharedArrayBuffer | ArrayBuffer;
  /** Adds pages of 64 KiB; throws a RangeError when there are no more. */
  grow(pages: number): number;
}

interface Engine {
  validate(bytes: Uint8Array): boolean;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  ) => { readonly exports: unknown };
  readonly Memory: new (limits: {
    readonly initial: number;
    readonly maximum: number;
    readonly shared: boolean;
  }) => Memory;
}

/** The WebAssembly of this process. */
export const engine = (globalThis as unknown as { readonly WebAssembly: Engine }).WebAssembly;
