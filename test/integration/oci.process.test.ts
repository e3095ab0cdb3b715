// The runtime-spec's "process", in a bundle that the one-shot form of launch starts, and runc too.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect } from 'vitest';

import { bundle, configOf, type Config } from '../helpers/bundle.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';

const { describe, test } = needs('root', 'native', 'busybox', 'runc');
checkLeaks();

const ID = 'id; grep -E "^(Uid|Gid|Groups|Cap|NoNewPrivs|Umask)" /proc/self/status';

/** What a change to the config makes of the process. */
const CASES: readonly [string, string, (config: Config) => void, RegExp][] = [
  [
    'args and env',
    'echo "$0|$A|$(env | sort | tr "\\n" " ")"',
    (c) => {
      (c.process['args'] as string[]).push('zero');
      c.process['env'] = ['PATH=/bin', 'A=b=c', 'EMPTY=', 'HOME=/x'];
    },
    /^zero\|b=c\|A=b=c EMPTY= HOME=\/x PATH=\/bin /,
  ],
  ['cwd', 'pwd', (c) => (c.process['cwd'] = '/tmp'), /^\/tmp\n$/],
  [
    'cwd is made',
    'pwd; stat -c "%a %u" .',
    (c) => (c.process['cwd'] = '/new/deep'),
    /^\/new\/deep\n755 0\n$/,
  ],
  [
    'user.uid and gid',
    ID,
    (c) => (c.process['user'] = { uid: 1000, gid: 2000 }),
    /Uid:\t1000\t1000\t1000\t1000\nGid:\t2000\t/,
  ],
  [
    'user.additionalGids',
    ID,
    (c) => (c.process['user'] = { uid: 7, gid: 8, additionalGids: [9, 2000] }),
    /Groups:\t(8 )?9 2000/,
  ],
  [
    'user.umask',
    'umask; touch /tmp/f; stat -c %a /tmp/f; rm /tmp/f',
    (c) => (c.process['user'] = { uid: 0, gid: 0, umask: 0o077 }),
    /^0077\n600\n$/,
  ],
  [
    'capabilities',
    'grep ^Cap /proc/self/status',
    (c) =>
      (c.process['capabilities'] = {
        bounding: ['CAP_KILL', 'CAP_CHOWN'],
        effective: ['CAP_KILL'],
        permitted: ['CAP_KILL', 'CAP_CHOWN'],
        inheritable: ['CAP_KILL'],
        ambient: ['CAP_KILL'],
      }),
    /CapInh:\t0000000000000020\nCapPrm:\t0000000000000021\nCapEff:\t0000000000000021\nCapBnd:\t0000000000000021\nCapAmb:/,
  ],
  [
    'no capabilities',
    'grep ^Cap /proc/self/status',
    (c) => (c.process['capabilities'] = {}),
    /CapEff:\t0000000000000000/,
  ],
  [
    'rlimits',
    'ulimit -n; ulimit -Hn; ulimit -c',
    (c) =>
      (c.process['rlimits'] = [
        { type: 'RLIMIT_NOFILE', soft: 100, hard: 200 },
        { type: 'RLIMIT_CORE', soft: 0, hard: 0 },
      ]),
    /^100\n200\n0\n$/,
  ],
  [
    'noNewPrivileges',
    'grep NoNewPrivs /proc/self/status',
    (c) => (c.process['noNewPrivileges'] = true),
    /NoNewPrivs:\t1/,
  ],
  [
    'oomScoreAdj',
    'cat /proc/self/oom_score_adj',
    (c) => (c.process['oomScoreAdj'] = 321),
    /^321\n$/,
  ],
  [
    'no noNewPrivileges',
    'grep NoNewPrivs /proc/self/status',
    (c) => (c.process['noNewPrivileges'] = false),
    /NoNewPrivs:\t0/,
  ],
];

/** Takes one terminal as an OCI command's caller does, and reads what is shown until its end. */
const CONSOLE = `
import array, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(1)
print("ready", end="", flush=True)
peer = server.accept()[0]
name, control, _, _ = peer.recvmsg(100, 100)
master = array.array("i", control[0][2])[0]
os.set_blocking(master, True)
os.write(master, b"typed\\n")
shown = b""
while True:
    try:
        part = os.read(master, 4096)
    except OSError:
        break
    if not part:
        break
    shown += part
print(shown.decode(), end="")
`;

