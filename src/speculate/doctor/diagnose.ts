// A draft model or a speculator examined against a target: by its files first, then by what the target accepts of it, then in other
// readings of what its files leave open. All but what is said of times depends on files and models alone.
import * as z from 'zod';
import { FormatError, OptionError, UnsupportedError } from '../../kernels/errors.ts';
import { WEIGHT_DTYPES } from '../../models/weights.ts';
import { type FolderSource, inFolder } from '../../tensor/source.ts';
import type { Prompt, Target } from '../generate.ts';
import { MAX_DRAFT } from '../limits.ts';
import { Speculator } from '../speculators/load.ts';
import { refuseResearch } from '../speculators/recognise.ts';
import {
  because,
  type Candidate,
  type Examined,
  examineModel,
  examineSpeculator,
  type Opened,
  type Patient,
} from './candidates.ts';
import type { Finding, Gravity } from './finding.ts';
import { type Heard, listen, meanOf } from './listen.ts';
import {
  type Acceptance,
  type MeasureOptions,
  measure,
  type Outlook,
  outlookOf,
} from './measure.ts';
import {
  type Fit,
  fitOf,
  judgeAcceptance,
  judgeGain,
  judgeReadings,
  type Trial,
} from './verdicts.ts';

const PROMPTS = [
  'Once upon a time',
  'The most important thing about the sea is',
  'Q: What is 12 plus 30?\nA:',
  'def add(a, b):\n',
];

const Schema = z.strictObject({
  prompts: z.array(z.custom<Prompt>()).min(1).default(PROMPTS),
  maxTokens: z.int().min(1).default(40),
  draftLength: z.int().min(1).max(MAX_DRAFT).default(4),
  dtype: z.enum(['auto', ...WEIGHT_DTYPES]).default('auto'),
  signal: z.custom<AbortSignal>().optional(),
});

/**
 * Options of `diagnose`.
 * - `prompts`: what is written on, greedily, to count what is accepted; default a few short ones. Give some of the kind of text
 *   that matters.
 * - `maxTokens` (default 40) of each, with drafts of `draftLength` (default 4).
 * - `dtype`: element type of the draft's matrices; default `auto`, as in the file.
 * - `signal`: aborts.
 */
export type DiagnoseOptions = z.input<typeof Schema>;

/** What an examination found. */
export interface Diagnosis {
  /** What was examined: a draft model, or a speculator and its algorithm. */
  readonly kind: string;
  /** The gravest first. */
  readonly findings: readonly Finding[];
  /** Readings that were tried, the likeliest first, of equals that of the files; empty where there is but one. */
  readonly fits: readonly Fit[];
  /** Of the files as they are, else of what fits best; null where nothing could be tried, or nothing was drafted. */
  readonly acceptance: Acceptance | null;
  readonly outlook: Outlook | null;
}

/**
 * Examines a draft model or a speculator. Without a tokenizer of the target it is examined by its files and loaded; what is left out
 * is a finding. What does not load is a finding; a path that holds neither, or a config that is none,
 * throws a FormatError or an UnsupportedError.
 */
export async function diagnose(
  target: Patient,
  from: string | FolderSource,
  options: DiagnoseOptions = {},
): Promise<Diagnosis> {
  const parsed = Schema.safeParse(options);
  if (!parsed.success) throw new OptionError(`diagnose: ${z.prettifyError(parsed.error)}`);
  const { dtype, ...measures } = parsed.data;
  const reading = { dtype, signal: measures.signal };
  if (!(await isSpeculator(from))) {
    if (!isGguf(from)) await refuseResearch(from);
    return examine(target, await examineModel(target, from, reading), measures);
  }
  return inFolder(from, async (source) =>
    examine(target, await examineSpeculator(target, source, reading), measures),
  );
}

const isGguf = (from: string | FolderSource): boolean =>
  typeof from === 'string' && /\.gguf$/i.test(from);

async function isSpeculator(from: string | FolderSource): Promise<boolean> {
  return !isGguf(from) && Speculator.isIn(from);
}

