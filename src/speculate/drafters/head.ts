// Drafting with a head: it continues the target's states. Pair i of its cache is the token at position i + 1 with the state of
// position i; drafted pairs carry the head's own states and are forgotten when their tokens have been judged.
import { OptionError } from '../../kernels/errors.ts';
import type { Cache, Sequence } from '../../models/model.ts';
import type { Draft, Drafter, DraftRequest, Drawn } from '../drafter.ts';
import type { Head } from '../speculators/head.ts';

/** Options of `draftHead`. */
export interface DraftHeadOptions {
  /** Shown in reports; default `head`. */
  readonly name?: string;
  /** Children of every node per level, as for `draftModel`; default [1], a chain. */
  readonly branching?: readonly number[];
}

/** A drafter that runs a head. It gives back its cache on dispose, not the head. */
export function draftHead(head: Head, options: DraftHeadOptions = {}): Drafter {
  const { name = 'head', branching = [1] } = options;
  if (branching.length === 0 || branching.some((count) => !Number.isInteger(count) || count < 1))
    throw new OptionError(
      `draftHead: branching: expected whole numbers from 1, got [${branching.join(', ')}]`,
    );
  const wide = branching.some((count) => count > 1);
  const pairs = createPairs(head);
  return {
    name: wide ? `${name} tree [${branching.join(', ')}]` : name,
    taps: head.taps,
    contextLength: head.model.contextLength,
    async draft(request) {
      const root = await pairs.catchUp(request);
      if (root === null) return { tokens: [] };
      return wide ? grow(pairs, branching, request, root) : extend(pairs, request, root);
    },
    dispose: () => pairs.dispose(),
  };
}

/** What a pass gives: logits over the target's vocabulary, and the state that goes with the next token. */
interface Pass {
  readonly logits: Float32Array;
  readonly state: Float32Array;
}

interface Pairs {
  /** Feeds the pairs of the text that are new; what the last one gives, or null where states are missing. */
  catchUp(request: DraftRequest): Promise<Pass | null>;
  /** Feeds one more pair after those so far, until the next `catchUp`. */
  push(token: number, state: Float32Array, signal: DraftRequest['signal']): Promise<Pass>;
  /** Feeds drafted pairs, of which each sees the path before it; what each gives. */
  feed(nodes: readonly Node[], signal: DraftRequest['signal']): Promise<readonly Pass[]>;
  dispose(): void;
}

interface Node {
  readonly token: number;
  readonly state: Float32Array;
  readonly parent: number;
}

function createPairs({ model, fuse, targetIds }: Head): Pairs {
  let cache: Cache | undefined;
  let sequence: Sequence | undefined;
  /** Tokens of the cached pairs; the first `real` of them have states of the target. */
  let tokens: number[] = [];
  let real = 0;
  const vocab = model.config.vocab;
  const passOf = (logits: Float32Array, state: Float32Array): Pass => ({
    logits: widened(logits, targetIds, vocab),
    state,
  });
  const open = () => {
    cache ??= model.createCache({ taps: [0] });
    sequence ??= cache.sequence();
    return { cache, sequence };
  };
  return {
    async catchUp({ tokens: text, hidden = [], signal }) {
      const { cache, sequence } = open();
      // The states end with that of the last token but one.
      const from = text.length - 1 - hidden.length;
      let common = 0;
      while (common < Math.min(real, from) && tokens[common] === text[common + 1]) common++;
      sequence.truncate(common);
      tokens.length = common;
      real = common;
      if (common < from || hidden.length === 0) return null;
      const states = await fuse(hidden);
      const added = text.slice(from + 1);
      const { logits, hidden: found } = await model.forward(
        cache,
        [{ sequence, tokens: added, states }],
        { signal },
      );
      tokens.push(...added);
      real = tokens.length;
      return passOf(logits[0], found[0]);
    },
    async push(token, state, signal) {
      const { cache, sequence } = open();
      const segment = { sequence, tokens: [token], states: [state] };
      const { logits, hidden } = await model.forward(cache, [segment], { signal });
      return passOf(logits[0], hidden[0]);
    },
    async feed(nodes, signal) {
      const { cache, sequence } = open();
      sequence.truncate(real);
      const draft = {
        tokens: nodes.map(({ token }) => token),
        parents: nodes.map(({ parent }) => parent),
      };
      const states = nodes.map(({ state }) => state);
      const segment = { sequence, tokens: [], draft, states };
      const { logits, hidden } = await model.forward(cache, [segment], { signal });
      return logits.map((row, node) => passOf(row, hidden[node]));
    },
    dispose() {
      sequence?.free();
      cache?.dispose();
      sequence = undefined;
      cache = undefined;
      tokens = [];
      real = 0;
    },
  };
}

/** Logits of the head at the target's tokens; what it cannot draft has -Infinity. */
function widened(logits: Float32Array, ids: Int32Array | null, vocab: number): Float32Array {
  if (ids === null) return logits;
  const wide = new Float32Array(vocab).fill(Number.NEGATIVE_INFINITY);
  for (let token = 0; token < logits.length; token++) wide[ids[token]] = logits[token];
  return wide;
}

/** A chain: every drawn token is fed with the state that the pass before gave. */
async function extend(pairs: Pairs, request: DraftRequest, root: Pass): Promise<Draft> {
  const { tokens, maxTokens, maxDepth, signal } = request;
  const drawn: Drawn[] = [];
  const text = [...tokens];
  const most = Math.min(maxTokens, maxDepth);
  let pass = root;
  while (true) {
    const [next] = request.draw(request.law(pass.logits, text), text.length, 1);
    if (next === undefined) break;
    drawn.push(next);
    text.push(next.token);
    if (drawn.length >= most) break;
    pass = await pairs.push(next.token, pass.state, signal);
  }
  return { tokens: drawn };
}

/** A tree, level by level; every pass computes the nodes so far, whose states come from the levels before. */
async function grow(
  pairs: Pairs,
  branching: readonly number[],
  request: DraftRequest,
  root: Pass,
): Promise<Draft> {
  const { tokens, maxTokens, maxDepth, signal } = request;
  const drawn: Drawn[] = [];
  const nodes: Node[] = [];
  let passes: readonly Pass[] = [];
  let frontier: readonly number[] = [-1];
  for (let depth = 0; depth < maxDepth && drawn.length < maxTokens; depth++) {
    if (depth > 0) passes = await pairs.feed(nodes, signal);
    const next: number[] = [];
    for (const node of frontier) {
      const count = Math.min(branching[depth] ?? 1, maxTokens - drawn.length);
      if (count === 0) break;
      const { logits, state } = node < 0 ? root : passes[node];
      const law = request.law(logits, [...tokens, ...pathTo(node, nodes)]);
      for (const child of request.draw(law, tokens.length + depth, count)) {
        next.push(drawn.length);
        drawn.push(child);
        nodes.push({ token: child.token, state, parent: node });
      }
    }
    frontier = next;
  }
  return { tokens: drawn, parents: nodes.map(({ parent }) => parent) };
}

function pathTo(node: number, nodes: readonly Node[]): number[] {
  const path: number[] = [];
  for (let each = node; each >= 0; each = nodes[each].parent) path.push(nodes[each].token);
  return path.reverse();
}