describe('process of a bundle', () => {
  test.for(CASES)('%s', async ([, script, change, expected]) => {
    await using folder = await bundle();
    const config = configOf(script);
    change(config);
    const { ours, runc } = await folder.both(config);
    expect(ours).toMatch(expected);
    // What is said in the "differences" of docs/oci.md is not compared.
    expect(comparable(ours)).toBe(comparable(runc));
  });

  test('its exit code and signal are told', async () => {
    await using folder = await bundle();
    await folder.write(configOf('exit 7'));
    expect((await folder.run()).end).toEqual({ exitCode: 7, signal: null });
    await folder.write(configOf('kill -TERM $$; sleep 5'));
    // Process 1 of a pid namespace has no default actions: it goes on.
    await folder.write(configOf('sh -c "kill -KILL \\$\\$"; exit $?'));
    expect((await folder.run()).end).toEqual({ exitCode: 137, signal: null });
  });

  test('terminal, with consoleSize and a console socket', async () => {
    await using folder = await bundle();
    const socket = join(folder.path, 'console');
    const viewer = spawn('python3', ['-c', CONSOLE, socket]);
    await new Promise((resolve) => viewer.stdout.once('data', resolve));
    const shown = text(viewer.stdout);
    const config = configOf('tty; stty size; read line; echo "got $line" > /dev/console');
    config.process['terminal'] = true;
    config.process['consoleSize'] = { height: 31, width: 97 };
    await folder.write(config);
    const { end } = await folder.run({ consoleSocket: socket });
    expect(end).toEqual({ exitCode: 0, signal: null });
    const lines = (await shown).split('\r\n').filter((line) => line !== 'typed');
    expect(lines).toEqual(['/dev/pts/0', '31 97', 'got typed', '']);
  });

  test('a terminal and a console socket go together', async () => {
    await using folder = await bundle();
    const config = configOf('true');
    await folder.write(config);
    const refused = { details: { step: 'terminal', errno: 'EINVAL' } };
    await expect(folder.run({ consoleSocket: '/x' })).rejects.toMatchObject(refused);
    config.process['terminal'] = true;
    await folder.write(config);
    await expect(folder.run()).rejects.toMatchObject(refused);
  });

  test('a program that is not there is said by name', async () => {
    await using folder = await bundle();
    const config = configOf('');
    config.process['args'] = ['no-such-program'];
    await folder.write(config);
    await expect(folder.run()).rejects.toMatchObject({
      code: 'ERR_COMMAND_NOT_FOUND',
      details: { command: 'no-such-program' },
    });
  });

  test.for([
    ['apparmorProfile', 'nonesuch'],
    ['selinuxLabel', 'system_u:system_r:nonesuch_t:s0'],
  ] as const)('%s: %s, which the machine has not', async ([name, value]) => {
    await using folder = await bundle();
    const config = configOf('true');
    config.process[name] = value;
    await folder.write(config);
    await expect(folder.run()).rejects.toMatchObject({ code: 'ERR_UNSUPPORTED' });
    config.process[name] = ''; // none
    await folder.write(config);
    expect(await folder.run()).toMatchObject({ stderr: '' });
  });

  test.for([
    ['selinuxLabel', 'system_u:system_r'],
    ['args', []],
    ['cwd', 'relative'],
    ['rlimits', [{ type: 'RLIMIT_NO', soft: 1, hard: 1 }]],
    ['rlimits', [{ type: 'RLIMIT_NOFILE', soft: 2, hard: 1 }]],
    ['user', { uid: -1, gid: 0 }],
    ['user', { uid: 2 ** 32, gid: 0 }],
    ['capabilities', { bounding: ['CAP_NOTHING'] }],
    ['env', ['a\0b']],
  ] as const)('%s: %j is refused', async ([name, value]) => {
    await using folder = await bundle();
    const config = configOf('true');
    config.process[name] = value;
    await folder.write(config);
    const refused = { code: 'ERR_INVALID_ARGUMENT' };
    await expect(folder.run()).rejects.toMatchObject(refused);
  });
});

/** Without the primary group among the supplementary ones, which runc leaves out (CVE-2022-36109). */
function comparable(text: string): string {
  return text.replace(/^Groups:.*$/m, '').replace(/ groups=.*$/m, '');
}
