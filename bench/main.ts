// npm run bench -- <kernels | verify-cost | decode | inflate | overhead | perplexity | stream | memory | peers> [--backend NAME] [--dtype TYPE] [--rounds N] [--smoke] [--page] …
// Every bench prints a table and, as its last line, one line of JSON.
import { parseArgs } from 'node:util';
import { type GpuMode, gpu, type Layout, type WebgpuPackage } from '../src/kernels/gpu/index.ts';
import { type Backend, cpu, reference } from '../src/kernels/index.ts';
import { wasm } from '../src/kernels/wasm/index.ts';
import { decode } from './decode.ts';
import { inflation } from './inflate.ts';
import { kernels } from './kernels.ts';
import { type BenchDType, type BenchOptions, DTYPES } from './measure.ts';
import { memory } from './memory.ts';
import { overhead, watchKernels } from './overhead.ts';
import { PAGE_BACKENDS, PAGE_BENCHES } from './page/benches.ts';
import { runInPage } from './pages.ts';
import { peers } from './peers.ts';
import { perplexity } from './perplexity.ts';
import { stream } from './stream.ts';
import { verifyCost } from './verify-cost.ts';

/** Before any backend is made. */
const clock = process.argv[2] === 'overhead' ? watchKernels() : { ms: 0 };
const BENCHES = {
  kernels,
  'verify-cost': verifyCost,
  decode,
  overhead: (backend: Backend, options: BenchOptions) => overhead(backend, options, clock),
  perplexity,
  inflate: inflation,
};
/** Those that open backends as they need them, all of them wasm. */
const WITH_OWN_BACKENDS = { stream, memory, peers };
const BACKENDS: Readonly<Record<string, () => Backend | Promise<Backend>>> = {
  reference,
  cpu,
  wasm: () => wasm({ threads: threadsOf() }),
  'wasm-simd': () => wasm({ relaxed: false, threads: threadsOf() }),
  'gpu-cpu': () => openGpu('cpu'),
  'gpu-webasm': () => openGpu('webasm'),
  'gpu-webgpu': async () => gpu({ mode: 'webgpu', layout: layoutOf(), webgpu: await webgpu() }),
};

/** `--threads`, by default one per core. */
const threadsOf = () => options.threads;
const openGpu = (mode: GpuMode) => gpu({ mode, layout: layoutOf() });
const layoutOf = () => options.layout;
/** A package that is not one of ours: who has a graphics device installs it. */
const webgpu = async () => (await import('webgpu' as string)) as WebgpuPackage;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    backend: { type: 'string', default: 'wasm' },
    dtype: { type: 'string' },
    rounds: { type: 'string' },
    threads: { type: 'string' },
    layout: { type: 'string' },
    page: { type: 'boolean', default: false },
    filter: { type: 'string', default: '' },
    drafter: { type: 'string', default: '' },
    model: { type: 'string' },
    speculator: { type: 'string' },
    data: { type: 'string' },
    parameters: { type: 'string' },
    cases: { type: 'boolean', default: false },
    smoke: { type: 'boolean', default: false },
    install: { type: 'boolean', default: false },
  },
});

const name = oneOf(
  'bench',
  positionals[0],
  [BENCHES, WITH_OWN_BACKENDS].flatMap((benches) => Object.keys(benches)),
);
const givenDType =
  values.dtype === undefined ? undefined : (oneOf('--dtype', values.dtype, DTYPES) as BenchDType);
const options: BenchOptions = {
  backendName: values.backend,
  dtype: givenDType ?? 'f32',
  givenDType,
  layout:
    values.layout === undefined
      ? undefined
      : (oneOf('--layout', values.layout, ['rows', 'lanes']) as Layout),
  threads: values.threads === undefined ? undefined : Number(values.threads),
  rounds: values.rounds === undefined ? undefined : Number(values.rounds),
  filter: values.filter,
  drafter: values.drafter,
  model: values.model,
  speculator: values.speculator,
  data: values.data,
  parameters: values.parameters === undefined ? undefined : Number(values.parameters),
  cases: values.cases,
  smoke: values.smoke,
  install: values.install,
};
if (values.page) {
  oneOf('bench with --page', name, Object.keys(PAGE_BENCHES));
  oneOf('--backend with --page', values.backend, Object.keys(PAGE_BACKENDS));
  await runInPage(name, options);
} else if (Object.hasOwn(WITH_OWN_BACKENDS, name)) {
  oneOf('--backend', values.backend, ['wasm']);
  await WITH_OWN_BACKENDS[name as keyof typeof WITH_OWN_BACKENDS](options);
} else {
  const open = BACKENDS[oneOf('--backend', values.backend, Object.keys(BACKENDS))];
  const backend = await open();
  await BENCHES[name as keyof typeof BENCHES](backend, options);
  backend.dispose();
}

function oneOf(what: string, value: string | undefined, names: readonly string[]): string {
  if (value !== undefined && names.includes(value)) return value;
  console.error(`bench: ${what}: expected one of ${names.join(', ')}, got ${value ?? 'none'}`);
  process.exit(2);
}
