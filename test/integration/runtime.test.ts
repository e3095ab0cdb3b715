import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

import { Container, Image, Runtime } from '../../lib/index.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import { programs } from '../helpers/program.js';
import { rejection, rootless } from '../helpers/runtime.js';
import { tempFolder, tempStore } from '../helpers/temp.js';

const { describe, test } = needs('native', 'userns');
const image = Image.host();
const program = programs();
checkLeaks();

describe('open and close', () => {
  test('makes a store that only its owner enters; leaves no run folder', async () => {
    await using store = await tempStore();
    const runtime = await Runtime.open(store.options);
    expect(runtime.id).toMatch(/^[0-9a-f]{16}$/);
    expect(statSync(store.root).mode & 0o777).toBe(0o700);
    expect(readdirSync(store.runDir)).toEqual([runtime.id]);
    await Promise.all([runtime.close(), runtime.close()]);
    await runtime[Symbol.asyncDispose]();
    expect(readdirSync(store.runDir)).toEqual([]);
  });

  test('close takes all its containers, in any state', async () => {
    await using store = await tempStore();
    const runtime = await Runtime.open(store.options);
    const options = { image, runtime, argv: ['sleep', 'infinity'] };
    await Container.create({ ...options, name: 'created' });
    await Container.start({ ...options, name: 'running' });
    const ended = await Container.start({ ...options, argv: ['true'] });
    await ended.wait();
    const call = Container.run(image, ['sleep', 'infinity'], { runtime });
    await sleep(100);
    await runtime.close();
    expect(await call).toMatchObject({ exitCode: null, signal: 'SIGKILL', reason: 'killed' });
    expect(readdirSync(join(store.root, 'containers'))).toEqual(['.names']);
    expect(readdirSync(join(store.root, 'containers', '.names'))).toEqual([]);
    expect(readdirSync(join(store.root, 'scratch'))).toEqual([]);
  });

  test('afterwards every call says so', async () => {
    await using store = await tempStore();
    const runtime = await Runtime.open(store.options);
    const box = await Container.create({ image, runtime, argv: ['true'] });
    await runtime.close();
    const calls = [
      Container.run(image, ['true'], { runtime }),
      Container.create({ image, runtime, argv: ['true'] }),
      Container.list({ runtime }),
      Container.get('x', { runtime }),
    ];
    for (const call of calls) {
      expect(await rejection(call)).toMatchObject({ code: 'ERR_RUNTIME_CLOSED' });
    }
    expect(await rejection(box.start())).toMatchObject({
      code: expect.stringMatching(/^ERR_(RUNTIME_CLOSED|CONTAINER_REMOVED)$/) as string,
    });
    expect(() => runtime.events()).toThrow(expect.objectContaining({ code: 'ERR_RUNTIME_CLOSED' }));
  });

  test('several at once, on one store and on several', async () => {
    await using one = await tempStore();
    await using two = await tempStore();
    const runtimes = await Promise.all([one, one, two].map((store) => Runtime.open(store.options)));
    const results = await Promise.all(
      runtimes.map((runtime, i) => Container.run(image, ['echo', String(i)], { runtime })),
    );
    expect(results.map(({ stdout }) => stdout)).toEqual(['0\n', '1\n', '2\n']);
    await Promise.all(runtimes.map((runtime) => runtime.close()));
  });

  test('its labels are on what it creates, below the own ones of that', async () => {
    await using store = await tempStore();
    const labels = { owner: 'tests', tier: 'one' };
    await using runtime = await Runtime.open({ ...store.options, labels });
    labels.owner = 'changed later';
    const options = { image, argv: ['true'], labels: { tier: 'two', own: '' } };
    await using box = await runtime.containers.create(options);
    expect((await box.inspect()).labels).toEqual({ owner: 'tests', tier: 'two', own: '' });
    const names = async (wanted: object): Promise<string[]> =>
      (await runtime.containers.list({ all: true, filter: { labels: { ...wanted } } })).map(
        ({ name }) => name,
      );
    expect(await names({ owner: 'tests' })).toEqual([box.name]);
    expect(await names({ tier: 'one' })).toEqual([]);
  });

  test('an abort leaves nothing', async () => {
    await using store = await tempStore();
    for (let i = 0; i < 20; i++) {
      const controller = new AbortController();
      setTimeout(() => {
        controller.abort('now');
      }, i);
      await Runtime.open({ ...store.options, signal: controller.signal }).then(
        (runtime) => runtime.close(),
        (error: unknown) => {
          expect(error).toMatchObject({ name: 'AbortError', cause: 'now' });
        },
      );
    }
  });

  test('events', async () => {
    await using store = await tempStore();
    const runtime = await Runtime.open(store.options);
    const seen: string[] = [];
    const events = runtime.events();
    let exits = 0;
    runtime.on('container.exit', () => (exits += 1));
    const box = await Container.start({ image, runtime, argv: ['true'] });
    await box.wait();
    await box.remove();
    await runtime.close();
    for await (const { type } of events) seen.push(type);
    expect(seen).toEqual([
      'container.create',
      'container.start',
      'container.exit',
      'container.remove',
      'close',
    ]);
    expect(exits).toBe(1);
  });
});

