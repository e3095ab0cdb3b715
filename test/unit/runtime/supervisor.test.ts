import { describe, expect, test } from 'vitest';
import { PROTOCOL_VERSION, Reason, Tag, Type } from '../../../lib/native/protocol.js';
import { STEPS } from '../../../lib/native/steps.js';
import type { Binding, Channel, ChannelOptions } from '../../../lib/native/types.js';
import { FieldReader, FieldWriter } from '../../../lib/native/wire.js';
import type { RawExit } from '../../../lib/runtime/raw-exit.js';
import { Supervisor } from '../../../lib/runtime/supervisor.js';

type Done = Parameters<Channel['collect']>[5];

interface Sent {
  readonly type: number;
  readonly id: number;
  readonly fields: FieldReader;
  readonly fds: readonly number[];
}

/** `new` gives what a function returns. */
function constructing(make: (options: ChannelOptions) => Channel): Binding['Channel'] {
  return function construct(options: ChannelOptions) {
    return make(options);
  } as unknown as Binding['Channel'];
}

/** A channel whose other end is the test. */
class FakeChannel implements Channel {
  readonly pid = 4711;
  readonly sent: Sent[] = [];
  readonly collects = new Map<number, Done>();
  readonly closedFds: number[] = [];
  references = 0;
  closed = false;
  options!: ChannelOptions;
  welcome = new FieldWriter(64)
    .u64(Tag.version, PROTOCOL_VERSION)
    .u64(Tag.cgroupMode, 2)
    .u64(Tag.controls, 5)
    .u64(Tag.handPid, 7)
    .u64(Tag.handPid, 8)
    .bytes();

  readonly binding = {
    protocolVersion: PROTOCOL_VERSION,
    Channel: constructing((options) => {
      this.options = options;
      return this;
    }),
    pidOf: (fd: number) => fd * 100,
    closeFd: (fd: number) => this.closedFds.push(fd),
  } as unknown as Binding;

  send(type: number, id: number, body: Uint8Array, fds: readonly number[]): void {
    this.sent.push({ type, id, fields: new FieldReader(Uint8Array.from(body)), fds });
    if (type === Type.hello) this.answer(Type.welcome, id, this.welcome);
    if (type === Type.close) {
      this.answer(Type.done, id);
      queueMicrotask(() => {
        this.options.onClose({ exitCode: 0, signal: null });
      });
    }
  }

  answer(type: number, id: number, body: Uint8Array = new Uint8Array(0), fds: number[] = []): void {
    queueMicrotask(() => {
      this.options.onMessage(type, id, body, fds);
    });
  }

  collect(_t: number, id: number, _b: Uint8Array, _i: unknown, _m: number, done: Done): void {
    this.collects.set(id, done);
  }

  abandon(): null {
    return null;
  }

  close(): void {
    this.closed = true;
  }

  ref(): void {
    this.references += 1;
  }

  unref(): void {
    this.references -= 1;
  }
}

async function open(channel = new FakeChannel()): Promise<[Supervisor, FakeChannel]> {
  const options = { binding: channel.binding, executable: '/x', args: ['supervise'] };
  return [await Supervisor.start(options), channel];
}

const exitBody = (fields: [Tag, number][]): Uint8Array => {
  const body = new FieldWriter(128);
  for (const [tag, value] of fields) body.u64(tag, value);
  return body.bytes();
};

const failure = (step: string, errno: number, detail = ''): Uint8Array =>
  new FieldWriter(64)
    .u64(
      Tag.step,
      STEPS.findIndex(({ name }) => name === step),
    )
    .u64(Tag.errno, errno)
    .string(Tag.detail, detail)
    .bytes();

const settle = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await Promise.resolve();
};

const context = { action: 'test', argv0: 'prog' };
const nothing = new Uint8Array(0);

