// One round, step by step: the picture of the draft, what happens, and the laws that decide it.
import type { Candidate, RoundData } from '../src/browser/round.ts';
import { button, byId, html, percent, svg, visible } from './dom.ts';
import { explainStep } from './explain.ts';
import type { TracedRound } from './run.ts';
import type { Settings } from './settings.ts';
import { depthOf, numbersAt, type Step, stepsOf } from './steps.ts';
import { drawTree } from './tree.ts';

/** The panel that shows a round. */
export interface Inspector {
  /** Shows round `index`; from its end, unless told to start at the front. */
  show(rounds: readonly TracedRound[], index: number, verifier: Settings['verifier']): void;
  clear(): void;
}

/** The panel of the page; `onMove` is told when a button leads to another round. */
export function createInspector(onMove: (index: number) => void): Inspector {
  const panel = byId('round', HTMLDivElement);
  let rounds: readonly TracedRound[] = [];
  let verifier: Settings['verifier'] = 'match';
  let index = 0;
  let steps: readonly Step[] = [];
  let step = 0;

  const heading = html('output', { class: 'where' });
  const stepOutput = html('output', { class: 'where' });
  const previousRound = button('◀ Round', { 'aria-label': 'Previous round' }, () =>
    onMove(index - 1),
  );
  const nextRound = button('Round ▶', { 'aria-label': 'Next round' }, () => onMove(index + 1));
  const previousStep = button('◀ Step', { 'aria-label': 'Previous step' }, () => move(step - 1));
  const nextStep = button('Step ▶', { 'aria-label': 'Next step', class: 'primary' }, () =>
    move(step + 1),
  );
  const picture = html('div', {
    class: 'scroll',
    role: 'region',
    'aria-label': 'The draft',
    tabindex: 0,
  });
  const words = html('div', { 'aria-live': 'polite', class: 'words' });
  const coin = html('div');
  const laws = html('div', {
    class: 'scroll',
    role: 'region',
    'aria-label': 'The laws',
    tabindex: 0,
  });
  const empty = html(
    'p',
    { class: 'hint' },
    'Generate a text first; then its rounds can be looked at one by one.',
  );
  panel.replaceChildren(empty);

  const move = (to: number) => {
    step = Math.min(steps.length - 1, Math.max(0, to));
    render();
  };

  const render = () => {
    const { data } = rounds[index];
    const current = steps[step];
    const { title, text } = explainStep(data, current, verifier);
    heading.textContent = `Round ${index} of ${rounds.length - 1}`;
    stepOutput.textContent = `Step ${step + 1} of ${steps.length}`;
    previousRound.disabled = index === 0;
    nextRound.disabled = index === rounds.length - 1;
    previousStep.disabled = step === 0;
    nextStep.disabled = step === steps.length - 1;
    picture.replaceChildren(
      drawTree(data, {
        fates: current.fates,
        current: current.node,
        ended: current.kind === 'next',
      }),
    );
    bringIntoView(picture);
    words.replaceChildren(html('h3', {}, title), html('p', {}, text));
    coin.replaceChildren(
      ...(current.coin && current.coin.probability < 1 ? [drawCoin(current.coin)] : []),
    );
    laws.replaceChildren(drawLaws(data, current, verifier));
  };

  return {
    show(all, at, by) {
      const fresh = all !== rounds || at !== index || panel.contains(empty);
      rounds = all;
      index = at;
      verifier = by;
      if (fresh) {
        steps = stepsOf(all[at].data);
        step = 0;
      }
      if (panel.contains(empty))
        panel.replaceChildren(
          html('div', { class: 'actions' }, previousRound, heading, nextRound),
          picture,
          html('div', { class: 'actions' }, previousStep, stepOutput, nextStep),
          words,
          coin,
          laws,
        );
      render();
    },
    clear() {
      rounds = [];
      panel.replaceChildren(empty);
    },
  };
}

/** Scrolls sideways to the node in question, and leaves the page where it is. */
function bringIntoView(picture: HTMLElement): void {
  const node = picture.querySelector('.current')?.getBoundingClientRect();
  if (node === undefined) return;
  const { left, right } = picture.getBoundingClientRect();
  if (node.right > right) picture.scrollLeft += node.right - right;
  else if (node.left < left) picture.scrollLeft -= left - node.left;
}

