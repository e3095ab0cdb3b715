import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { parseImageConfig } from '../../../lib/image/config.js';
import { parseFromRootfs, parseHost, parseList, parseRemove } from '../../../lib/image/request.js';

const refusal = (work: () => unknown): unknown => {
  try {
    work();
    return 'no error';
  } catch (error) {
    const { code, details } = error as { code: string; details: { option?: string } };
    return details.option ?? code;
  }
};

describe('parseHost', () => {
  test('paths are made plain, sorted, each once', () => {
    expect(parseHost({ paths: ['/b/../a//x/', '/b', '/b'] }).paths).toEqual(['/a/x', '/b']);
    expect(parseHost()).toEqual({ paths: [], writable: [] });
  });

  test.each([
    [{ paths: ['relative'] }, 'paths[0]'],
    [{ paths: '/usr' }, 'paths'],
    [{ paths: ['/ok', '/a\0b'] }, 'paths[1]'],
    [{ paths: ['/'] }, 'paths[0]'],
    [{ paths: ['/proc/self'] }, 'paths[0]'],
    [{ paths: ['/dev'] }, 'paths[0]'],
    [{ writable: [1] }, 'writable[0]'],
    [{ path: ['/usr'] }, 'path'],
  ])('%j', (options, option) => {
    expect(refusal(() => parseHost(options))).toBe(option);
  });

  test('names that only begin like /proc are no matter', () => {
    expect(parseHost({ paths: ['/processes', '/devel'] }).paths).toHaveLength(2);
  });
});

describe('parseFromRootfs', () => {
  test('a folder or a stream, nothing else', () => {
    const stream = Readable.from([]);
    expect(parseFromRootfs(stream, {}, {}).source).toBe(stream);
    expect(parseFromRootfs('folder', {}, {}).source).toBe('folder');
    expect(refusal(() => parseFromRootfs({}, {}, {}))).toBe('dir');
  });

  test.each([
    [undefined, 'dir'],
    ['', 'dir'],
    ['/a\0', 'dir'],
    [5, 'dir'],
  ])('%j is no folder', (dir, option) => {
    expect(refusal(() => parseFromRootfs(dir, {}, {}))).toBe(option);
  });
});

describe('parseImageConfig', () => {
  test('copies what it knows', () => {
    const asked = {
      Env: ['A=b', 'C='],
      Cmd: ['sh'],
      Labels: { a: 'b' },
      ExposedPorts: { '80/tcp': {} },
      WorkingDir: '/app/',
    };
    const config = parseImageConfig(asked);
    expect(config).toEqual(asked);
    asked.Env.push('D=e');
    expect(config.Env).toEqual(['A=b', 'C=']);
  });

  test.each([
    [{ Env: ['secret'] }, 'config.Env[0]'],
    [{ Env: ['=x'] }, 'config.Env[0]'],
    [{ Env: { A: 'b' } }, 'config.Env'],
    [{ Cmd: 'sh' }, 'config.Cmd'],
    [{ User: 0 }, 'config.User'],
    [{ WorkingDir: 'app' }, 'config.WorkingDir'],
    [{ WorkingDir: './app' }, 'config.WorkingDir'],
    [{ env: [] }, 'config.env'],
    [{ Labels: { a: 1 } }, 'config.Labels.a'],
    [[], 'config'],
  ])('%j', (config, option) => {
    expect(refusal(() => parseImageConfig(config))).toBe(option);
  });

  test('an empty WorkingDir is none, one that no kernel takes is refused', () => {
    expect(parseImageConfig({ WorkingDir: '' })).toEqual({ WorkingDir: '' });
    const WorkingDir = `/${'x'.repeat(4095)}`;
    expect(refusal(() => parseImageConfig({ WorkingDir }))).toBe('config.WorkingDir');
  });

  test('the text of a variable is not repeated', () => {
    expect(() => parseImageConfig({ Env: ['hunter2'] })).not.toThrow('hunter2');
  });
});

test('parseList and parseRemove', () => {
  expect(parseList({ filter: { reference: 'a', label: 'x=y' } })).toMatchObject({
    reference: 'docker.io/library/a:latest',
    labels: ['x=y'],
  });
  expect(refusal(() => parseList({ filter: { tag: 'a' } }))).toBe('filter.tag');
  expect(refusal(() => parseList({ filter: { reference: 'A' } }))).toBe('filter.reference');
  expect(parseRemove()).toEqual({ force: false });
  expect(refusal(() => parseRemove({ force: 1 }))).toBe('force');
});
