// Which of the compiled kernels run here: with or without relaxed SIMD, on shared memory or not, and the flags of V8 for what it
// has but leaves off.
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

/** A flag of V8 for what it has and leaves off, and the releases that know it: others complain on the terminal. */
interface Flag {
  readonly name: string;
  readonly releases: readonly string[];
  /** The processors it is about; by default any. */
  readonly arch?: string;
}

/** Relaxed SIMD in Node 20. */
const RELAXED: Flag = { name: '--experimental-wasm-relaxed-simd', releases: ['11'] };

/** Pairs of 128-bit operations as one of 256 bits, in Node 24 to 26, where all tests have passed that way. */
const WIDE: Flag = {
  name: '--experimental-wasm-revectorize',
  releases: ['13', '14'],
  arch: 'x64',
};

/** Chooses by what the engine validates. Throws an UnsupportedError when it lacks what is needed or asked for. */
export function chooseModule(wanted: {
  readonly relaxed?: boolean | undefined;
  readonly wide?: boolean | undefined;
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
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
    return shared ? bytes : withoutSharing(bytes);
  };
  if (wanted.wide !== false && turnOn(WIDE))
    notes.push(`256 bits at a time: turned on for this process with ${WIDE.name}`);
  else if (wanted.wide)
    throw new UnsupportedError(`wasm: wide: expected Node 24 to 26 on x64, got ${engineName()}`);
  if (wanted.relaxed !== false) {
    const bytes = bytesOf(binaries.relaxed);
    let valid = engine.validate(bytes);
    if (!valid && turnOn(RELAXED)) {
      valid = engine.validate(bytes);
      if (valid) notes.push(`relaxed SIMD: turned on for this process with ${RELAXED.name}`);
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

/** Sets a flag for the whole process; false where there is none to set. Bun says that it has a V8. */
function turnOn({ name, releases, arch }: Flag): boolean {
  const { process } = globalThis;
  const { v8: version = '', bun } = process?.versions ?? {};
  const fits = arch === undefined || arch === process?.arch;
  const known = fits && bun === undefined && releases.includes(version.split('.')[0]);
  const v8 = known ? process?.getBuiltinModule?.('node:v8') : undefined;
  v8?.setFlagsFromString(name);
  return v8 !== undefined;
}

function engineName(): string {
  const { arch, version } = globalThis.process ?? {};
  return version === undefined ? 'no Node' : `${version} on ${arch}`;
}
