// foretoken against other engines that run without a GPU, on the same random weights and in turns: decoding, prefill and
// v(n) of a decoder of TinyLlama-1.1B's shape against node-llama-cpp, one product with a q4 matrix against onnxruntime-web.
import { OptionError } from '../src/kernels/errors.ts';
import {
  type BenchOptions,
  digits,
  measure,
  printJson,
  printTable,
  type Timing,
} from './measure.ts';
import { ADAPTERS, PEER_NAMES, type PeerName } from './peers/adapters.ts';
import { CACHE, folderOf, install, isInstalled } from './peers/install.ts';
import { SIZE } from './peers/matrix.ts';
import type { Task } from './peers/messages.ts';
import type { Adapter, PeerDType } from './peers/peer.ts';
import { type PeerProcess, startPeer } from './peers/process.ts';
import { randomGguf, SMALL, TINY_LLAMA } from './peers/random-gguf.ts';

const DTYPES: readonly PeerDType[] = ['q8_0', 'q4_0'];
const DECODED = 16;
const PROMPT = 128;
const DRAFTS = [4, 8];
const PRODUCTS = 8;
/** Outputs that are compared before the clock runs. */
const COMPARED = 16;

/** A line of the table: work per second, or v(n), the time of a task over that of another. */
interface Row {
  readonly name: string;
  readonly task: Task;
  readonly over?: Task;
  readonly unit: string;
}

/** The bench. Without `--dtype` and `--threads` it runs both types of weights on two threads and on one. */
export async function peers(options: BenchOptions): Promise<void> {
  const names = PEER_NAMES.filter((name) => isReady(name, options));
  const builds = new Set<string>();
  const results: Record<string, unknown> = {};
  const lines: string[][] = [];
  for (const { dtype, threads, rows } of groupsOf(options)) {
    const opened = await openAll(names, dtype, threads, options);
    try {
      for (const { name, version, build } of opened) builds.add(`${name} ${version}: ${build}`);
      if (opened.length > 1) await compare(opened, dtype ?? 'matrix');
      const timings = await timeRows(rows, opened, options);
      for (const row of rows) {
        const measured = opened.map(({ name }) => ({ name, ...numberOf(row, name, timings) }));
        lines.push(lineOf(row, names, measured));
        results[row.name] = Object.fromEntries(measured.map(({ name, ...each }) => [name, each]));
      }
    } finally {
      for (const peer of opened) peer.close();
    }
  }
  printTable([['', 'unit', ...names, 'ratio'], ...lines]);
  for (const build of builds) console.log(build);
  printJson(
    'peers',
    { ...options, dtype: options.givenDType ?? DTYPES.join(' ') },
    { builds: [...builds], ...results },
  );
}

/** Whether a peer takes part; says so where it does not, and installs it if asked to. */
function isReady(name: PeerName, { install: wanted, smoke }: BenchOptions): boolean {
  if (isInstalled(name)) return !smoke || name === 'foretoken';
  if (wanted) {
    install(name);
    return true;
  }
  console.log(`${name}: not installed; npm run bench -- peers --install`);
  return false;
}

/** What is measured together: the lines of one type of weights, or null for the matrix, and of one number of threads. */
function groupsOf({ givenDType, threads, filter }: BenchOptions) {
  const dtypes = DTYPES.filter((dtype) => givenDType === undefined || dtype === givenDType);
  if (dtypes.length === 0)
    throw new OptionError(`peers: --dtype: expected ${DTYPES.join(' or ')}, got ${givenDType}`);
  const counts = threads === undefined ? [2, 1] : [threads];
  // The matrix is in q4_0.
  return [...dtypes, ...(dtypes.includes('q4_0') ? [null] : [])]
    .flatMap((dtype) => counts.map((count) => ({ dtype, threads: count })))
    .map((group) => ({
      ...group,
      rows: rowsOf(group.dtype, group.threads).filter(({ name }) => name.includes(filter)),
    }))
    .filter(({ rows }) => rows.length > 0);
}

