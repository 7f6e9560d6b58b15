// The panel that proves: every outcome of chance on a model small enough, added up, and a count of seeded texts beside it.
import { button, byId, html, percent } from './dom.ts';
import type { ProofRequest, ProofResult } from './proof.ts';

/** Largest difference that is rounding: sums of some thousand products of float64. */
const ROUNDING = 1e-12;
/** Below this, chance alone is not believed. */
const DOUBT = 0.001;
const SHOWN = 12;

interface Field {
  readonly element: HTMLElement;
  readonly input: HTMLSelectElement | HTMLInputElement;
}

/** Fills the panel. */
export function createProve(): void {
  const verifier = choice('Verifier', [
    ['rejection', 'rejection'],
    ['match', 'match'],
    ['forgetful', 'forgetful: wrong on purpose'],
  ]);
  const vocabulary = choice(
    'Tokens that there are',
    [
      ['2', '2'],
      ['3', '3'],
      ['4', '4'],
    ],
    '3',
  );
  const shape = choice(
    'Draft',
    [
      ['1', 'one token'],
      ['1,1', 'a chain of two'],
      ['2', 'two side by side'],
      ['2,1', 'a tree, 2 then 1 each'],
    ],
    '1,1',
  );
  const likeness = choice(
    'The drafter is',
    [
      ['0', 'another model'],
      ['0.5', 'half the target'],
      ['0.9', 'nearly the target'],
    ],
    '0.5',
  );
  const seed = number('Seed of both models', 1);
  const runs = number('Texts to count', 20_000);

  const status = html(
    'p',
    { role: 'status' },
    'Both models are made up by the seed; their laws depend on the whole text.',
  );
  const output = html('div');
  const start = html('button', { type: 'submit', class: 'primary' }, 'Prove');
  const stop = button('Stop', { disabled: true }, () => end('Stopped.'));
  const form = html(
    'form',
    { class: 'fields', 'aria-label': 'What to prove' },
    ...[verifier, vocabulary, shape, likeness, seed, runs].map(({ element }) => element),
    html('div', { class: 'actions wide' }, start, stop),
  );
  byId('prove', HTMLDivElement).replaceChildren(
    html(
      'p',
      { class: 'hint' },
      'Every way in which chance can go is played through the verifier itself, and the probabilities of what came out are added up. The sum has to be the target’s own law.',
    ),
    form,
    status,
    output,
  );

  let worker: Worker | undefined;
  const end = (message: string) => {
    worker?.terminate();
    worker = undefined;
    start.disabled = false;
    stop.disabled = true;
    status.textContent = message;
  };
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const request: ProofRequest = {
      verifier: verifier.input.value as ProofRequest['verifier'],
      vocabulary: Number(vocabulary.input.value),
      branching: shape.input.value.split(',').map(Number),
      likeness: Number(likeness.input.value),
      seed: Number(seed.input.value),
      runs: Number(runs.input.value),
    };
    worker?.terminate();
    worker = new Worker(new URL('./proof-worker.ts', import.meta.url), {
      type: 'module',
      name: 'proof',
    });
    start.disabled = true;
    stop.disabled = false;
    status.textContent = 'Enumerating …';
    output.replaceChildren();
    worker.onerror = ({ message }) => end(`The proof ended: ${message}`);
    worker.onmessage = ({ data }: MessageEvent<{ result?: ProofResult; error?: string }>) => {
      if (data.result === undefined) return end(`The proof ended: ${data.error}`);
      end(
        `Enumerated in ${data.result.enumerationMs.toFixed(0)} ms; ${data.result.runs} texts in ${data.result.countingMs.toFixed(0)} ms.`,
      );
      output.replaceChildren(...showResult(data.result));
    };
    worker.postMessage(request);
  });
}

function showResult({
  rows,
  maxError,
  expectedTokens,
  chiSquare,
  runs,
}: ProofResult): HTMLElement[] {
  const exact = maxError < ROUNDING;
  const { statistic, degrees, pValue } = chiSquare;
  const believed = pValue >= DOUBT;
  const largest = Math.max(...rows.map(({ target, emitted }) => Math.max(target, emitted)));
  return [
    html(
      'ul',
      { class: 'findings' },
      html(
        'li',
        { class: exact ? 'good' : 'bad' },
        `${exact ? '✓' : '✗'} The emitted law ${exact ? 'is' : 'is not'} the target’s: the largest difference of ${rows.length} probabilities is ${maxError === 0 ? '0' : maxError.toExponential(1)}.`,
      ),
      html(
        'li',
        { class: believed ? 'good' : 'bad' },
        `${believed ? '✓' : '✗'} Chi-square of ${runs} counted texts: ${Number.isFinite(statistic) ? statistic.toFixed(1) : '∞'} with ${degrees} degrees of freedom; chance alone differs as much in ${percent(pValue)} of such counts.`,
      ),
      html('li', {}, `Tokens per forward of the target: ${expectedTokens.toFixed(3)}.`),
    ),
    html(
      'div',
      { class: 'scroll', role: 'region', 'aria-label': 'Probabilities of texts', tabindex: 0 },
      html(
        'table',
        { class: 'laws' },
        html(
          'caption',
          {},
          rows.length > SHOWN ? `The ${SHOWN} most probable of ${rows.length} texts` : 'All texts',
        ),
        html(
          'thead',
          {},
          html(
            'tr',
            {},
            ...['text', 'target', 'emitted', 'difference', 'counted'].map((name) =>
              html('th', { scope: 'col' }, name),
            ),
          ),
        ),
        html(
          'tbody',
          {},
          ...rows
            .slice(0, SHOWN)
            .map(({ text, target, emitted, count }) =>
              html(
                'tr',
                {},
                html('th', { scope: 'row' }, html('code', {}, text.replaceAll(',', ' '))),
                cell('p', target, largest),
                cell('q', emitted, largest),
                html(
                  'td',
                  { class: 'number' },
                  Math.abs(emitted - target) < ROUNDING ? '0' : (emitted - target).toFixed(4),
                ),
                html('td', { class: 'number' }, `${count} of ${(target * runs).toFixed(0)}`),
              ),
            ),
        ),
      ),
    ),
  ];
}

function cell(name: string, value: number, largest: number): HTMLElement {
  const fill = html('span', { class: `bar ${name}` });
  fill.style.width = `${(100 * value) / largest}%`;
  return html(
    'td',
    {},
    html('span', { class: 'track' }, fill),
    html('span', { class: 'value' }, value.toFixed(4)),
  );
}

function choice(
  label: string,
  values: readonly (readonly [string, string])[],
  selected?: string,
): Field {
  const input = html(
    'select',
    {},
    ...values.map(([value, text]) => html('option', { value, selected: value === selected }, text)),
  );
  return { element: html('label', {}, label, input), input };
}

function number(label: string, value: number): Field {
  const input = html('input', {
    type: 'number',
    min: 1,
    max: 1_000_000,
    step: 1,
    value,
    required: true,
  });
  return { element: html('label', {}, label, input), input };
}
