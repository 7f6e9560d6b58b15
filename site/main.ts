// The page: the form starts runs, runs fill the text, the round and the charts.
import type { BackendReport } from '../src/kernels/backend.ts';
import { OptionError } from '../src/kernels/errors.ts';
import type { LadderPoint } from '../src/models/model.ts';
import { createCosts } from './costs.ts';
import { byId } from './dom.ts';
import { createFiles } from './files.ts';
import { createInspector } from './inspector.ts';
import { createModels, type Pair } from './models.ts';
import { createProve } from './prove.ts';
import { drafterOf, generateRun, type Run } from './run.ts';
import { readSettings, type Settings, settleForm } from './settings.ts';
import { createStream } from './stream.ts';
import { createTheme } from './theme.ts';
import { save, type Trace, traceJson, traceSvg } from './trace.ts';

/** Rows that the ladder is measured at. */
const LADDER_ROWS = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16];
const FIRST_ROWS = [1, 2, 4, 8];
/** What is done after a load at most. */
const WARM_UP = { maxTokens: 24, draftLength: 3, ignoreEos: true, onAbort: 'return' } as const;
const WARM_UP_MS = 300;

createTheme();
createProve();
const models = createModels();
const costs = createCosts();
const stream = createStream((index) => showRound(index));
const inspector = createInspector((index) => {
  stream.select(index);
  showRound(index);
});

const form = byId('setup', HTMLFormElement);
const status = byId('status', HTMLElement);
const errorLine = byId('error', HTMLElement);
const progress = byId('progress', HTMLProgressElement);
const verdictLine = byId('verdict', HTMLElement);
const buttons = Object.fromEntries(
  ['generate', 'stop', 'ladder', 'save-json', 'save-svg'].map((id) => [
    id,
    byId(id, HTMLButtonElement),
  ]),
) as Readonly<Record<'generate' | 'stop' | 'ladder' | 'save-json' | 'save-svg', HTMLButtonElement>>;

/** What is on the page now. */
let settings: Settings = readSettings();
let drafted: Run | null = null;
let plain: Run | null = null;
let ladder: readonly LadderPoint[] = [];
let report: BackendReport | null = null;
let controller: AbortController | null = null;
let last: Promise<void> = Promise.resolve();

const files = createFiles(models, { onError: showError, onChoice: showChoice });

form.addEventListener('input', settleForm);
for (const id of ['backend', 'target', 'draft', 'dtype'])
  byId(id, HTMLSelectElement).addEventListener('change', () => prepare());
form.addEventListener('submit', (event) => {
  event.preventDefault();
  void perform(generate);
});
buttons.stop.addEventListener('click', () => controller?.abort(new Error('stopped')));
buttons.ladder.addEventListener('click', () => void perform(measureLadder));
buttons['save-json'].addEventListener('click', () =>
  save('foretoken-trace.json', 'application/json', traceJson(trace())),
);
buttons['save-svg'].addEventListener('click', () =>
  save('foretoken-trace.svg', 'image/svg+xml', traceSvg(shownRun()!)),
);
byId('rejected', HTMLInputElement).addEventListener('change', ({ target }) =>
  byId('stream', HTMLElement).classList.toggle(
    'with-rejected',
    (target as HTMLInputElement).checked,
  ),
);
/** A model of the reader's own was chosen. */
function showChoice(): void {
  settleForm();
  prepare();
}

/** Loads what the form says, so that the next run starts at once. */
function prepare(): void {
  controller?.abort(new Error('other models were chosen'));
  void perform(async (signal) => {
    await ensure(readSettings(), signal);
  });
}

/** Runs one thing at a time, with the buttons as they have to be, and its error shown. */
function perform(task: (signal: AbortSignal) => Promise<void>): Promise<void> {
  last = last.then(async () => {
    controller = new AbortController();
    const { signal } = controller;
    setBusy(true);
    errorLine.hidden = true;
    errorLine.textContent = '';
    try {
      await task(signal);
    } catch (error) {
      if (signal.aborted) status.textContent = 'Stopped.';
      else {
        showError(error);
        // A bad option costs nothing; after anything else, what is loaded is not trusted.
        if (!(error instanceof OptionError)) models.reset();
      }
    }
    progress.hidden = true;
    controller = null;
    setBusy(false);
  });
  return last;
}

function setBusy(busy: boolean): void {
  buttons.generate.disabled = busy;
  buttons.ladder.disabled = busy;
  buttons.stop.disabled = !busy;
  buttons['save-json'].disabled = busy || shownRun() === null;
  buttons['save-svg'].disabled = busy || shownRun() === null;
}

function showError(error: unknown): void {
  errorLine.textContent = error instanceof Error ? error.message : String(error);
  errorLine.hidden = false;
  status.textContent = 'It did not work.';
}

async function ensure(wanted: Settings, signal: AbortSignal): Promise<Pair> {
  const pair = await models.ensure(wanted, {
    signal,
    report(what, share) {
      progress.hidden = false;
      progress.value = share;
      status.textContent = `${what}: ${Math.round(100 * share)} %`;
    },
  });
  progress.hidden = true;
  if (pair.fresh) await warmUp(pair, wanted, signal);
  status.textContent = await describe(pair);
  return pair;
}

