// Charts of what is measured: tokens over time, acceptance by position, the ladder. Drawn at the width they have, so that their
// letters keep their size on a phone.
import { html, svg } from './dom.ts';
import { ticks } from './ticks.ts';

/** A line of a chart: points in units of the axes, in order of x. */
export interface Line {
  readonly name: string;
  readonly style: 'drafted' | 'plain' | 'ladder' | 'single';
  readonly points: readonly { readonly x: number; readonly y: number }[];
  readonly dots?: boolean;
}

/** A chart before it has a width. */
export type Chart = (width: number) => SVGSVGElement;

/** A chart, if there is anything to draw, and what it says. */
export interface Shown {
  readonly chart: Chart | null;
  readonly caption: string;
}

const HEIGHT = 220;
const LEFT = 44;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 34;

/** A chart in a figure with a caption, redrawn when its width changes. */
export function createFigure(title: string): {
  readonly element: HTMLElement;
  show(shown: Shown): void;
} {
  const caption = html('p', {});
  const place = html('div', { class: 'plot' });
  const element = html('figure', {}, html('figcaption', {}, html('h3', {}, title), caption), place);
  let chart: Chart | null = null;
  let width = 0;
  const draw = () => place.replaceChildren(...(chart !== null && width > 0 ? [chart(width)] : []));
  new ResizeObserver(([{ contentRect }]) => {
    if (Math.abs(contentRect.width - width) < 1) return;
    width = contentRect.width;
    draw();
  }).observe(place);
  return {
    element,
    show(shown) {
      chart = shown.chart;
      caption.textContent = shown.caption;
      draw();
    },
  };
}

/** Lines over two axes from zero. */
export function lineChart(
  lines: readonly Line[],
  axes: { readonly x: string; readonly y: string; readonly label: string },
): Chart {
  const shown = lines.filter(({ points }) => points.length > 0);
  const maxX = Math.max(...shown.flatMap(({ points }) => points.map(({ x }) => x)), 1e-9);
  const maxY = Math.max(...shown.flatMap(({ points }) => points.map(({ y }) => y)), 1e-9);
  return (width) => {
    const x = (value: number) => LEFT + (value / maxX) * (width - LEFT - RIGHT);
    const top = TOP + 16 * shown.length;
    const y = (value: number) => HEIGHT - BOTTOM - (value / maxY) * (HEIGHT - BOTTOM - top);
    return frame(width, axes, [
      ...grid(ticks(maxX, 5), ticks(maxY, 4), { x, y, width }),
      ...shown.flatMap(({ style, points, dots }) => [
        svg('polyline', {
          class: `line ${style}`,
          points: points
            .map((point) => `${x(point.x).toFixed(1)},${y(point.y).toFixed(1)}`)
            .join(' '),
        }),
        ...(dots
          ? points.map((point) =>
              svg('circle', { class: `dot ${style}`, cx: x(point.x), cy: y(point.y), r: 3.5 }),
            )
          : []),
      ]),
      ...shown.map(({ name, style }, index) =>
        svg(
          'g',
          { transform: `translate(${LEFT} ${TOP + 4 + 16 * index})` },
          svg('line', { class: `line ${style}`, x1: 0, x2: 18, y1: -4, y2: -4 }),
          svg('text', { x: 24 }, name),
        ),
      ),
    ]);
  };
}

/** Shares by position, as bars from 0 to 1. */
export function barChart(
  shares: readonly { readonly name: string; readonly share: number; readonly note: string }[],
  axes: { readonly x: string; readonly y: string; readonly label: string },
): Chart {
  return (width) => {
    const step = (width - LEFT - RIGHT) / shares.length;
    const barWidth = Math.min(56, step * 0.7);
    const x = (index: number) => LEFT + step * (index + 0.5);
    const y = (value: number) => HEIGHT - BOTTOM - value * (HEIGHT - BOTTOM - TOP - 12);
    return frame(width, axes, [
      ...grid([], [0, 0.25, 0.5, 0.75, 1], { x, y, width, format: (value) => `${100 * value} %` }),
      ...shares.flatMap(({ name, share, note }, index) => [
        svg('rect', {
          class: 'column',
          x: x(index) - barWidth / 2,
          y: y(share),
          width: barWidth,
          height: y(0) - y(share),
        }),
        svg('text', { x: x(index), y: y(share) - 4, 'text-anchor': 'middle' }, note),
        svg('text', { x: x(index), y: HEIGHT - BOTTOM + 14, 'text-anchor': 'middle' }, name),
      ]),
    ]);
  };
}

function frame(
  width: number,
  { x, y, label }: { readonly x: string; readonly y: string; readonly label: string },
  children: readonly SVGElement[],
): SVGSVGElement {
  return svg(
    'svg',
    {
      class: 'chart',
      width,
      height: HEIGHT,
      viewBox: `0 0 ${width} ${HEIGHT}`,
      role: 'img',
      'aria-label': label,
    },
    ...children,
    svg('text', { class: 'axis', x: width - RIGHT, y: HEIGHT - 4, 'text-anchor': 'end' }, x),
    svg('text', { class: 'axis', x: 2, y: HEIGHT - 4 }, y),
  );
}

function grid(
  xs: readonly number[],
  ys: readonly number[],
  scale: {
    readonly x: (value: number) => number;
    readonly y: (value: number) => number;
    readonly width: number;
    readonly format?: (value: number) => string;
  },
): SVGElement[] {
  const { x, y, width, format = String } = scale;
  return [
    ...ys.flatMap((value) => [
      svg('line', { class: 'grid', x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
      svg('text', { x: LEFT - 5, y: y(value) + 4, 'text-anchor': 'end' }, format(value)),
    ]),
    ...xs.map((value) =>
      svg('text', { x: x(value), y: HEIGHT - BOTTOM + 14, 'text-anchor': 'middle' }, String(value)),
    ),
  ];
}
