// A draft as a picture: the text, the drafted tokens after it, and the token that came in the end.
import type { RoundData } from '../src/browser/round.ts';
import { svg, visible } from './dom.ts';
import { layOut, type Place } from './layout.ts';
import type { Fate } from './steps.ts';

const WIDTH = 96;
const HEIGHT = 34;
const GAP_X = 26;
const GAP_Y = 12;
const MARGIN = 6;
const LONGEST = 10;

/** What of a round is shown. */
export interface TreeView {
  readonly fates: readonly Fate[];
  /** The node in question. */
  readonly current: number | null;
  /** Whether the last token is known yet. */
  readonly ended: boolean;
}

/** The picture and its size in pixels. */
export function drawTree(round: RoundData, view: TreeView): SVGSVGElement {
  const { nodes, rows, path, next, kind } = round;
  // The last token is drawn as a further child of where it was decided.
  const parents = nodes.map(({ parent }) => parent);
  const last = path.at(-1) ?? -1;
  if (view.ended) parents.push(last);
  const { root, places, columns, lines } = layOut(parents);
  const width = 2 * MARGIN + columns * WIDTH + (columns - 1) * GAP_X;
  const height = 2 * MARGIN + lines * HEIGHT + (lines - 1) * GAP_Y;
  const at = ({ column, line }: Place) => ({
    x: MARGIN + column * (WIDTH + GAP_X),
    y: MARGIN + line * (HEIGHT + GAP_Y),
  });

  const boxOf = (place: Place, name: string, [text, note]: readonly [string, string]) => {
    const { x, y } = at(place);
    return svg(
      'g',
      { class: `node ${name}`, transform: `translate(${x} ${y})` },
      svg('rect', { width: WIDTH, height: HEIGHT, rx: 6 }),
      svg('text', { class: 'token-text', x: WIDTH / 2, y: 14.5 }, text),
      svg('text', { class: 'note', x: WIDTH / 2, y: 27.5 }, note),
    );
  };
  const edges = parents.map((parent, node) => {
    const from = at(parent < 0 ? root : places[parent]);
    const to = at(places[node]);
    const fate = node < nodes.length ? view.fates[node] : 'end';
    const [x1, y1] = [from.x + WIDTH, from.y + HEIGHT / 2];
    const [x2, y2] = [to.x, to.y + HEIGHT / 2];
    const bend = (x1 + x2) / 2;
    return svg('path', {
      class: `edge ${fate}`,
      d: `M${x1} ${y1} C${bend} ${y1} ${bend} ${y2} ${x2} ${y2}`,
    });
  });
  const boxes = nodes.map(({ token, text, parent, p }, node) => {
    // The drafter's own law: the verifier may have it stated as a point.
    const q = rows[parent + 1].find((candidate) => candidate.token === token)!.q!;
    const fate = view.fates[node];
    const name = node === view.current ? `${fate} current` : fate;
    return boxOf(places[node], name, [shortened(text), `p ${digits(p)}  q ${digits(q)}`]);
  });
  const name = nodes.length === 0 ? 'plain' : kind;
  return svg(
    'svg',
    {
      class: 'tree',
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: 'img',
      'aria-label': labelOf(round, view),
    },
    ...edges,
    boxOf(root, 'root', ['the text', `${round.position} tokens`]),
    ...boxes,
    view.ended && boxOf(places[nodes.length], name, [shortened(next.text), name]),
  );
}

function shortened(text: string): string {
  const shown = visible(text);
  return shown.length > LONGEST ? `${shown.slice(0, LONGEST - 1)}…` : shown;
}

/** Two digits without the zero before the point. */
function digits(value: number): string {
  return value.toFixed(2).replace(/^0/, '');
}

function labelOf({ nodes, next, kind }: RoundData, { fates, ended }: TreeView): string {
  const drafted = nodes.map(({ text }, node) => `“${visible(text)}” ${fates[node]}`);
  const end = ended ? [`then “${visible(next.text)}” ${nodes.length === 0 ? 'plain' : kind}`] : [];
  return [...drafted, ...end].join(', ') || 'Nothing drafted';
}
