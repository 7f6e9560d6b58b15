// The charts of a run: speed, acceptance by position, and the ladder of this machine.
import type { LadderPoint } from '../src/models/model.ts';
import { depthsOf } from '../src/models/tree.ts';
import { barChart, type Chart, createFigure, lineChart, type Shown } from './charts.ts';
import { byId } from './dom.ts';
import { course, type Run, speedOf } from './run.ts';

/** What the charts show. */
export interface Measured {
  readonly drafted: Run | null;
  readonly plain: Run | null;
  /** Of the target in use; empty where it has not been measured. */
  readonly ladder: readonly LadderPoint[];
}

/** The panel of charts; `show` draws what there is. */
export function createCosts(): { show(measured: Measured): void } {
  const speed = createFigure('Tokens over time');
  const acceptance = createFigure('Acceptance by position');
  const ladder = createFigure('The ladder');
  byId('charts', HTMLDivElement).replaceChildren(speed.element, acceptance.element, ladder.element);
  const show = (measured: Measured) => {
    speed.show(speeds(measured));
    acceptance.show(acceptances(measured));
    ladder.show(ladders(measured));
  };
  show({ drafted: null, plain: null, ladder: [] });
  return { show };
}

const shown = (chart: Chart, caption: string): Shown => ({ chart, caption });
const nothing = (caption: string): Shown => ({ chart: null, caption });

function speeds({ drafted, plain }: Measured): Shown {
  const runs = [drafted, plain].filter((run) => run !== null);
  const measured = runs
    .map((run) => ({ run, speed: speedOf(run) }))
    .filter(({ speed }) => speed !== null);
  if (measured.length === 0) return nothing('The speed of decoding, with drafts and without.');
  const longest = Math.max(...runs.map((run) => course(run).at(-1)!.ms));
  const unit = longest < 2000 ? 1 : 1000;
  const lines = measured.map(({ run, speed }) => ({
    name: `${run.label === 'plain' ? 'without drafts' : 'with drafts'}: ${speed!.toFixed(speed! < 10 ? 1 : 0)} tokens/s`,
    style: run.label,
    points: course(run).map(({ ms, tokens }) => ({ x: ms / unit, y: tokens })),
  }));
  const [first, second] = measured;
  const caption =
    second === undefined
      ? `${lines[0].name}.`
      : `With drafts ${(first.speed! / second.speed!).toFixed(2)} times as fast as without.`;
  return shown(
    lineChart(lines, {
      x: `${unit === 1 ? 'ms' : 'seconds'} of drafting and checking`,
      y: 'tokens',
      label: lines.map(({ name }) => name).join(', '),
    }),
    caption,
  );
}

function acceptances({ drafted }: Measured): Shown {
  const rounds = drafted?.rounds.filter(({ data }) => data.nodes.length > 0) ?? [];
  if (rounds.length === 0)
    return nothing('How often a draft is accepted at each place after the text.');
  const reached: { drafts: number; accepted: number }[] = [];
  for (const { data } of rounds) {
    const depths = depthsOf(data.nodes.map(({ parent }) => parent));
    for (let depth = 0; depth < Math.max(...depths); depth++) {
      reached[depth] ??= { drafts: 0, accepted: 0 };
      reached[depth].drafts += 1;
      if (data.path.length > depth) reached[depth].accepted += 1;
    }
  }
  const shares = reached.map(({ drafts, accepted }, depth) => ({
    name: String(depth + 1),
    share: accepted / drafts,
    note: `${Math.round((100 * accepted) / drafts)} %`,
  }));
  const mean = rounds.reduce((sum, { data }) => sum + data.path.length, 0) / rounds.length;
  return shown(
    barChart(shares, {
      x: 'place in the draft',
      y: '',
      label: `Accepted: ${shares.map(({ name, note }) => `${note} at place ${name}`).join(', ')}`,
    }),
    `${mean.toFixed(2)} drafted tokens accepted per round, over ${rounds.length} rounds.`,
  );
}

function ladders({ ladder }: Measured): Shown {
  const one = ladder.find(({ rows }) => rows === 1)?.ms;
  if (one === undefined)
    return nothing(
      'What checking costs: the time of a forward by its rows. Drafts pay where it is flat.',
    );
  const v = ladder.map(({ rows, ms }) => ({ x: rows, y: ms / one }));
  const most = ladder.at(-1)!.rows;
  return shown(
    lineChart(
      [
        { name: 'v(n): n rows in one forward', style: 'ladder', points: v, dots: true },
        {
          name: 'n forwards of one row',
          style: 'single',
          points: [
            { x: 1, y: 1 },
            {
              x: Math.min(most, Math.max(...v.map(({ y }) => y)) * 1.2),
              y: Math.min(most, Math.max(...v.map(({ y }) => y)) * 1.2),
            },
          ],
        },
      ],
      {
        x: 'rows n',
        y: 'single forwards',
        label: `The ladder: ${v.map(({ x, y }) => `${x} rows cost ${y.toFixed(2)}`).join(', ')}`,
      },
    ),
    `One row takes ${one.toFixed(2)} ms here. Drafts pay where the line is flat.`,
  );
}