function rowsOf(dtype: PeerDType | null, threads: number): Row[] {
  const where = `${threads} thread${threads > 1 ? 's' : ''}`;
  if (dtype === null)
    return [
      {
        name: `${SIZE}x${SIZE} q4 product, ${where}`,
        task: { kind: 'multiply', count: PRODUCTS },
        unit: '1/s',
      },
    ];
  const rate = (kind: 'decode' | 'prefill', count: number): Row => ({
    name: `${kind} ${count} ${dtype}, ${where}`,
    task: { kind, count },
    unit: 'tok/s',
  });
  return [
    rate('decode', DECODED),
    rate('prefill', PROMPT),
    ...DRAFTS.map((count) => ({
      name: `v(${count}) ${dtype}, ${where}`,
      task: { kind: 'verify', count } as const,
      over: { kind: 'verify', count: 1 } as const,
      unit: '',
    })),
  ];
}

/** Starts those of the peers that can do it. */
async function openAll(
  names: readonly PeerName[],
  dtype: PeerDType | null,
  threads: number,
  { smoke }: BenchOptions,
): Promise<PeerProcess[]> {
  const shape = smoke ? SMALL : TINY_LLAMA;
  const model = dtype && { file: await randomGguf(CACHE, shape, dtype), vocab: shape.vocab };
  const opened: PeerProcess[] = [];
  for (const peer of names) {
    const adapter: Adapter = ADAPTERS[peer];
    if (dtype === null ? adapter.openMatrix : adapter.openDecoder)
      opened.push(await startPeer({ peer, threads, folder: folderOf(peer), model }));
  }
  return opened;
}

/** Says how far the results of peers agree: those that compute something else must not be compared in speed. */
async function compare([ours, ...others]: readonly PeerProcess[], what: string): Promise<void> {
  const resultsOf = async (peer: PeerProcess) =>
    (await peer.run({ kind: 'results', count: COMPARED })).values!;
  const values = await resultsOf(ours);
  const norm = Math.hypot(...values);
  for (const other of others) {
    const theirs = await resultsOf(other);
    const same = values.filter((value, index) => value === theirs[index]).length;
    const distance = Math.hypot(...values.map((value, index) => value - theirs[index])) / norm;
    console.log(
      what === 'matrix'
        ? `${what}: products of ${ours.name} and ${other.name} differ by ${digits(100 * distance)} %`
        : `${what}: ${ours.name} and ${other.name} agree on ${same} of ${COMPARED} next tokens`,
    );
  }
}

const taskName = (peer: PeerName, { kind, count }: Task) => `${peer} ${kind} ${count}`;

/** Times every task once, although several lines may need it; peers take turns at each. */
async function timeRows(
  rows: readonly Row[],
  opened: readonly PeerProcess[],
  { rounds, smoke }: BenchOptions,
): Promise<Map<string, Timing>> {
  const needed = rows.flatMap(({ task, over }) => (over ? [over, task] : [task]));
  const tasks = needed.flatMap((task) =>
    opened.map((peer) => ({
      name: taskName(peer.name, task),
      // The time that the process measured, without its messages.
      run: async () => ({ overriddenDuration: (await peer.run(task)).ms }),
    })),
  );
  const once = new Map(tasks.map((task) => [task.name, task]));
  return measure([...once.values()], { rounds: smoke ? 1 : (rounds ?? 7) });
}

/** The number of a line, and half the distance of its quartiles. */
function numberOf({ task, over }: Row, peer: PeerName, timings: ReadonlyMap<string, Timing>) {
  const timing = timings.get(taskName(peer, task))!;
  const spread = (timing.high - timing.low) / 2 / timing.median;
  const value = over
    ? timing.median / timings.get(taskName(peer, over))!.median
    : (1000 * task.count) / timing.median;
  return { value, spread: value * spread, timing };
}

function lineOf(
  { name, unit }: Row,
  names: readonly PeerName[],
  measured: readonly { name: PeerName; value: number; spread: number }[],
): string[] {
  const cells = names.map((peer) => {
    const found = measured.find((each) => each.name === peer);
    return found ? `${digits(found.value)} ± ${digits(found.spread)}` : '';
  });
  const [ours, other] = measured;
  return [name, unit, ...cells, other ? (ours.value / other.value).toFixed(2) : ''];
}