describe('hand-shake', () => {
  test('says its version and learns the facts', async () => {
    const [supervisor, channel] = await open();
    expect(channel.sent[0]).toMatchObject({ type: Type.hello, id: 1 });
    expect(channel.sent[0]?.fields.number(Tag.version)).toBe(PROTOCOL_VERSION);
    expect(supervisor.facts).toEqual({
      cgroupMode: 2,
      controls: 5,
      mappedGids: 2 ** 32 - 1,
      mappedUids: 2 ** 32 - 1,
      supervisorPid: -1,
      bootstrapPid: 4711,
      handPids: [7, 8],
    });
    expect(channel.references).toBe(0);
  });

  test('another version of either part is refused', async () => {
    const other = new FakeChannel();
    other.welcome = new FieldWriter(32).u64(Tag.version, PROTOCOL_VERSION + 1).bytes();
    await expect(open(other)).rejects.toMatchObject({
      code: 'ERR_PROTOCOL_MISMATCH',
      details: { expected: PROTOCOL_VERSION, found: PROTOCOL_VERSION + 1 },
    });
    expect(other.closed).toBe(true);
    const old = new FakeChannel();
    (old.binding as { protocolVersion: number }).protocolVersion = 0;
    await expect(open(old)).rejects.toMatchObject({ code: 'ERR_PROTOCOL_MISMATCH' });
  });

  test('why it did not start', async () => {
    const channel = new FakeChannel();
    channel.send = function send(type, id) {
      if (type === Type.hello) this.answer(Type.failed, id, failure('userNamespace', 1));
    };
    await expect(open(channel)).rejects.toMatchObject({
      code: 'ERR_SUPERVISOR_START',
      details: { step: 'userNamespace', errno: 'EPERM' },
    });
    // Said before Hello was read, so without its id.
    const early = new FakeChannel();
    early.send = function send() {
      this.answer(Type.failed, 0, failure('cgroupRoot', 13));
    };
    await expect(open(early)).rejects.toMatchObject({
      code: 'ERR_SUPERVISOR_START',
      details: { step: 'cgroupRoot', errno: 'EACCES' },
    });
    for (const [step, errno, code] of [
      ['journal', 28, 'ERR_STORE_FULL'],
      ['runFolder', 28, 'ERR_STORE_FULL'],
      ['runFolder', 30, 'ERR_SUPERVISOR_START'],
      ['userNamespace', 28, 'ERR_SUPERVISOR_START'],
    ] as const) {
      const channel = new FakeChannel();
      channel.send = function send() {
        this.answer(Type.failed, 0, failure(step, errno, '/run/folder'));
      };
      await expect(open(channel)).rejects.toMatchObject({ code });
    }
    const dead = new FakeChannel();
    dead.send = function send() {
      this.options.onClose({ exitCode: 1, signal: null });
    };
    await expect(open(dead)).rejects.toMatchObject({ code: 'ERR_SUPERVISOR_LOST' });
    const absent = new FakeChannel();
    (absent.binding as { Channel: unknown }).Channel = constructing(() => {
      throw Object.assign(new Error('spawn'), { code: 'ENOENT', errno: -2, syscall: 'execve' });
    });
    await expect(open(absent)).rejects.toMatchObject({
      code: 'ERR_SUPERVISOR_START',
      details: { errno: 'ENOENT', syscall: 'execve' },
    });
  });
});

test('answers find who asked, in any order', async () => {
  const [supervisor, channel] = await open();
  const one = supervisor.request(Type.remove, nothing, { action: 'test' });
  const two = supervisor.request(Type.remove, nothing, { action: 'test' });
  expect(channel.references).toBe(2);
  const [a, b] = channel.sent.slice(1);
  channel.answer(Type.done, b!.id, exitBody([[Tag.importBytes, 2]]));
  channel.answer(Type.failed, a!.id, failure('remove', 13));
  expect((await two).number(Tag.importBytes)).toBe(2);
  await expect(one).rejects.toMatchObject({
    code: 'ERR_REQUEST_FAILED',
    details: { step: 'remove', action: 'test' },
  });
  expect(channel.references).toBe(0);
});

test('an abort kills what was asked for, and waits for its end', async () => {
  const [supervisor, channel] = await open();
  const abort = new AbortController();
  const asked = supervisor.request(Type.import, nothing, { action: 'test' }, abort.signal);
  const { id } = channel.sent.at(-1)!;
  abort.abort(new Error('enough'));
  const kill = channel.sent.at(-1)!;
  expect(kill.type).toBe(Type.kill);
  expect(kill.fields.number(Tag.target)).toBe(id);
  let over = false;
  asked.catch(() => (over = true));
  await settle();
  expect(over).toBe(false);
  channel.answer(Type.done, kill.id, nothing);
  channel.answer(Type.failed, id, failure('import', 125));
  await expect(asked).rejects.toMatchObject({ name: 'AbortError', cause: { message: 'enough' } });

  // What had ended before it could be killed is not lost.
  const other = new AbortController();
  const quick = supervisor.request(Type.import, nothing, { action: 'test' }, other.signal);
  const late = channel.sent.at(-1)!.id;
  other.abort();
  channel.answer(Type.done, late, nothing);
  await quick;
  const sent = channel.sent.length;
  await expect(
    supervisor.request(Type.import, nothing, { action: 'test' }, other.signal),
  ).rejects.toMatchObject({ name: 'AbortError' });
  expect(channel.sent).toHaveLength(sent);
});

