// `foretoken compare`: the same text by plain decoding and by speculation, side by side, and whether it is the same.
import type { LoadedModel } from '../models/load.ts';
import type { Drafter } from '../speculate/drafter.ts';
import { type GenerateResult, generate, type Prompt } from '../speculate/generate.ts';
import { type GenerateOptions, readOptions } from '../speculate/options.ts';
import { colours, inflationLine, table } from './display.ts';
import type { CliOptions } from './options.ts';
import { loadTarget, openBackend, openDrafter, promptOf, settingsOf } from './parts.ts';

/** Tokens of an unseen run of each kind before the timed ones, so that neither pays for compiling the other's code. */
const WARM_UP_TOKENS = 24;
/** What the embedded target is inflated to: weights that no cache holds, as those of real models. */
const PARAMETERS = 100e6;

/** Runs the command; the status is 1 when the verifier promised the same tokens and they differ. */
export async function compare(options: CliOptions, signal: AbortSignal): Promise<number> {
  const given = settingsOf(options);
  // What is wrong with them is said before anything is loaded.
  readOptions(given);
  const prompt = await promptOf(options);
  const backend = await openBackend(options);
  const target = await loadTarget(options, { backend, signal, parameters: PARAMETERS });
  const opened = await openDrafter(options, 'model', { backend, target, signal });
  const { drafter, notes, proposal, dispose } = opened;
  const settings = { ...opened.settings, ...given };
  const { guarantee, name: verifierName } = readOptions(settings).verifier;
  const paint = colours(options);
  const { report, config } = target.model;
  const show = options.json ? () => {} : (text: string) => process.stdout.write(text);
  const run = (label: string, how: Drafter | undefined) =>
    tell(target, prompt, { ...settings, ...(how && { drafter: how }), signal }, (text, drafted) => {
      show(text === null ? `${paint.title(label)}\n` : drafted ? paint.drafted(text) : text);
    });

  for (const line of inflationLine(options, config)) show(`${line}\n\n`);
  for (const note of notes) show(`note: ${note}\n\n`);
  for (const how of [undefined, drafter])
    await generate(target, prompt, {
      ...settings,
      drafter: how,
      maxTokens: WARM_UP_TOKENS,
      signal,
    });
  const plain = await run('plain decoding', undefined);
  const marks = paint.on ? `; ${paint.drafted('drafted and accepted tokens')}` : '';
  show('\n\n');
  const speculative = await run(`speculative decoding (${drafter.name})${marks}`, drafter);
  show('\n\n');

  const same =
    plain.tokens.length === speculative.tokens.length &&
    plain.tokens.every((id, i) => id === speculative.tokens[i]);
  const promised = guarantee === 'bit-exact' || guarantee === 'seed-exact';
  if (options.json)
    console.log(
      JSON.stringify({
        report,
        inflation: config.inflation ?? null,
        drafter: drafter.name,
        proposal,
        notes,
        verifier: verifierName,
        guarantee,
        sameTokens: same,
        plain,
        speculative,
      }),
    );
  else {
    console.log(
      `${config.modelType}, ${report.backend} (${report.executor}), verifier ${verifierName} (${guarantee})\n`,
    );
    console.log(`${comparison(plain, speculative)}\n`);
    console.log(`${speculative.stats.explain()}\n`);
    const answer = same
      ? paint.good('yes')
      : promised
        ? paint.bad('no')
        : `no (${verifierName} promises the ${guarantee})`;
    console.log(`same tokens: ${answer}`);
  }
  dispose();
  target.dispose();
  backend.dispose();
  return same || !promised ? 0 : 1;
}

/** Generates and streams; `onText` gets null once at the start. */
async function tell(
  target: LoadedModel,
  prompt: Prompt,
  options: GenerateOptions,
  onText: (text: string | null, drafted: boolean) => void,
): Promise<GenerateResult> {
  const generation = generate(target, prompt, options);
  onText(null, false);
  if (typeof prompt === 'string') onText(prompt, false);
  for await (const { text, drafted } of generation) onText(text, drafted);
  return generation.result;
}

function comparison(
  { stats: plain }: GenerateResult,
  { stats: speculative }: GenerateResult,
): string {
  const { draftedByPosition, acceptedByPosition } = speculative;
  const rate = (index: number) =>
    `${Math.round((100 * acceptedByPosition[index]) / draftedByPosition[index])} %`;
  const ratio = speculative.tokensPerSecond / plain.tokensPerSecond;
  return table([
    ['', 'plain', 'speculative'],
    ['tokens/s', plain.tokensPerSecond.toFixed(1), speculative.tokensPerSecond.toFixed(1)],
    ['ratio', '', `${Number.isFinite(ratio) ? ratio.toFixed(2) : '–'}x`],
    ['target forwards', String(plain.targetForwards), String(speculative.targetForwards)],
    ['target forwards per token', perToken(plain), perToken(speculative)],
    [
      'mean accepted length',
      '–',
      speculative.drafts > 0 ? speculative.meanAcceptedLength.toFixed(2) : '–',
    ],
    ...draftedByPosition.map((_, index) => [`accepted at position ${index + 1}`, '–', rate(index)]),
  ]);
}

function perToken({ tokensPerForward }: GenerateResult['stats']): string {
  return tokensPerForward > 0 ? (1 / tokensPerForward).toFixed(2) : '–';
}
