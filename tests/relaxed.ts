// Turns relaxed SIMD on where it is there but off: Node before 22. Imported before anything compiles WebAssembly.
import { setFlagsFromString } from 'node:v8';

if (Number(process.versions.node.split('.')[0]) < 22)
  setFlagsFromString('--experimental-wasm-relaxed-simd');