describe('what cannot be opened says why', () => {
  test('options', async () => {
    for (const [options, option] of [
      [{ rot: '/x' }, 'rot'],
      [{ root: 'x' }, 'root'],
      [{ root: '/x\n' }, 'root'],
      [{ mode: 'sudo' }, 'mode'],
      [{ labels: { a: 1 } }, 'labels.a'],
      [{ labels: { '': 'a' } }, 'labels'],
      [{ cgroupParent: 'x' }, 'cgroupParent'],
    ] as const) {
      expect(await rejection(Runtime.open(options as object))).toMatchObject({
        code: 'ERR_INVALID_ARGUMENT',
        details: { option },
      });
    }
    expect(await rejection(Runtime.open({ lease: 'none' }))).toMatchObject({
      code: 'ERR_UNSUPPORTED',
    });
  });

  test('folders that are something else', async () => {
    await using folder = await tempFolder();
    const file = join(folder.path, 'file');
    writeFileSync(file, '');
    mkdirSync(join(folder.path, 'other'));
    writeFileSync(join(folder.path, 'other', 'mine'), '');
    const runDir = join(folder.path, 'run');
    for (const root of [file, join(file, 'x'), join(folder.path, 'other')]) {
      expect(await rejection(Runtime.open({ root, runDir }))).toMatchObject({
        code: 'ERR_STORE_UNUSABLE',
        details: { root },
      });
    }
    const root = join(folder.path, 'root');
    expect(await rejection(Runtime.open({ root, runDir: file }))).toMatchObject({
      code: 'ERR_STORE_UNUSABLE',
    });
    // Its store was begun beside it: nothing of that goes on behind the rejection, and the next one ends it.
    expect(readdirSync(root)).toContain('scratch');
    expect(existsSync(join(root, 'store.json'))).toBe(false);
    await (await Runtime.open({ root, runDir })).close();
    expect(existsSync(join(root, 'store.json'))).toBe(true);
  });
});

describe('when processes die', () => {
  test('the supervisor: what runs is lost, calls reject, the next Runtime works', async () => {
    await using store = await tempStore();
    const runtime = await Runtime.open(store.options);
    const box = await Container.start({ image, runtime, argv: ['sleep', 'infinity'], name: 'box' });
    const { pid } = await box.inspect();
    const spawned = await box.spawn(['sleep', 'infinity']);
    const calls = [
      Container.run(image, ['sleep', 'infinity'], { runtime }),
      box.exec(['sleep', 'infinity']),
    ];
    const refused = calls.map((call) => rejection(call));
    const idle = await Container.create({ image, runtime, argv: ['true'] });
    const never = rejection(idle.wait());
    await sleep(100);
    killSupervisor(runtime.id);
    for (const error of await Promise.all(refused)) {
      expect(error).toMatchObject({ code: 'ERR_SUPERVISOR_LOST' });
    }
    expect(await box.wait()).toMatchObject({ reason: 'lost', exitCode: null, signal: null });
    expect(await spawned.exited).toMatchObject({ reason: 'lost' });
    expect(await never).toMatchObject({ code: 'ERR_CONTAINER_REMOVED' });
    expect(await rejection(box.exec(['true']))).toMatchObject({ code: 'ERR_CONTAINER_REMOVED' });
    expect(await rejection(Container.run(image, ['true'], { runtime }))).toMatchObject({
      code: 'ERR_SUPERVISOR_LOST',
    });
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    await box[Symbol.asyncDispose]();
    await runtime.close();

    await using next = await Runtime.open(store.options);
    await using again = await next.containers.create({ image, argv: ['true'], name: 'box' });
    expect(again.name).toBe('box');
  });

  test('the program, by SIGKILL, exit, and a throw: nothing is left', async () => {
    for (const end of ['process.kill(process.pid, "SIGKILL")', 'process.exit(3)', 'throw 1']) {
      await using store = await tempStore();
      const script = `
        const { Container, Image, Runtime } = caisson;
        const runtime = await Runtime.open(${JSON.stringify(store.options)});
        const image = Image.host();
        const box = await Container.start({ image, runtime, argv: ['sleep', 'infinity'], name: 'box' });
        void box.exec(['sleep', 'infinity']); void Container.run(image, ['sleep', 'infinity'], { runtime });
        await new Promise((r) => setTimeout(r, 100));
        console.log((await box.inspect()).pid);
        ${end};`;
      const { stdout } = await program(script);
      const pid = Number(stdout);
      expect(pid).toBeGreaterThan(0);
      await until(() => !existsSync(`/proc/${pid}`) && readdirSync(store.runDir).length === 0);
      await using next = await Runtime.open(store.options);
      const box = await next.containers.create({ image, argv: ['true'], name: 'box' });
      await box.remove();
    }
  });
});

