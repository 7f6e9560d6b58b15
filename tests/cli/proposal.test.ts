// Proposal methods of speculators on the command line: the config's own by default, another by name, and what is not followed.
import { describe, expect, it } from 'vitest';
import { foretoken, independentFolder, target } from './command.ts';

const SAMPLING = { proposal_type: 'sampling', speculative_tokens: 3, accept_lenience: 0.2 };
const TOLERANT = {
  proposal_type: 'greedy',
  speculative_tokens: 2,
  verifier_accept_k: 3,
  accept_tolerance: 9,
};
const TREE = {
  proposal_type: 'static_tree',
  initial_branching_factor: 2,
  branching_factor: 1,
  depth: 3,
};

/** What a comparison with the speculator says. */
function compared(folder: string, ...args: readonly string[]) {
  const common = ['--draft', folder, '--max-tokens', '24', '--no-inflate', '--json'];
  const { status, stdout, stderr } = foretoken([...common, ...args]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const { notes, proposal, verifier, guarantee, drafter, sameTokens, speculative } =
    JSON.parse(stdout);
  const { draftLength } = speculative.stats.drafting;
  return { notes, proposal, verifier, guarantee, drafter, sameTokens, draftLength };
}

describe('the proposal method of a speculator', () => {
  it('is the default of its config, but for a lossy setting, which is named', () => {
    const found = compared(independentFolder([SAMPLING, TOLERANT]), '--temperature', '0.8');
    expect(found).toMatchObject({
      proposal: 'sampling',
      verifier: 'rejection',
      guarantee: 'same law',
      draftLength: 3,
      notes: [
        'drafts by sampling, the default method of its config: at most 3 tokens a round, judged by rejection',
        'sampling: accept_lenience 0.2 would change the law of the text (lossy), and is not followed',
        'sampling: --proposal sampling follows it, where a changed text is acceptable',
      ],
    });
    const tolerant = compared(independentFolder([TOLERANT]));
    expect(tolerant).toMatchObject({
      verifier: 'greedy',
      guarantee: 'bit-exact',
      sameTokens: true,
      draftLength: 2,
    });
    expect(tolerant.notes[1]).toBe(
      'greedy: verifier_accept_k 3 with accept_tolerance 9 would change the text (lossy), and is not followed',
    );
  });

  it('is another where it is asked for by name, lossy settings included', () => {
    const folder = independentFolder([SAMPLING, TOLERANT, TREE]);
    const sampled = compared(folder, '--proposal', 'sampling', '--temperature', '0.8');
    expect(sampled).toMatchObject({
      verifier: 'lenient',
      guarantee: 'lossy',
      notes: [
        'drafts by sampling, as asked for: at most 3 tokens a round, judged by lenient',
        'sampling: accept_lenience 0.2 changes the law of the text (lossy)',
      ],
    });
    const tolerant = compared(folder, '--proposal', 'greedy');
    expect(tolerant).toMatchObject({ guarantee: 'lossy', proposal: 'greedy', draftLength: 2 });
    const tree = compared(folder, '--proposal', 'static_tree');
    expect(tree).toMatchObject({ guarantee: 'bit-exact', sameTokens: true, draftLength: 6 });
    expect(tree.drafter).toContain('tree [2, 1, 1]');
  });

  it('gives way to options of the command line, which is said', () => {
    const folder = independentFolder([SAMPLING]);
    const sampled = ['--temperature', '0.8', '--verifier', 'match', '--draft-length', '2'];
    for (const asked of [[], ['--proposal', 'sampling']]) {
      const found = compared(folder, ...sampled, ...asked);
      expect(found).toMatchObject({ verifier: 'match', sameTokens: true, draftLength: 2 });
      expect(found.notes.slice(1)).toEqual([
        'sampling: accept_lenience 0.2 would change the law of the text (lossy), and is not followed',
        'sampling: --draft-length 2 instead of 3',
        'sampling: --verifier match instead of rejection',
      ]);
    }
    expect(compared(folder, '--draft-length', 'auto').draftLength).toBe('auto');
    const shaped = compared(folder, '--drafter', 'tree', '--branching', '2,1');
    expect(shaped).toMatchObject({ proposal: null, verifier: 'greedy', draftLength: 'auto' });
    expect(shaped.notes).toEqual([
      'sampling, the default method of its config, is not followed: --drafter tree has a shape of its own',
    ]);
  });

  it('is named by generate on standard error, and is not shown where nothing drafts', () => {
    const args = ['generate', '--max-tokens', '8'];
    const { status, stdout, stderr } = foretoken([...args, '--draft', independentFolder([TREE])]);
    expect(status).toBe(0);
    expect(stdout).toBe(', there was a little girl named Lily\n');
    expect(stderr).toBe(
      'note: drafts by static_tree, the default method of its config: at most 6 tokens a round\n',
    );
    expect(foretoken([...args, '--drafter', 'model']).stderr).toBe('');
  });

  it('has to be one of its config, of a speculator that drafts by one', () => {
    const draft = ['--draft', independentFolder([SAMPLING])];
    const refused = [
      [[...draft, '--proposal', 'greedy'], '--proposal: expected sampling, got greedy'],
      [
        [...draft, '--proposal', 'sampling', '--drafter', 'tree'],
        '--proposal: expected the speculator of --draft with --drafter model, got tree',
      ],
      [
        ['--proposal', 'greedy'],
        '--proposal: expected the speculator of --draft with --drafter model, got model without --draft',
      ],
      [
        ['--draft', target, '--proposal', 'greedy'],
        `--proposal: expected a speculator in ${target}, got a model`,
      ],
    ] as const;
    for (const [args, message] of refused) {
      const { status, stdout, stderr } = foretoken([...args, '--no-inflate']);
      expect(stderr).toContain(message);
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    }
    expect(foretoken(['explain', '--proposal', 'greedy']).status).toBe(2);
  });
});
