// The kernels in a page: the conformance suite on every backend that runs in Chromium.
import { cpu } from '../../src/kernels/cpu/index.ts';
import { wasm } from '../../src/kernels/wasm/index.ts';
import { backendConformance } from '../kernels/conformance.ts';

backendConformance('cpu in a page', cpu);
for (const relaxed of [true, false])
  for (const threads of [1, 2])
    backendConformance(`wasm in a page, relaxed ${relaxed}, ${threads} threads`, () =>
      wasm({ relaxed, threads }),
    );