/** A first ladder and a short text, so that the first run is not slowed by code that is compiled while it runs. */
async function warmUp(pair: Pair, wanted: Settings, signal: AbortSignal): Promise<void> {
  const { target, draft, speculator } = pair;
  status.textContent = 'Measuring what a forward costs here …';
  const until = () => AbortSignal.any([signal, AbortSignal.timeout(WARM_UP_MS)]);
  try {
    ladder = await target.ladder(FIRST_ROWS, { turns: 3, signal: until() });
  } catch (error) {
    // A large model has no ladder until it is asked for.
    if ((error as Error).name !== 'TimeoutError') throw error;
    ladder = [];
  }
  costs.show({ drafted, plain, ladder });
  if (draft === null && speculator === null) return;
  const drafter = drafterOf(wanted, pair);
  await target.generate('One day', { ...WARM_UP, drafter, signal: until() });
}

async function describe({ target, speculator }: Pair): Promise<string> {
  report = await target.currentReport();
  const { backend, executor, notes } = report;
  const told = notes.filter((note) => /^(inflated|passed over|device)|isolated/.test(note));
  const head = speculator === null ? [] : [`drafter: ${speculator.algorithm}`, ...speculator.notes];
  return [`Ready: ${backend}, ${executor}`, ...told, ...head].map(sentence).join(' ');
}

function sentence(text: string): string {
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

async function generate(signal: AbortSignal): Promise<void> {
  const wanted = readSettings();
  const pair = await ensure(wanted, signal);
  settings = wanted;
  drafted = null;
  plain = null;
  verdictLine.textContent = '';
  stream.clear(settings.prompt);
  inspector.clear();
  costs.show({ drafted, plain, ladder });
  if (settings.drafter !== 'none') {
    drafted = await watch(pair, 'drafted', signal);
    verdictLine.textContent = sentence(drafted.result!.stats.explain());
  }
  if (settings.drafter === 'none' || (settings.compare && !signal.aborted)) {
    plain = await watch(pair, 'plain', signal);
    if (drafted !== null && !signal.aborted)
      verdictLine.textContent += ` ${compare(drafted, plain)}`;
  }
  status.textContent = signal.aborted ? 'Stopped.' : await describe(pair);
}

/** Runs, and shows what comes: the text of the first run, the charts of both. */
async function watch(pair: Pair, label: Run['label'], signal: AbortSignal): Promise<Run> {
  const shown = label === 'drafted' || settings.drafter === 'none';
  status.textContent =
    label === 'drafted' ? 'Drafting and checking …' : 'Decoding without drafts …';
  let drawnAt = 0;
  const run = await generateRun(pair, settings, {
    label,
    signal,
    async onRound(now) {
      if (label === 'drafted') drafted = now;
      else plain = now;
      if (shown) {
        const index = now.rounds.length - 1;
        await stream.add(now.rounds[index], { slow: settings.slow, signal });
        stream.select(index);
      }
      // A few times a second is as live as an eye can tell.
      if (performance.now() - drawnAt < 200) return;
      drawnAt = performance.now();
      if (shown) showRound(now.rounds.length - 1);
      costs.show({ drafted, plain, ladder });
    },
  });
  if (label === 'drafted') drafted = run;
  else plain = run;
  costs.show({ drafted, plain, ladder });
  if (shown && run.rounds.length > 0) {
    const index = interesting(run);
    stream.select(index);
    showRound(index);
  }
  return run;
}

/** A round to begin with: the first in which a draft was rejected after one was accepted, or in which anything was drafted. */
function interesting({ rounds }: Run): number {
  const found = rounds.findIndex(({ data }) => data.kind === 'recovered' && data.path.length > 0);
  const some = rounds.findIndex(({ data }) => data.nodes.length > 0);
  return Math.max(0, found >= 0 ? found : some);
}

function compare(withDrafts: Run, without: Run): string {
  if (settings.verifier === 'rejection')
    return 'The text without drafts is another draw from the same law: rejection promises the law, not the text.';
  const same = withDrafts.result!.tokens.join() === without.result!.tokens.join();
  return same
    ? `Without drafts: the same ${without.result!.tokens.length} tokens, one by one.`
    : 'Without drafts the tokens differ, which must not happen; please report it.';
}

async function measureLadder(signal: AbortSignal): Promise<void> {
  const pair = await ensure(readSettings(), signal);
  status.textContent = 'Measuring forwards of 1 to 16 rows …';
  ladder = await pair.target.ladder(LADDER_ROWS, { signal });
  costs.show({ drafted, plain, ladder });
  status.textContent = await describe(pair);
}

function shownRun(): Run | null {
  const run = drafted ?? plain;
  return run !== null && run.rounds.length > 0 ? run : null;
}

function showRound(index: number): void {
  const run = shownRun();
  if (run !== null && run.rounds[index] !== undefined)
    inspector.show(run.rounds, index, settings.verifier);
}

function trace(): Trace {
  return { settings, report: report!, drafted, plain, ladder };
}

settleForm();
void files.list();
prepare();
