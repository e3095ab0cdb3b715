// The runtime-spec's "hooks" and life cycle, in a bundle that the one-shot form of launch starts.
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { expect } from 'vitest';

import { launchBundle } from '../../lib/oci/launch-bundle.js';
import { bundle, configOf, type Bundle, type Config } from '../helpers/bundle.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';

const { describe, test } = needs('root', 'native', 'busybox');
checkLeaks();

const POINTS = [
  ...['prestart', 'createRuntime', 'createContainer'],
  ...['startContainer', 'poststart', 'poststop'],
] as const;

/** A hook that adds a line about itself to `log`, and runs `more`. */
function hook(point: string, log: string, more = 'true'): object {
  const line = `printf '%s|%s|%s\\n' ${point} "$(readlink /proc/self/ns/uts)" "$(cat)" >> ${log}`;
  return { path: '/bin/sh', args: ['sh', '-c', `${line}; ${more}`], env: ['PATH=/usr/bin:/bin'] };
}

/** All of them, each telling; startContainer's is in the container, where the log is mounted. */
function withHooks(folder: Bundle, script: string, failing?: string): Config {
  const config = configOf(script);
  const log = join(folder.path, 'log');
  config.mounts.push({ destination: '/log', source: 'log', options: ['bind'] });
  config['hooks'] = Object.fromEntries(
    POINTS.map((point) => [
      point,
      [
        hook(point, point === 'startContainer' ? '/log' : log),
        ...(point === failing ? [hook(`${point}-fails`, '/dev/null', 'exit 3')] : []),
      ],
    ]),
  );
  config['annotations'] = { 'org.example.key': 'a "quoted" value' };
  return config;
}

interface State {
  status: string;
  pid: number;
  ociVersion: string;
  id: string;
  bundle: string;
  annotations: object;
}

async function told(folder: Bundle): Promise<{ point: string; uts: string; state: State }[]> {
  const text = await readFile(join(folder.path, 'log'), 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [point = '', uts = '', state = ''] = line.split('|');
      return { point, uts, state: (state === 'main' ? {} : JSON.parse(state)) as State };
    });
}

async function ready(): Promise<Bundle> {
  const folder = await bundle();
  await writeFile(join(folder.path, 'log'), '');
  return folder;
}

describe('hooks of a bundle', () => {
  test('each at its point, in its namespaces, with the state', async () => {
    await using folder = await ready();
    await folder.write(withHooks(folder, "echo 'main||main' >> /log"));
    const { end, stderr } = await folder.run();
    expect({ end, stderr }).toEqual({ end: { exitCode: 0, signal: null }, stderr: '' });

    const lines = await told(folder);
    const order = lines.map(({ point }) => point);
    // The program itself and poststart run at the same time.
    expect(order.filter((point) => point !== 'main')).toEqual(POINTS);
    expect(order.indexOf('main')).toBeGreaterThan(order.indexOf('startContainer'));

    const of = new Map(lines.map((line) => [line.point, line]));
    const status = (point: string) => of.get(point)!.state.status;
    expect(POINTS.map(status)).toEqual([
      ...['creating', 'creating', 'creating', 'created', 'running', 'stopped'],
    ]);
    const uts = (point: string) => of.get(point)!.uts;
    const runtimes = uts('prestart');
    for (const point of ['createRuntime', 'poststart', 'poststop'])
      expect(uts(point)).toBe(runtimes);
    expect(uts('createContainer')).not.toBe(runtimes);
    expect(uts('startContainer')).toBe(uts('createContainer'));

    // The pid as whoever runs the hook sees it.
    const { pid } = of.get('prestart')!.state;
    expect(pid).toBeGreaterThan(1);
    expect(of.get('poststart')!.state.pid).toBe(pid);
    expect(of.get('createContainer')!.state.pid).toBe(1);
    const { ociVersion, id, bundle: path, annotations } = of.get('createRuntime')!.state;
    expect({ ociVersion, path, annotations }).toEqual({
      ociVersion: '1.0.2',
      path: folder.path,
      annotations: { 'org.example.key': 'a "quoted" value' },
    });
    expect(id).toMatch(/^caisson-test-/);
  });

  test.for(['prestart', 'createRuntime', 'createContainer', 'startContainer'] as const)(
    '%s that fails ends the start; what was to come is left out, poststop is not',
    async (point) => {
      await using folder = await ready();
      await folder.write(withHooks(folder, "echo 'main||main' >> /log", point));
      await expect(folder.run()).rejects.toMatchObject({
        code: 'ERR_LAUNCH_FAILED',
        details: { step: 'hook', path: '/bin/sh' },
      });
      const order = (await told(folder)).map((line) => line.point);
      expect(order).toEqual([...POINTS.slice(0, POINTS.indexOf(point) + 1), 'poststop']);
    },
  );

  test.for(['poststart', 'poststop'] as const)('%s that fails is a warning', async (point) => {
    await using folder = await ready();
    await folder.write(withHooks(folder, 'true', point));
    const { end, warnings } = await folder.run();
    expect(end).toEqual({ exitCode: 0, signal: null });
    expect(warnings).toMatchObject([{ code: 'ERR_LAUNCH_FAILED', details: { step: 'hook' } }]);
    expect((await told(folder)).map((line) => line.point)).toContain('poststop');
  });

  test('a timeout kills a hook', async () => {
    await using folder = await ready();
    const config = configOf('true');
    const slow = { path: '/bin/sleep', args: ['sleep', '60'], timeout: 1 };
    config['hooks'] = { createRuntime: [slow] };
    await folder.write(config);
    await expect(folder.run()).rejects.toMatchObject({
      details: { step: 'hook', errno: 'ETIMEDOUT' },
    });
  });

  test('a hook that is not there is said by name', async () => {
    await using folder = await ready();
    const config = configOf('true');
    config['hooks'] = { prestart: [{ path: '/no/such/hook' }] };
    await folder.write(config);
    await expect(folder.run()).rejects.toMatchObject({
      details: { step: 'hook', path: '/no/such/hook' },
    });
  });

  test.for([
    { path: 'relative' },
    { path: '/bin/true', timeout: 0 },
    { path: '/bin/true', timeout: -1 },
    { path: '/bin/true', args: [7] },
    {},
  ])('%j is refused', async (bad) => {
    await using folder = await ready();
    const config = configOf('true');
    config['hooks'] = { poststop: [bad] };
    await folder.write(config);
    await expect(folder.run()).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });

  test('what createContainer changes below the root is what the container sees', async () => {
    await using folder = await ready();
    const config = configOf('cat /injected');
    const script = `echo by a hook > ${folder.rootfs}/injected`;
    config['hooks'] = {
      createContainer: [{ path: '/bin/sh', args: ['sh', '-c', script], env: ['PATH=/bin'] }],
    };
    await folder.write(config);
    expect((await folder.run()).stdout).toBe('by a hook\n');
    await rm(join(folder.rootfs, 'injected'));
  });
});

