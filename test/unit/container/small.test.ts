import { describe, expect, test } from 'vitest';
import { asAborted, exitInfo } from '../../../lib/container/exit-info.js';
import { shellLine } from '../../../lib/container/quote.js';
import { Reason, Tag } from '../../../lib/native/protocol.js';
import { parseSignal, stopSignalNumber } from '../../../lib/native/signals.js';
import { FieldReader, FieldWriter } from '../../../lib/native/wire.js';
import { lostExit, readExit } from '../../../lib/runtime/raw-exit.js';

const sh = (text: TemplateStringsArray, ...values: unknown[]): string => shellLine(text, values);

describe('a shell line from a template', () => {
  test.each([
    [sh`ls ${'a b'}`, `ls 'a b'`],
    [sh`ls ${"it's"}`, `ls 'it'\\''s'`],
    [sh`ls ${''}`, `ls ''`],
    [sh`ls ${'-plain/path.txt:1'}`, 'ls -plain/path.txt:1'],
    [sh`ls ${['a', 'b c', 1]} ${2n} ${true}`, `ls a 'b c' 1 2 true`],
    [sh`ls ${[]}`, 'ls '],
    [sh`sed 's/\./x/' \`x\` \${HOME} \n`, "sed 's/\\./x/' `x` ${HOME} \\n"],
    [sh`${'a\nb;$x"`'}`, `'a\nb;$x"\`'`],
  ])('%j', (line, expected) => {
    expect(line).toBe(expected);
  });

  test.each([undefined, null, {}, () => 1, Symbol('x'), 'a\0b'])('%s is no word', (value) => {
    expect(() => sh`ls ${value}`).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
    );
  });
});

describe('signals', () => {
  test('by name', () => {
    expect(parseSignal('SIGUSR1', 's')).toBe(10);
    for (const value of ['TERM', 15, null]) {
      expect(() => parseSignal(value, 's')).toThrow();
    }
    expect(() => parseSignal('SIGTREM', 's')).toThrow(/"SIGTERM"/);
  });

  test('as images write them', () => {
    expect(['SIGQUIT', 'QUIT', '3', 'nonsense', '99', ''].map(stopSignalNumber)).toEqual([
      3, 3, 3, 15, 15, 15,
    ]);
  });
});

describe('how a process ended', () => {
  const exited = (fields: Partial<Record<keyof typeof Tag, number | bigint>>) => {
    const body = new FieldWriter(256);
    for (const [tag, value] of Object.entries(fields))
      body.u64(Tag[tag as keyof typeof Tag], value);
    return exitInfo(readExit(new FieldReader(body.bytes())));
  };

  test('an exit code, times to the microsecond, what it used', () => {
    const startedNs = 1_700_000_000_123_456_789n;
    const exit = exited({
      exitCode: 3,
      reason: Reason.exited,
      startedNs,
      finishedNs: startedNs + 5_000_000n,
      userUs: 10,
      systemUs: 20,
      maxRssBytes: 30,
    });
    expect(exit).toEqual({
      exitCode: 3,
      signal: null,
      reason: 'exited',
      oomKilled: false,
      startedAt: new Date(1_700_000_000_123),
      finishedAt: new Date(1_700_000_000_128),
      usage: { userUs: 10, systemUs: 20, maxRssBytes: 30 },
    });
  });

  test.each([
    [{ exitSignal: 9, reason: Reason.timeout }, 'SIGKILL', 'timeout'],
    [{ exitSignal: 6, reason: Reason.signaled }, 'SIGABRT', 'signaled'],
    [{ exitSignal: 36, reason: Reason.signaled }, 'SIGRTMIN+2', 'signaled'],
    [{ exitSignal: 9, reason: Reason.oom, oomKills: 1 }, 'SIGKILL', 'oom'],
  ])('%j', (fields, signal, reason) => {
    const { oomKills } = fields as { oomKills?: number };
    expect(exited(fields)).toMatchObject({
      exitCode: null,
      signal,
      reason,
      oomKilled: oomKills === 1,
    });
  });

  test('what nobody saw is lost, and nothing about it invented', () => {
    const exit = exitInfo(lostExit(), 5);
    expect(exit).toMatchObject({
      exitCode: null,
      signal: null,
      reason: 'lost',
      startedAt: new Date(5),
    });
    expect(exit).not.toHaveProperty('usage');
    expect(exited({ reason: 77 }).reason).toBe('lost');
  });

  test('only what was killed was aborted', () => {
    const killed = exited({ exitSignal: 9, reason: Reason.killed });
    const ended = exited({ exitCode: 0, reason: Reason.exited });
    expect([asAborted(killed).reason, asAborted(ended).reason]).toEqual(['aborted', 'exited']);
  });
});