test('a program ends when it has nothing to wait for, and not before', async () => {
  await using store = await tempStore();
  const script = `
    const { Container, Image, Runtime } = caisson;
    const runtime = await Runtime.open(${JSON.stringify(store.options)});
    const box = await Container.start({ image: Image.host(), runtime, argv: ['sleep', '0.3'] });
    const waited = process.argv[1] === 'wait' ? box.wait() : undefined;
    const begin = performance.now();
    process.on('exit', () => console.log(performance.now() - begin > 250));
    await waited;`;
  expect((await program(script)).stdout).toBe('false\n');
  expect((await program(script, 'wait')).stdout).toBe('true\n');
  await until(() => readdirSync(store.runDir).length === 0);
});

test('worker threads: each has its own, and what it leaves is gone with it', async () => {
  await using store = await tempStore();
  const script = `
    const { Worker } = await import('node:worker_threads');
    const source = (end) => \`
      import { parentPort } from 'node:worker_threads';
      const { Container, Image, Runtime } = await import(\${JSON.stringify('file://' + process.env.LIBRARY)});
      const runtime = await Runtime.open(${JSON.stringify(store.options)});
      const image = Image.host();
      const { stdout } = await Container.run(image, ['echo', 'from a worker'], { runtime });
      const box = await Container.start({ image, runtime, argv: ['sleep', 'infinity'] });
      parentPort.postMessage([stdout, (await box.inspect()).pid]);
      \${end}\`;
    const answers = await Promise.all(['await box.wait();', 'process.exit()', 'throw 1'].map((end) =>
      new Promise((resolve) => {
        const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(source(end))));
        worker.on('error', () => undefined);
        worker.once('message', async (answer) => {
          if (end.startsWith('await')) await worker.terminate();
          resolve(answer);
        });
      })));
    await new Promise((resolve) => setTimeout(resolve, 700));
    const { existsSync } = await import('node:fs');
    for (const [stdout, pid] of answers) console.log(stdout.trim(), existsSync('/proc/' + pid));`;
  const { stdout, stderr } = await program(script);
  expect([stdout, stderr]).toEqual(['from a worker false\n'.repeat(3), '']);
  await until(() => readdirSync(store.runDir).length === 0);
});

test('importing the package loads nothing native', async () => {
  const { stdout } = await program(`
    const { sharedObjects } = process.report.getReport();
    console.log(Object.keys(caisson).includes('Container'), sharedObjects.filter((p) => p.endsWith('.node')));`);
  expect(stdout).toBe('true []\n');
});

test.skipIf(rootless)('rootless as root: a user namespace of its own', async () => {
  await using store = await tempStore();
  await using runtime = await Runtime.open({ ...store.options, mode: 'rootless' });
  const { stdout } = await Container.run(image, ['cat', '/proc/self/uid_map'], { runtime });
  expect(stdout.trim().split(/\s+/)).toEqual(['0', '0', '1']);
});

/** SIGKILL to the supervisor of a Runtime, not to the process outside, which undoes. */
function killSupervisor(id: string): void {
  const outside = pids().find((pid) => read(`/proc/${pid}/cmdline`).includes(id));
  const supervisor = pids().find((pid) =>
    read(`/proc/${pid}/status`).includes(`\nPPid:\t${outside}\n`),
  );
  if (supervisor === undefined) throw new Error('no supervisor');
  process.kill(Number(supervisor), 'SIGKILL');
}

const pids = (): string[] => readdirSync('/proc').filter((name) => /^\d+$/.test(name));

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // it has ended meanwhile
  }
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 2_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('it did not come');
    await sleep(20);
  }
}