/** A zombie is nobody's any more: who adopts it reaps it when it likes. */
async function isRunning(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return status !== '' && !/^State:\tZ/m.test(status);
}

describe('the life of a bundle', () => {
  test('created, held, started', async () => {
    await using folder = await ready();
    await folder.write(configOf('echo started'));
    const pidFile = join(folder.path, 'pid');
    const shot = await launchBundle({
      id: 'caisson-test',
      bundle: folder.path,
      hold: true,
      pidFile,
    });
    const pid = await shot.created;
    expect(Number(await readFile(pidFile, 'utf8'))).toBe(pid);
    // It has no program yet: what runs is the end of ours.
    expect(await readFile(`/proc/${pid}/comm`, 'utf8')).not.toBe('sh\n');
    shot.start();
    expect(await shot.ended).toEqual({ exitCode: 0, signal: null });
  });

  test.for(['the gate is closed', 'SIGTERM', 'SIGKILL'])('held and given up: %s', async (how) => {
    await using folder = await ready();
    await folder.write(configOf('echo never'));
    const shot = await launchBundle({ id: 'caisson-test', bundle: folder.path, hold: true });
    const pid = await shot.created;
    if (how.startsWith('SIG')) shot.process.kill(how as NodeJS.Signals);
    else (shot.process.stdio as unknown as Writable[])[5]!.destroy();
    await expect(shot.ended).rejects.toThrow();
    await expect.poll(() => isRunning(pid)).toBe(false);
    await folder.removeGroup();
  });

  test('signals reach the container', async () => {
    await using folder = await ready();
    await folder.write(configOf('trap "exit 9" TERM; echo up; while :; do sleep 0.1; done'));
    const shot = await launchBundle({ id: 'caisson-test', bundle: folder.path });
    await new Promise((resolve) => shot.process.stdout!.once('data', resolve));
    shot.process.kill('SIGTERM');
    expect(await shot.ended).toEqual({ exitCode: 9, signal: null });
  });

  test('the container ends with the process that answers for it', async () => {
    await using folder = await ready();
    await folder.write(configOf('echo up; sleep 600'));
    const shot = await launchBundle({ id: 'caisson-test', bundle: folder.path });
    const pid = await shot.created;
    await new Promise((resolve) => shot.process.stdout!.once('data', resolve));
    shot.process.kill('SIGKILL');
    await expect(shot.ended).rejects.toThrow('without a word');
    await expect.poll(() => isRunning(pid)).toBe(false);
    await folder.removeGroup();
  });
});
