// The trace of a run as files: everything as JSON, and the rounds as one picture.
import type { BackendReport } from '../src/kernels/backend.ts';
import type { LadderPoint } from '../src/models/model.ts';
import { html, svg } from './dom.ts';
import type { Run } from './run.ts';
import type { Settings } from './settings.ts';
import { stepsOf } from './steps.ts';
import { drawTree } from './tree.ts';

/** What is saved. */
export interface Trace {
  readonly settings: Settings;
  readonly report: BackendReport;
  readonly drafted: Run | null;
  readonly plain: Run | null;
  readonly ladder: readonly LadderPoint[];
}

/** The trace as JSON; the format is named, so that a reader can tell. */
export function traceJson({ settings, report, drafted, plain, ladder }: Trace): string {
  const runs = [drafted, plain]
    .filter((run) => run !== null)
    .map(({ label, rounds, result }) => ({
      label,
      rounds: rounds.map(({ data, tokens }) => ({ ...data, tokens })),
      result: result && { ...result, explanation: result.stats.explain() },
    }));
  return `${JSON.stringify({ format: 'foretoken trace', version: 1, settings, report, ladder, runs }, null, 1)}\n`;
}

const LABEL = 64;
const GAP = 14;

/** The rounds one below the other, with the look that they have on the page now. */
export function traceSvg(run: Run): string {
  let top = GAP;
  let widest = 0;
  const rows = run.rounds.map(({ data }) => {
    const { fates } = stepsOf(data).at(-1)!;
    const tree = drawTree(data, { fates, current: null, ended: true });
    const { width, height } = tree.viewBox.baseVal;
    const group = svg(
      'g',
      { transform: `translate(${LABEL} ${top})` },
      svg('text', { class: 'axis', x: 8 - LABEL, y: height / 2 + 4 }, `round ${data.index}`),
      ...tree.childNodes,
    );
    top += height + GAP;
    widest = Math.max(widest, width);
    return group;
  });
  const [width, height] = [LABEL + widest + GAP, top];
  const picture = svg(
    'svg',
    { class: 'tree', width, height, viewBox: `0 0 ${width} ${height}` },
    svg('rect', { class: 'paper', width, height }),
    ...rows,
  );
  return new XMLSerializer().serializeToString(withLook(picture));
}

/** Properties that make up the look of a shape. */
const LOOK = [
  'fill',
  'stroke',
  'stroke-width',
  'stroke-dasharray',
  'font-family',
  'font-size',
  'font-weight',
  'text-anchor',
  'text-decoration-line',
];

/** The picture with the computed look of every shape as attributes, to stand without the page's styles. */
function withLook(picture: SVGSVGElement): SVGSVGElement {
  const holder = html('div', { class: 'offstage', 'aria-hidden': true }, picture);
  document.body.append(holder);
  for (const shape of picture.querySelectorAll('rect, path, text')) {
    const style = getComputedStyle(shape);
    for (const name of LOOK) {
      const value = style.getPropertyValue(name);
      // The attribute has the name of the shorthand.
      if (value !== '') shape.setAttribute(name.replace('decoration-line', 'decoration'), value);
    }
  }
  holder.remove();
  return picture;
}

/** Hands a text to the browser as a file to keep. */
export function save(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = html('a', { href: url, download: name });
  link.click();
  URL.revokeObjectURL(url);
}
