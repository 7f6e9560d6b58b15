// The import graph of src: layers import downward only, there are no cycles, interface files hold types, and what the
// main entry reaches needs nothing but the run-time dependencies.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../src', import.meta.url));

interface Import {
  readonly from: string;
  /** A path under src, or the name of a package. */
  readonly to: string;
  readonly internal: boolean;
  readonly typeOnly: boolean;
}

const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.replaceAll('\\', '/'))
  // Another language, for another compiler.
  .filter((file) => !file.includes('/assembly/'));

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8');
  const statements = [
    ...text.matchAll(/^(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm),
  ].map(([statement, type, to]) => ({ to, typeOnly: type !== undefined || onlyTypes(statement) }));
  const dynamic = [...text.matchAll(/import\('([^']+)'\)/g)].map(([, to]) => ({
    to,
    typeOnly: false,
  }));
  return [...statements, ...dynamic].map(({ to, typeOnly }) => {
    const internal = to.startsWith('.');
    const path = relative(root, join(root, dirname(file), to)).replaceAll('\\', '/');
    return { from: file, to: internal ? path : to, internal, typeOnly };
  });
}

/** Every name in the braces says `type`. */
function onlyTypes(statement: string): boolean {
  const names = /\{([^}]*)\}/
    .exec(statement)?.[1]
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean);
  return names?.every((name) => name.startsWith('type ')) ?? false;
}

const imports = files.flatMap(importsOf);

const LAYERS = ['kernels', 'tensor', 'models', 'speculate', 'index', 'browser', 'cli'];
const layerOf = (file: string) => LAYERS.indexOf(file.split('/')[0].replace(/\.ts$/, ''));

describe('the import graph', () => {
  it('is read at all', () => {
    expect(imports.length).toBeGreaterThan(200);
    expect(
      imports.every(({ to, internal }) => !internal || files.includes(to) || to === 'version.ts'),
    ).toBe(true);
  });

  it('has only downward imports between layers', () => {
    const upward = imports.filter(
      ({ from, to, internal }) => internal && to !== 'version.ts' && layerOf(to) > layerOf(from),
    );
    expect(upward.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
    expect(files.filter((file) => file !== 'version.ts' && layerOf(file) < 0)).toEqual([]);
  });

  it('has no cycles, not even of types', () => {
    const edges = groupByFrom(imports.filter(({ internal }) => internal));
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (file: string, path: readonly string[]) => {
      if (path.includes(file)) cycles.push([...path.slice(path.indexOf(file)), file].join(' -> '));
      if (done.has(file) || path.includes(file)) return;
      for (const { to } of edges.get(file) ?? []) visit(to, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
    expect(cycles).toEqual([]);
  });

  it.each([
    'kernels/plan.ts',
    'kernels/backend.ts',
    'kernels/operand.ts',
    'models/config.ts',
    'models/files.ts',
    'models/model.ts',
    'models/architecture.ts',
    'speculate/law.ts',
    'speculate/drafter.ts',
    'speculate/verifier.ts',
  ])('keeps %s to types', (file) => {
    expect(imports.filter(({ from, typeOnly }) => from === file && !typeOnly)).toEqual([]);
    expect(readFileSync(join(root, file), 'utf8')).not.toMatch(
      /^export (const|function|class|let)/m,
    );
  });

  it('reaches nothing but the run-time dependencies from the main entry', () => {
    const reached = new Set<string>();
    const packages = new Set<string>();
    const visit = (file: string) => {
      if (reached.has(file)) return;
      reached.add(file);
      for (const { from, to, internal } of imports) {
        if (from !== file) continue;
        if (internal) visit(to);
        else packages.add(to);
      }
    };
    visit('index.ts');
    expect([...reached].filter((file) => file.startsWith('kernels/gpu/'))).toEqual([]);
    expect([...packages].filter((name) => !name.startsWith('node:')).sort()).toEqual([
      '@huggingface/jinja',
      '@huggingface/tokenizers',
      '@petamoriken/float16',
      'zod',
    ]);
  });

  it('names gpu.js in kernels/gpu only', () => {
    const outside = imports.filter(
      ({ from, to }) => to === 'gpu.js' && !from.startsWith('kernels/gpu/'),
    );
    expect(outside).toEqual([]);
  });

  it('uses modules of Node only where a browser never comes', () => {
    const node = imports.filter(
      ({ to, from }) => to.startsWith('node:') && !from.startsWith('cli/'),
    );
    expect(node).toEqual([]);
  });
});

function groupByFrom(list: readonly Import[]): Map<string, Import[]> {
  const groups = new Map<string, Import[]>();
  for (const each of list) groups.set(each.from, [...(groups.get(each.from) ?? []), each]);
  return groups;
}
