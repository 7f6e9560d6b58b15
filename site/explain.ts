// What a step says, in words with its numbers.
import type { RoundData } from '../src/browser/round.ts';
import { percent, visible } from './dom.ts';
import type { Settings } from './settings.ts';
import type { Step } from './steps.ts';

type Verifier = Settings['verifier'];

/** A name and a sentence or two for a step of a round. */
export function explainStep(
  round: RoundData,
  step: Step,
  verifier: Verifier,
): { readonly title: string; readonly text: string } {
  if (step.kind === 'draft') return explainDraft(round, verifier);
  if (step.kind === 'judge') return explainJudgement(round, step, verifier);
  return explainNext(round, step, verifier);
}

const quoted = ({ text }: { readonly text: string }) => `“${visible(text)}”`;

function explainDraft({ nodes, position, draftMs, targetMs }: RoundData, verifier: Verifier) {
  const count = nodes.length === 1 ? 'one token' : `${nodes.length} tokens`;
  const how = {
    greedy: 'the most probable ones of the drafter',
    match: 'the winners of races that the drafter ran on the noise that the target will use',
    rejection: 'drawn from the drafter’s law q with noise of its own',
  }[verifier];
  return {
    title: 'The draft',
    text: `After ${position} tokens of text ${count} were drafted in ${draftMs.toFixed(1)} ms: ${how}. One forward of the target, ${targetMs.toFixed(1)} ms, then gave its law p after the text and after every drafted token.`,
  };
}

function explainJudgement({ nodes, rows }: RoundData, step: Step, verifier: Verifier) {
  const node = nodes[step.node!];
  const accepted = step.fates[step.node!] === 'accepted';
  const title = `${quoted(node)} is ${accepted ? 'accepted' : 'rejected'}`;
  if (verifier === 'match') {
    const winner = step.race?.candidates.find(({ token }) => token === step.race!.result[0]);
    const won = winner === undefined ? 'another token' : quoted(winner);
    return {
      title,
      text: `The target draws its own token as it would without a draft: every token x arrives after −ln(u) / p, and ${won} comes first. The draft ${accepted ? 'is that token' : 'is another one'}.`,
    };
  }
  if (verifier === 'greedy') {
    const best = rows[step.row][0];
    return {
      title,
      text: `The target’s most probable token is ${quoted(best)}. The draft ${accepted ? 'is that token' : 'is another one'}.`,
    };
  }
  const { coin } = step;
  if (coin === undefined)
    return { title, text: 'It was drawn twice; a second copy is no offer, and costs nothing.' };
  const ratio = `the part of p that is still owed is ${coin.probability.toFixed(3)} times the q it was drawn with`;
  return {
    title,
    text:
      coin.probability >= 1
        ? `The target wants it at least as much as the drafter did: ${ratio}. It is accepted without a coin.`
        : `It was drafted more often than the target wants it: ${ratio}. So a coin decides, and its number ${coin.number.toFixed(3)} is ${coin.result ? 'below' : 'not below'} that.`,
  };
}

function explainNext({ nodes, next, kind, rows }: RoundData, step: Step, verifier: Verifier) {
  const name = nodes.length === 0 ? 'plain' : kind;
  const title = `${quoted(next)} comes next: ${name}`;
  const why = {
    plain: 'Nothing was drafted.',
    bonus: 'All of a path was accepted, and the forward has a law for the token after it too.',
    recovered: 'A draft was rejected here, so the target gives the token itself.',
  }[name];
  if (verifier === 'match')
    return { title, text: `${why} It is the winner of the target’s race at this position.` };
  if (verifier === 'greedy')
    return { title, text: `${why} It is the target’s most probable token.` };
  const drawn = step.pick?.candidates.find(({ token }) => token === next.token);
  const law =
    name === 'recovered'
      ? 'what is owed after the rejections, (p − q)₊ made to add up to one'
      : 'p itself';
  const number =
    step.pick === undefined ? '' : ` The number ${step.pick.number.toFixed(3)} picks it`;
  const share = drawn === undefined ? '' : ` with ${percent(drawn.probability)}`;
  const p = rows[step.row].find(({ token }) => token === next.token)?.p;
  return {
    title,
    text: `${why}${number} from ${law}${share}${name === 'recovered' && p !== undefined ? ` (under p it had ${percent(p)})` : ''}.`,
  };
}
