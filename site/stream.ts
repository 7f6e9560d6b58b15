// The text as blocks, one per round, its tokens coloured by where they came from. A list of which one block is chosen.
import { byId, html } from './dom.ts';
import type { TracedRound } from './run.ts';

/** Where an emitted token came from. */
export type Origin = 'accepted' | 'recovered' | 'bonus' | 'plain';
const ORIGINS: readonly Origin[] = ['accepted', 'recovered', 'bonus', 'plain'];

/** Phases of slow motion. */
const DRAFTED_MS = 550;
const JUDGED_MS = 450;

/** The origin of token `index` of a round. */
function originOf({ data, tokens }: TracedRound, index: number): Origin {
  if (tokens[index].drafted) return 'accepted';
  return data.nodes.length === 0 ? 'plain' : data.kind;
}

/** The element that shows rounds. */
export interface Stream {
  clear(prompt: string): void;
  /** Shows a round; in slow motion its drafts first. */
  add(
    round: TracedRound,
    options: { readonly slow: boolean; readonly signal: AbortSignal },
  ): Promise<void>;
  select(index: number): void;
}

/** The stream of the page; `onSelect` is told which round was chosen. */
export function createStream(onSelect: (index: number) => void): Stream {
  const list = byId('stream', HTMLElement);
  const blocks: HTMLElement[] = [];
  const counts: Record<Origin, number> = { accepted: 0, recovered: 0, bonus: 0, plain: 0 };
  let selected = -1;

  const select = (index: number) => {
    const block = blocks[index];
    if (block === undefined) return;
    blocks[selected]?.setAttribute('aria-selected', 'false');
    block.setAttribute('aria-selected', 'true');
    list.setAttribute('aria-activedescendant', block.id);
    selected = index;
  };
  const choose = (index: number) => {
    if (blocks[index] === undefined) return;
    select(index);
    blocks[index].scrollIntoView({ block: 'nearest' });
    onSelect(index);
  };

  list.addEventListener('click', (event) => {
    const block = (event.target as Element).closest<HTMLElement>('[role=option]');
    if (block) choose(blocks.indexOf(block));
  });
  const keys: Readonly<Record<string, (index: number) => number>> = {
    ArrowRight: (index) => index + 1,
    ArrowDown: (index) => index + 1,
    ArrowLeft: (index) => index - 1,
    ArrowUp: (index) => index - 1,
    Home: () => 0,
    End: () => blocks.length - 1,
  };
  list.addEventListener('keydown', (event) => {
    const move = keys[event.key];
    if (move === undefined || blocks.length === 0) return;
    event.preventDefault();
    choose(Math.min(blocks.length - 1, Math.max(0, move(selected))));
  });

  const showCounts = () => {
    for (const origin of ORIGINS)
      byId(`count-${origin}`, HTMLSpanElement).textContent = String(counts[origin]);
  };

  return {
    clear(prompt) {
      blocks.length = 0;
      selected = -1;
      list.removeAttribute('aria-activedescendant');
      list.replaceChildren();
      byId('shown-prompt', HTMLElement).textContent = prompt;
      for (const origin of ORIGINS) counts[origin] = 0;
      showCounts();
    },
    async add(round, { slow, signal }) {
      const block = html('span', {
        role: 'option',
        id: `block-${blocks.length}`,
        'aria-selected': 'false',
        class: 'block',
      });
      blocks.push(block);
      list.append(block);
      const { nodes, path } = round.data;
      if (slow && nodes.length > 0 && !signal.aborted) {
        block.replaceChildren(
          ...nodes.map(({ text }) => html('span', { class: 'token drafted' }, text)),
        );
        await pause(DRAFTED_MS, signal);
      }
      const tokens = round.tokens.map(({ text }, index) => {
        const origin = originOf(round, index);
        counts[origin] += 1;
        return html('span', { class: `token ${origin}` }, text);
      });
      const refused = nodes
        .filter((_, node) => !path.includes(node))
        .map(({ text }) => html('span', { class: 'token rejected', 'aria-hidden': 'true' }, text));
      const before = tokens.filter((_, index) => round.tokens[index].drafted);
      block.replaceChildren(...before, ...refused, ...tokens.slice(before.length));
      block.setAttribute('aria-description', describe(round));
      showCounts();
      if (slow) await pause(JUDGED_MS, signal);
    },
    select,
  };
}

/** A round for those who do not see its colours. */
function describe({ data: { index, nodes, path } }: TracedRound): string {
  if (nodes.length === 0) return `round ${index}, nothing drafted`;
  return `round ${index}, ${path.length} of ${nodes.length} drafted tokens accepted`;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
  });
}
