import { inspect } from 'node:util';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { abortError, CaissonError, ExecError, throwIfAborted } from '../../../lib/errors/index.js';

describe('CaissonError', () => {
  const error = new CaissonError('ERR_IMAGE_NOT_FOUND', { reference: 'alpine\n' });

  test('carries code, details, hint and a message from the table', () => {
    expect(error.code).toBe('ERR_IMAGE_NOT_FOUND');
    expect(error.details).toEqual({ reference: 'alpine\n' });
    expect(error.message).toBe('no such image: "alpine\\n"');
    expect(error.hint).toContain('Image.list()');
    expect(error.name).toBe('CaissonError');
    expect(inspect(error)).toContain("code: 'ERR_IMAGE_NOT_FOUND'");
  });

  test('a thrower that knows better gives its own hint and cause', () => {
    const cause = new Error('x');
    const other = new CaissonError('ERR_IMAGE_NOT_FOUND', { reference: 'a' }, { hint: 'H', cause });
    expect(other.hint).toBe('H');
    expect(other.cause).toBe(cause);
    expect('cause' in error).toBe(false);
  });

  test('without a hint it has none, also where it is printed', () => {
    const bare = new CaissonError('ERR_PROCESS_NOT_FOUND', { process: 'x' });
    expect('hint' in bare).toBe(false);
    expect(inspect(bare)).not.toContain('hint');
    expect(inspect(error)).toContain('hint: ');
  });

  test('is() narrows by code', () => {
    expect(CaissonError.is(error)).toBe(true);
    expect(CaissonError.is(error, 'ERR_IMAGE_NOT_FOUND')).toBe(true);
    expect(CaissonError.is(error, 'ERR_NAME_IN_USE')).toBe(false);
    for (const other of [null, undefined, 'x', new Error('x'), { code: 'ERR_IMAGE_NOT_FOUND' }]) {
      expect(CaissonError.is(other)).toBe(false);
    }
  });

  test('is() knows errors of another copy of the package and of another realm', () => {
    const foreign: unknown = runInNewContext(
      `class CaissonError extends Error { get [Symbol.for('caisson.error')]() { return true; } }
       Object.assign(new CaissonError('x'), { code: 'ERR_NAME_IN_USE', details: {} })`,
    );
    expect(foreign instanceof CaissonError).toBe(false);
    expect(CaissonError.is(foreign, 'ERR_NAME_IN_USE')).toBe(true);
  });
});

test('ExecError has the result, and says how it ended', () => {
  const result = { exitCode: 3, signal: null, reason: 'exited', stdout: 'o' };
  const error = new ExecError('sh', result);
  expect(error.result).toBe(result);
  expect(error.details).toEqual({ argv0: 'sh', exitCode: 3, signal: null, reason: 'exited' });
  expect(error.message).toBe('"sh" exited with code 3 (exited)');
  expect(CaissonError.is(error, 'ERR_EXEC_FAILED')).toBe(true);
  expect(
    new ExecError('sh', { exitCode: null, signal: 'SIGKILL', reason: 'timeout' }).message,
  ).toBe('"sh" was ended by SIGKILL (timeout)');
});

describe('abortError', () => {
  test('is a DOMException with the reason as its cause, and the result', () => {
    const signal = AbortSignal.abort(new Error('enough'));
    const error = abortError(signal, { stdout: 'so far' });
    expect(error).toBeInstanceOf(DOMException);
    expect(error.name).toBe('AbortError');
    expect(error.cause).toBe(signal.reason);
    expect(error.result).toEqual({ stdout: 'so far' });
    expect('result' in abortError(signal)).toBe(false);
  });

  test('throwIfAborted throws it, or nothing', () => {
    expect(() => {
      throwIfAborted(AbortSignal.abort('why'));
    }).toThrow(expect.objectContaining({ name: 'AbortError', cause: 'why' }));
    throwIfAborted(undefined);
    throwIfAborted(new AbortController().signal);
  });
});
