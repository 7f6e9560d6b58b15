// The examples run as they are, from a compiled checkout, against the built package.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

function run(name: string): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [`.build/examples/${name}.js`], {
    cwd: root,
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout;
}

beforeAll(() => {
  const { status, stdout } = spawnSync(
    process.execPath,
    ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.run.json'],
    { cwd: root, encoding: 'utf8' },
  );
  expect(stdout).toBe('');
  expect(status).toBe(0);
}, 60_000);

describe('the examples', () => {
  it('are all in this test', () => {
    expect(readdirSync(`${root}/examples`)).toEqual([
      'compare.ts',
      'custom-drafter.ts',
      'explain.ts',
      'generate.ts',
    ]);
  });

  it('generate: streams a story and counts its forwards', () => {
    expect(run('generate')).toMatch(/\[.+\][\s\S]*\n80 tokens in \d+ forwards of the target\n$/);
  });

  it('compare: gives the same tokens with every drafter', () => {
    const output = run('compare');
    expect(output).toMatch(/^none +1\.00 forwards per token\n/);
    expect(output).toMatch(/same tokens: yes\n$/);
  });

  it('custom-drafter: accepts phrases and changes nothing', () => {
    expect(run('custom-drafter')).toMatch(
      /\n[1-9]\d* of \d+ drafted tokens accepted, \d+ forwards\nsame tokens: yes\n$/,
    );
  });

  it('explain: prints the plan with its total', () => {
    const output = run('explain');
    for (const op of ['linear', 'attention', 'rmsNorm', 'total']) expect(output).toContain(op);
  });
});
