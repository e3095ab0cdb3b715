import { readlinkSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { describe, expect } from 'vitest';

import {
  Container,
  Runtime,
  type Container as Box,
  type ContainerOptions,
} from '../../lib/index.js';
import { needs } from '../helpers/needs.js';
import { timeoutMs } from '../helpers/patience.js';
import { rejection, testRuntime } from '../helpers/runtime.js';

const { test } = needs('native', 'userns');
const t = testRuntime();

type Kind = 'net' | 'ipc' | 'uts' | 'pid';

/** Which namespace, as the kernel numbers them. */
async function namespaceOf(box: Box, kind: Kind): Promise<string> {
  return (await box.exec(['readlink', `/proc/self/ns/${kind}`])).stdout.trim();
}
const own = (kind: Kind): string => readlinkSync(`/proc/self/ns/${kind}`);

function asking(kind: Kind, whose: string): Partial<ContainerOptions> {
  return kind === 'net' ? { networks: whose as 'host' } : { security: { [kind]: whose as 'host' } };
}

const run = t.sh;

describe('unless told otherwise', () => {
  test('each container has namespaces of its own', async () => {
    await using one = await t.sleeper();
    await using two = await t.sleeper();
    for (const kind of ['net', 'ipc', 'uts', 'pid'] as const) {
      const [a, b] = [await namespaceOf(one, kind), await namespaceOf(two, kind)];
      expect(new Set([a, b, own(kind)]).size).toBe(3);
    }
  });
});

describe("the machine's", () => {
  test.each(['net', 'ipc', 'uts'] as const)('%s, at start, exec and run', async (kind) => {
    await using box = await t.sleeper(asking(kind, 'host'));
    expect(await namespaceOf(box, kind)).toBe(own(kind));
    const { stdout } = await run(`readlink /proc/self/ns/${kind}`, asking(kind, 'host'));
    expect(stdout.trim()).toBe(own(kind));
    for (const other of (['net', 'ipc', 'uts', 'pid'] as const).filter((one) => one !== kind)) {
      expect(await namespaceOf(box, other)).not.toBe(own(other));
    }
  });

  test('network: its interfaces, names and /sys', async () => {
    const { stdout } = await run(
      'cat /etc/hosts; echo =; tail -n +3 /proc/net/dev | cut -d: -f1; echo =; ls /sys/class/net; hostname',
      asking('net', 'host'),
    );
    const [hosts, interfaces, shown] = stdout.split('=\n');
    expect(hosts!.trim()).toBe(readFileSync('/etc/hosts', 'utf8').trim());
    const words = (text: string): string[] => text.split(/\s+/).filter(Boolean).sort();
    const ours = readFileSync('/proc/net/dev', 'utf8').split('\n').slice(2);
    expect(words(interfaces!)).toEqual(words(ours.map((line) => line.split(':')[0]!).join(' ')));
    expect(words(shown!)).toEqual([...words(interfaces!), hostname()].sort());
  });

  test('ipc: its /dev/shm', async () => {
    const name = `caisson-test-${process.pid}`;
    try {
      await run(`echo hello > /dev/shm/${name}`, asking('ipc', 'host'));
      expect(readFileSync(`/dev/shm/${name}`, 'utf8')).toBe('hello\n');
    } finally {
      await run(`rm /dev/shm/${name}`, asking('ipc', 'host'));
    }
  });

  test('uts: its name, which is not changed', async () => {
    const before = hostname();
    expect((await run('hostname', asking('uts', 'host'))).stdout).toBe(`${before}\n`);
    expect(hostname()).toBe(before);
    expect(
      await rejection(t.sleeper({ ...asking('uts', 'host'), hostname: 'mine' })),
    ).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', details: { option: 'hostname' } });
  });
});

describe("another container's", () => {
  test.each(['net', 'ipc', 'uts', 'pid'] as const)('%s, by name and id', async (kind) => {
    await using one = await t.sleeper({ name: 'one' });
    for (const wanted of ['one', one.id, one.id.slice(0, 12)]) {
      await using two = await t.sleeper(asking(kind, `container:${wanted}`));
      expect(await namespaceOf(two, kind)).toBe(await namespaceOf(one, kind));
      const info = await two.inspect();
      const oci = kind === 'net' ? 'network' : kind;
      expect(info.spec.linux.namespaces).toContainEqual({ type: oci, path: `container:${one.id}` });
      expect(await namespaceOf(two, 'mnt' as Kind)).not.toBe(await namespaceOf(one, 'mnt' as Kind));
    }
    const { stdout } = await run(`readlink /proc/self/ns/${kind}`, asking(kind, 'container:one'));
    expect(stdout.trim()).toBe(await namespaceOf(one, kind));
  });

  test('network: they reach each other, and names are the same', async () => {
    await using one = await t.sleeper({ hostname: 'box', extraHosts: { db: '10.9.8.7' } });
    const options = asking('net', `container:${one.id}`);
    await using two = await t.sleeper(options);
    const listen = await one.spawn(['perl', '-MIO::Socket::INET', '-e', SERVE]);
    const text = await new Promise<string>((resolve) =>
      listen.stdout.once('data', (bytes: Buffer) => resolve(String(bytes))),
    );
    const { stdout } = await two.exec(['perl', '-MIO::Socket::INET', '-e', CALL, text.trim()]);
    expect(stdout).toBe('hello');
    expect((await two.exec(['cat', '/etc/hosts'])).stdout).toBe(
      (await one.exec(['cat', '/etc/hosts'])).stdout,
    );
    expect((await two.exec(['hostname'])).stdout).toBe('box\n');
    expect((await two.exec(['ls', '/sys/class/net'])).stdout).toBe('lo\n');
    expect(await rejection(t.sleeper({ ...options, dns: { servers: ['1.1.1.1'] } }))).toMatchObject(
      { code: 'ERR_INVALID_ARGUMENT', details: { option: 'dns' } },
    );
  });

  test('ipc: /dev/shm and System V objects', async () => {
    await using one = await t.sleeper();
    await using two = await t.sleeper(asking('ipc', `container:${one.id}`));
    await one.exec(['sh', '-c', 'echo hello > /dev/shm/x']);
    expect((await two.exec(['cat', '/dev/shm/x'])).stdout).toBe('hello\n');
    expect((await two.exec(['sh', '-c', 'grep " /dev/shm " /proc/mounts'])).stdout).toMatch(
      /^tmpfs \/dev\/shm tmpfs rw,nosuid,nodev,noexec/,
    );
    const made = await one.exec(['perl', '-e', 'print shmget(4242, 4096, 0666 | 01000)']);
    const found = await two.exec(['perl', '-e', 'print shmget(4242, 0, 0) // "none"']);
    expect(found.stdout).toBe(made.stdout);
  });

  test('it lives on when the other one ends, and is refused at the next start', async () => {
    const one = await t.sleeper({ hostname: 'box' });
    const options = {
      networks: `container:${one.id}` as const,
      security: { uts: `container:${one.id}`, ipc: `container:${one.id}` } as const,
    };
    await using two = await t.sleeper(options);
    const before = await namespaceOf(two, 'net');
    await one.remove({ force: true });
    expect(await namespaceOf(two, 'net')).toBe(before);
    expect((await two.exec(['hostname'])).stdout).toBe('box\n');
    await two.stop({ graceMs: 0 });
    expect(await rejection(two.start())).toMatchObject({
      code: 'ERR_CONTAINER_REMOVED',
      details: { container: one.name, action: 'share the network namespace of' },
    });
    expect((await two.inspect()).state).toBe('exited');
  });

  test('it is that of the present run', async () => {
    await using one = await t.sleeper();
    await using two = await t.sleeper(asking('net', `container:${one.id}`));
    const before = await namespaceOf(one, 'net');
    await one.stop({ graceMs: 0 });
    await one.start();
    expect(await namespaceOf(two, 'net')).toBe(before);
    await two.stop({ graceMs: 0 });
    await two.start();
    expect(await namespaceOf(two, 'net')).toBe(await namespaceOf(one, 'net'));
  });

  test.each(['net', 'ipc', 'uts'] as const)('%s of one that has the machine’s', async (kind) => {
    await using one = await t.sleeper(asking(kind, 'host'));
    await using two = await t.sleeper(asking(kind, `container:${one.id}`));
    expect(await namespaceOf(two, kind)).toBe(own(kind));
  });

  test('one that is not there, does not run, or is another Runtime’s', async () => {
    const asked = (wanted: string) => rejection(t.sleeper(asking('net', `container:${wanted}`)));
    expect(await asked('nonesuch')).toMatchObject({
      code: 'ERR_CONTAINER_NOT_FOUND',
      details: { container: 'nonesuch' },
    });
    await using idle = await Container.create({
      image: t.image,
      argv: ['true'],
      runtime: t.runtime,
      name: 'idle',
    });
    expect(await asked(idle.id)).toMatchObject({
      code: 'ERR_CONTAINER_NOT_RUNNING',
      details: { container: 'idle', state: 'created', action: 'share the network namespace of' },
    });
    const other = await Runtime.open(t.store.options);
    try {
      const foreign = await other.containers.start({ image: t.image, argv: ['sleep', '100'] });
      expect(await asked(foreign.id)).toMatchObject({ code: 'ERR_UNSUPPORTED' });
    } finally {
      await other.close();
    }
    expect(await Container.list({ runtime: t.runtime, all: true })).toHaveLength(1);
  });
});

const SERVE = `$| = 1; my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1") or die;
print $s->sockport, "\\n"; my $c = $s->accept; print $c "hello"; close $c;`;
const CALL = `my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => shift) or die $!; print <$c>;`;

describe('a pid namespace that is another container’s', () => {
  const sharing = (one: Box): Partial<ContainerOptions> => asking('pid', `container:${one.id}`);

  test('they see and may signal each other; /proc shows it', async () => {
    await using one = await t.sleeper();
    await using two = await t.sleeper({ ...sharing(one), argv: ['sleep', '4243'] });
    expect((await two.exec(['sh', '-c', 'tr "\\0" " " < /proc/1/cmdline'])).stdout).toBe(
      'sleep infinity ',
    );
    expect(await commands(one)).toContain('sleep 4243');
    await one.exec([
      'sh',
      '-c',
      `for p in /proc/[0-9]*; do ${IS_4243} && kill "\${p#/proc/}"; done`,
    ]);
    expect(await two.wait()).toMatchObject({ signal: 'SIGTERM', reason: 'signaled' });
    expect((await one.inspect()).state).toBe('running');
  });

  test.each<[string, string, (box: Box) => Promise<unknown>]>([
    ['kill', 'killed', (box) => box.kill()],
    ['stop', 'killed', (box) => box.stop({ graceMs: 0 })],
    ['a timeout', 'timeout', (box) => box.wait()],
  ])('%s ends all it has started and nothing else', async (_, reason, end) => {
    await using one = await t.sleeper();
    await using two = await t.sleeper({
      ...sharing(one),
      argv: ['sh', '-c', 'setsid sleep 4244 & setsid setsid sleep 4244 & sleep 4244'],
      ...(reason === 'timeout' ? { timeoutMs: timeoutMs(0.5) } : {}),
    });
    const exec = two.exec(['sleep', '4245']);
    await until(async () => (await commands(one)).split('4244').length > 3);
    const exited = two.wait();
    await end(two);
    expect(await exited).toMatchObject({ exitCode: null, signal: 'SIGKILL', reason });
    expect(await exec).toMatchObject({ signal: 'SIGKILL', reason: 'killed' });
    expect(await commands(one)).not.toMatch(/424[45]/);
    expect((await one.inspect()).state).toBe('running');
  });

  test('its end is the end of what it left behind', async () => {
    await using one = await t.sleeper();
    const line = 'setsid sleep 4246 >/dev/null 2>&1 & exit 7';
    expect((await run(line, sharing(one))).exitCode).toBe(7);
    expect(await commands(one)).not.toContain('4246');
  });

  test('the other one’s end is its end', async () => {
    const one = await t.sleeper();
    await using two = await t.sleeper(sharing(one));
    const exec = two.exec(['sleep', '4247']);
    await until(async () => (await commands(one)).includes('4247'));
    const [exit] = await Promise.all([two.wait(), one.wait(), one.kill()]);
    expect(exit).toMatchObject({ exitCode: null, signal: 'SIGKILL', reason: 'killed' });
    expect(await exec).toMatchObject({ signal: 'SIGKILL', reason: 'killed' });
    expect(await rejection(two.start())).toMatchObject({
      code: 'ERR_CONTAINER_NOT_RUNNING',
      details: { container: one.name, state: 'exited' },
    });
    await one.remove();
  });

  test('by itself, it ends the others with a signal', async () => {
    await using one = await t.sleeper({ argv: ['sh', '-c', 'read x'], stdin: 'pipe' });
    await using two = await t.sleeper(sharing(one));
    const joined = await one.attach();
    joined.stdin!.end('go\n');
    expect(await one.wait()).toMatchObject({ exitCode: 0 });
    expect(await two.wait()).toMatchObject({ signal: 'SIGKILL', reason: 'signaled' });
  });

  test('a command that is not there is told, and leaves nothing', async () => {
    await using one = await t.sleeper();
    const two = t.sleeper({ ...sharing(one), argv: ['nonesuch'] });
    expect(await rejection(two)).toMatchObject({ code: 'ERR_COMMAND_NOT_FOUND' });
    expect(await commands(one)).not.toContain('caisson');
  });

  test('a signal, an exit code, output', async () => {
    await using one = await t.sleeper();
    const line = 'trap "echo caught; exit 3" USR1; echo ready; while :; do sleep 0.05; done';
    await using two = await t.sleeper({ ...sharing(one), argv: ['sh', '-c', line] });
    await until(async () => (await commands(one)).includes('caught'));
    await new Promise((resolve) => setTimeout(resolve, 200));
    await two.kill('SIGUSR1');
    expect(await two.wait()).toMatchObject({ exitCode: 3, reason: 'exited' });
  });

  test('many, ended with their Runtime', async () => {
    const one = await t.sleeper();
    await Promise.all(Array.from({ length: 8 }, () => t.sleeper(sharing(one))));
    await t.runtime.close();
  });
});

const IS_4243 = '[ "$(cat $p/comm)" = sleep ] && grep -q 4243 $p/cmdline';

async function commands(box: Box): Promise<string> {
  const line = 'for f in /proc/[0-9]*/cmdline; do tr "\\0" " " < $f; echo; done';
  return (await box.exec(['sh', '-c', line])).stdout;
}

async function until(look: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (await look()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('it did not come about');
}