/** The number of a coin on the line from 0 to 1, of which the part that accepts is filled. */
function drawCoin({
  number,
  probability,
  result,
}: {
  number: number;
  probability: number;
  result: boolean;
}) {
  const x = (value: number) => 4 + 312 * value;
  return svg(
    'svg',
    {
      class: 'coin',
      viewBox: '0 0 320 44',
      role: 'img',
      'aria-label': `The coin: ${number.toFixed(3)} is ${result ? 'below' : 'not below'} ${probability.toFixed(3)}`,
    },
    svg('rect', { class: 'all', x: x(0), y: 8, width: 312, height: 12, rx: 3 }),
    svg('rect', { class: 'accepts', x: x(0), y: 8, width: 312 * probability, height: 12, rx: 3 }),
    svg('line', { class: result ? 'heads' : 'tails', x1: x(number), x2: x(number), y1: 3, y2: 25 }),
    svg('text', { x: x(0), y: 38 }, `accepts below ${probability.toFixed(3)}`),
    svg('text', { x: x(1), y: 38, 'text-anchor': 'end' }, `the coin: ${number.toFixed(3)}`),
  );
}

/** A table of the laws at the row of a step: p and q as bars, and what decided: the race, or what is owed. */
function drawLaws(data: RoundData, step: Step, verifier: Settings['verifier']): HTMLElement {
  const candidates = data.rows[step.row];
  const drafted = new Set(
    data.nodes.flatMap(({ token, parent }) => (parent === step.row - 1 ? [token] : [])),
  );
  const numbers =
    verifier === 'match' ? numbersAt(data, data.position + depthOf(data, step.row)) : null;
  const owed =
    step.kind === 'next' && data.kind === 'recovered' && step.pick !== undefined
      ? new Map(step.pick.candidates.map(({ token, probability }) => [token, probability]))
      : null;
  const anyDraft = candidates.some(({ q }) => q !== null);
  const current =
    step.kind === 'next'
      ? data.next.token
      : step.node === null
        ? null
        : data.nodes[step.node].token;
  const first = {
    p: numbers && firstOf(candidates, numbers, ({ p }) => p),
    q: numbers && anyDraft ? firstOf(candidates, numbers, ({ q }) => q ?? 0) : null,
  };
  const head = html(
    'tr',
    {},
    html('th', { scope: 'col' }, 'token'),
    html('th', { scope: 'col' }, 'p, the target'),
    anyDraft && html('th', { scope: 'col' }, 'q, the drafter'),
    numbers && html('th', { scope: 'col' }, 'number u'),
    numbers && html('th', { scope: 'col' }, '−ln u / p'),
    numbers && anyDraft && html('th', { scope: 'col' }, '−ln u / q'),
    owed && html('th', { scope: 'col' }, 'owed: (p − q)₊'),
  );
  const rows = candidates.map((candidate) => {
    const { token, text, p, q } = candidate;
    const number = numbers?.get(token);
    const time = (mass: number, winner: number | null | undefined) =>
      html(
        'td',
        { class: winner === token ? 'number first' : 'number' },
        number === undefined || mass === 0
          ? '–'
          : `${(-Math.log(number) / mass).toFixed(3)}${winner === token ? ' first' : ''}`,
      );
    return html(
      'tr',
      { class: token === current ? 'current' : null },
      html(
        'th',
        { scope: 'row' },
        html('code', {}, visible(text)),
        drafted.has(token) && html('span', { class: 'tag' }, 'drafted'),
      ),
      bar('p', p),
      anyDraft && bar('q', q ?? 0),
      numbers && html('td', { class: 'number' }, number === undefined ? '–' : number.toFixed(3)),
      numbers && time(p, first.p),
      numbers && anyDraft && time(q ?? 0, first.q),
      owed && bar('owed', owed.get(token) ?? 0),
    );
  });
  const where =
    step.row === 0 ? 'after the text' : `after “${visible(data.nodes[step.row - 1].text)}”`;
  return html(
    'table',
    { class: 'laws' },
    html('caption', {}, `The most probable tokens ${where}`),
    html('thead', {}, head),
    html('tbody', {}, ...rows),
  );
}

function firstOf(
  candidates: readonly Candidate[],
  numbers: ReadonlyMap<number, number>,
  mass: (candidate: Candidate) => number,
): number | null {
  let best: number | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const number = numbers.get(candidate.token);
    const time =
      number === undefined || mass(candidate) === 0 ? least : -Math.log(number) / mass(candidate);
    if (time >= least) continue;
    least = time;
    best = candidate.token;
  }
  return best;
}

function bar(name: string, value: number): HTMLElement {
  const fill = html('span', { class: `bar ${name}` });
  fill.style.width = `${100 * value}%`;
  return html(
    'td',
    {},
    html('span', { class: 'track' }, fill),
    html('span', { class: 'value' }, percent(value)),
  );
}