/** Tries what can be tried. */
async function examine(
  patient: Patient,
  examined: Examined,
  options: MeasureOptions,
): Promise<Diagnosis> {
  const { model, tokenizer } = patient;
  if (tokenizer === null) return withoutText(patient, examined);
  const target = { model, tokenizer };
  const { kind, findings, candidates } = examined;
  const found = [...findings];
  const trials: Trial[] = [];
  for (const candidate of candidates) {
    const heard = await using(candidate, ({ drafter }) =>
      candidates.length > 1 ? listen(target, drafter, options) : NOTHING,
    );
    if (!(heard instanceof Error)) trials.push({ candidate, heard });
    // A reading that does not load is none; that of the files is what the user has.
    else if (candidate.label === '')
      found.push({ gravity: 'error', subject: 'loading', message: heard.message });
  }
  const sorted = trials.toSorted(
    (a, b) => meanOf(b.heard.likelihoods) - meanOf(a.heard.likelihoods),
  );
  const own = trials.find(({ candidate }) => candidate.label === '') ?? null;
  const subject = own ?? sorted[0];
  if (subject === undefined)
    return { kind, findings: byGravity(found), fits: [], acceptance: null, outlook: null };
  const { notes, acceptance, outlook } = await measured(target, subject.candidate, options);
  addNotes(found, notes);
  found.push(judgeAcceptance(subject.candidate, acceptance, options));
  if (candidates.length > 1) found.push(judgeReadings(own, sorted));
  if (outlook !== null) found.push(judgeGain(outlook));
  const fits = candidates.length > 1 ? sorted.map(fitOf) : [];
  return { kind, findings: byGravity(found), fits, acceptance, outlook };
}

/** Without a tokenizer of the target no text is written, so that it is loaded and no more. */
async function withoutText(
  patient: Patient,
  { kind, findings, candidates }: Examined,
): Promise<Diagnosis> {
  const tried = candidates.length > 1 ? `, in ${candidates.length} readings,` : '';
  const found: Finding[] = [
    ...findings,
    {
      gravity: 'warning',
      subject: 'acceptance',
      message: `left out: what is accepted${tried} and what that gains are not measured, because the target has no tokenizer that can be read${because(patient)}`,
    },
  ];
  const [candidate] = candidates;
  if (candidate !== undefined) {
    const notes = await using(candidate, (opened) => opened.notes);
    if (notes instanceof Error)
      found.push({ gravity: 'error', subject: 'loading', message: notes.message });
    else addNotes(found, ['it loads for this target', ...notes]);
  }
  return { kind, findings: byGravity(found), fits: [], acceptance: null, outlook: null };
}

/** Some notes on loading are of the config, which has been examined. */
function addNotes(found: Finding[], notes: readonly string[]): void {
  for (const message of notes)
    if (found.every((finding) => finding.message !== message))
      found.push({ gravity: 'fine', subject: 'loading', message });
}

const NOTHING: Heard = { likelihoods: [], accepted: [] };

/** What `body` makes of a candidate, which is given back after it; the error of one that cannot be loaded. */
async function using<Result>(
  candidate: Candidate,
  body: (opened: Opened) => Result | Promise<Result>,
): Promise<Result | FormatError | UnsupportedError> {
  let opened: Opened;
  try {
    opened = await candidate.open();
  } catch (reason) {
    if (reason instanceof FormatError || reason instanceof UnsupportedError) return reason;
    throw reason;
  }
  try {
    return await body(opened);
  } finally {
    opened.dispose();
  }
}

/** What rounds accept, and what that would gain. */
async function measured(target: Target, candidate: Candidate, options: MeasureOptions) {
  const result = await using(candidate, async ({ drafter, notes }) => {
    const { acceptance, outcomes } = await measure(target, drafter, options);
    const isDrafted = outcomes.length > 0;
    const outlook = isDrafted ? await outlookOf(target, drafter, outcomes, options.signal) : null;
    return { notes, acceptance, outlook };
  });
  // It has been loaded before.
  if (result instanceof Error) throw result;
  return result;
}

const GRAVITIES: readonly Gravity[] = ['error', 'warning', 'fine'];

function byGravity(findings: readonly Finding[]): readonly Finding[] {
  return findings.toSorted((a, b) => GRAVITIES.indexOf(a.gravity) - GRAVITIES.indexOf(b.gravity));
}
