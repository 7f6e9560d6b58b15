// Which of the compiled kernels run here: with or without relaxed SIMD, on shared memory or not.
import { UnsupportedError } from '../errors.ts';
import { binaries } from './binaries.ts';
import { withoutSharing } from './binary.ts';
import { engine } from './engine.ts';

/** What was chosen, and what a user should know about it. */
export interface ModuleChoice {
  readonly bytes: Uint8Array;
  readonly relaxed: boolean;
  readonly shared: boolean;
  readonly notes: readonly string[];
}

/** The flag of V8 before 11.4 or so (Node before 22), where relaxed SIMD is there but off. */
const RELAXED_FLAG = '--experimental-wasm-relaxed-simd';

/** Chooses by what the engine validates. Throws an UnsupportedError when it lacks what is needed or asked for. */
export function chooseModule(wanted: {
  readonly relaxed?: boolean | undefined;
  readonly shared?: boolean | undefined;
}): ModuleChoice {
  const notes: string[] = [];
  const canShare = 'SharedArrayBuffer' in globalThis;
  if (wanted.shared && !canShare)
    throw new UnsupportedError(
      'wasm: shared: expected SharedArrayBuffer (in a page: cross-origin isolation), got none',
    );
  const shared = wanted.shared ?? canShare;
  if (!shared)
    notes.push(
      canShare
        ? 'one thread: the memory is not shared, as asked'
        : 'one thread: shared memory is missing; a page has it when it is cross-origin isolated',
    );
  const bytesOf = (base64: string) => {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    return shared ? bytes : withoutSharing(bytes);
  };
  if (wanted.relaxed !== false) {
    const bytes = bytesOf(binaries.relaxed);
    let valid = engine.validate(bytes);
    if (!valid && turnOnRelaxed()) {
      valid = engine.validate(bytes);
      if (valid) notes.push(`relaxed SIMD: turned on for this process with ${RELAXED_FLAG}`);
    }
    if (valid) return { bytes, relaxed: true, shared, notes };
    if (wanted.relaxed)
      throw new UnsupportedError('wasm: expected an engine with relaxed SIMD, got one without');
  }
  const bytes = bytesOf(binaries.simd);
  if (!engine.validate(bytes))
    throw new UnsupportedError(
      'wasm: expected an engine with WebAssembly SIMD and threads, got one without',
    );
  return { bytes, relaxed: false, shared, notes };
}

/** Whether there was a flag to set. */
function turnOnRelaxed(): boolean {
  const v8 = globalThis.process?.getBuiltinModule?.('node:v8');
  v8?.setFlagsFromString(RELAXED_FLAG);
  return v8 !== undefined;
}
