// `foretoken doctor`: what is wrong with a draft model or a speculator for a target, the gravest first.
import { withModel } from '../models/open.ts';
import { WEIGHT_DTYPES } from '../models/weights.ts';
import { readTokenizer } from '../speculate/doctor/candidates.ts';
import { type Diagnosis, diagnose } from '../speculate/doctor/diagnose.ts';
import { colours, table } from './display.ts';
import { type CliOptions, numberOf, oneOf, UsageError } from './options.ts';
import { loadDecoder, openBackend, promptOf } from './parts.ts';

/** Readings that are shown at most. */
const SHOWN = 5;

/** Runs the command; the status is 1 when there is an error among the findings. */
export async function doctor(
  paths: readonly string[],
  options: CliOptions,
  signal: AbortSignal,
): Promise<number> {
  const [targetPath, draftPath] = paths;
  if (paths.length !== 2)
    throw new UsageError(
      `doctor: expected TARGET and DRAFT, got ${JSON.stringify(paths.join(' '))}`,
    );
  const draftLength =
    options['draft-length'] === 'auto' ? undefined : numberOf(options, 'draft-length');
  const prompts = options.prompt === undefined ? undefined : [await promptOf(options)];
  if (options.chat && prompts === undefined)
    throw new UsageError('--chat: expected --prompt with it, got none');
  const backend = await openBackend(options);
  // Without a tokenizer the files are examined all the same.
  const words = await withModel(targetPath, readTokenizer);
  const model = await loadDecoder(targetPath, options, { backend, signal });
  const diagnosis = await diagnose({ model, ...words }, draftPath, {
    prompts,
    draftLength,
    dtype: oneOf('dtype', options.dtype, ['auto', ...WEIGHT_DTYPES]),
    signal,
  });
  const named = { target: targetPath, draft: draftPath, ...diagnosis };
  console.log(options.json ? JSON.stringify(named) : format(named, options));
  model.dispose();
  backend.dispose();
  return diagnosis.findings.some(({ gravity }) => gravity === 'error') ? 1 : 0;
}

function format(
  { target, draft, kind, findings, fits }: Diagnosis & { target: string; draft: string },
  options: CliOptions,
): string {
  const paint = colours(options);
  const marks = { error: paint.bad, warning: paint.title, fine: paint.good };
  const lines = findings.map(
    ({ gravity, subject, message }) =>
      `${marks[gravity](gravity.padEnd('warning'.length))}  ${subject}: ${message}`,
  );
  const rows = fits
    .slice(0, SHOWN)
    .map(({ label, accepted, likelihood }) => [
      label === '' ? 'as the files say' : label,
      accepted.toFixed(2),
      likelihood.toFixed(3),
    ]);
  return [
    `${draft}, a ${kind}, for ${target}`,
    '',
    ...lines,
    ...(fits.length > 1 ? ['', table([['read with', 'come true', 'ln p'], ...rows])] : []),
  ].join('\n');
}