describe('launch', () => {
  test('started, then exited; descriptors that came are left to the channel', async () => {
    const [supervisor, channel] = await open();
    const seen: unknown[] = [];
    const id = supervisor.launch(Type.launch, nothing, [3, 4], context, {
      started: (pid) => seen.push(['started', pid]),
      exited: ({ exitCode, reason }) => seen.push(['exited', exitCode, reason]),
      failed: () => seen.push('failed'),
    });
    expect(channel.sent.at(-1)).toMatchObject({ id, fds: [3, 4] });
    channel.answer(Type.started, id, nothing, [9]);
    channel.answer(Type.exited, id, exitBody([[Tag.exitCode, 5]]));
    channel.answer(Type.exited, id, exitBody([[Tag.exitCode, 6]])); // nothing follows an end
    await settle();
    expect(seen).toEqual([
      ['started', 900],
      ['exited', 5, Reason.lost],
    ]);
    expect(channel.closedFds).toEqual([]);
  });

  test('when the supervisor is lost, what ran is lost and what was starting failed', async () => {
    const [supervisor, channel] = await open();
    const seen: unknown[] = [];
    const events = (name: string) => ({
      exited: ({ reason }: RawExit) => seen.push([name, reason]),
      failed: ({ code }: { code: string }) => seen.push([name, code]),
    });
    const running = supervisor.launch(Type.launch, nothing, [], context, events('running'));
    supervisor.launch(Type.launch, nothing, [], context, events('starting'));
    const asked = supervisor.request(Type.remove, nothing, context);
    const { result } = supervisor.collect(Type.exec, nothing, null, 10, context);
    channel.answer(Type.started, running, nothing, [9]);
    await settle();
    for (const done of channel.collects.values()) done(0, nothing, nothing, nothing, false);
    channel.options.onClose({ exitCode: null, signal: 9 });
    await expect(asked).rejects.toMatchObject({
      code: 'ERR_SUPERVISOR_LOST',
      details: { exitCode: null, signal: 'SIGKILL' },
    });
    await expect(result).rejects.toMatchObject({ code: 'ERR_SUPERVISOR_LOST' });
    expect(seen).toEqual([
      ['running', Reason.lost],
      ['starting', 'ERR_SUPERVISOR_LOST'],
    ]);

    // And afterwards nothing hangs, and no descriptor stays.
    supervisor.launch(Type.launch, nothing, [11, 12], context, events('late'));
    await settle();
    expect(seen.at(-1)).toEqual(['late', 'ERR_SUPERVISOR_LOST']);
    expect(channel.closedFds).toEqual([11, 12]);
    await expect(supervisor.request(Type.remove, nothing, context)).rejects.toMatchObject({
      code: 'ERR_SUPERVISOR_LOST',
    });
    const late = supervisor.collect(Type.exec, nothing, null, 10, context).result;
    await expect(late).rejects.toMatchObject({ code: 'ERR_SUPERVISOR_LOST' });
    await supervisor.close();
  });
});

test('collect brings output and end together', async () => {
  const [supervisor, channel] = await open();
  const { id, result } = supervisor.collect(Type.exec, nothing, null, 10, context);
  expect(channel.references).toBe(1);
  const body = exitBody([
    [Tag.exitCode, 0],
    [Tag.reason, Reason.exited],
  ]);
  channel.collects.get(id)?.(Type.exited, body, Buffer.from('out'), Buffer.from('err'), true);
  expect(await result).toMatchObject({ exit: { exitCode: 0 }, truncated: true });
  const other = supervisor.collect(Type.exec, nothing, null, 10, context);
  channel.collects.get(other.id)?.(
    Type.failed,
    failure('findExecutable', 2),
    nothing,
    nothing,
    false,
  );
  await expect(other.result).rejects.toMatchObject({
    code: 'ERR_COMMAND_NOT_FOUND',
    details: { command: 'prog' },
  });
  expect(channel.references).toBe(0);
});

test('close asks, waits for the end, and is shared', async () => {
  const [supervisor, channel] = await open();
  await Promise.all([supervisor.close(), supervisor.close()]);
  expect(channel.sent.filter(({ type }) => type === Type.close)).toHaveLength(1);
  expect([channel.closed, channel.references]).toEqual([true, 0]);
});
