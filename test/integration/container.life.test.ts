import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

import { Container, Runtime } from '../../lib/index.js';
import { needs } from '../helpers/needs.js';
import { rejection, testRuntime } from '../helpers/runtime.js';

const { describe, test } = needs('native', 'userns');
const t = testRuntime();

const create = (options: object = {}): Promise<Container> =>
  Container.create({ image: t.image, argv: ['sleep', 'infinity'], runtime: t.runtime, ...options });

describe('create', () => {
  test('records only', async () => {
    const box = await create({ name: 'box', labels: { a: 'b' } });
    expect([box.name, box.owned, box.id.length]).toEqual(['box', true, 64]);
    const folder = join(t.store.root, 'containers', box.id);
    expect(readdirSync(folder).sort()).toEqual(['config.json', 'spec.json', 'state.json']);
    const info = await box.inspect();
    expect(info).toMatchObject({
      id: box.id,
      name: 'box',
      state: 'created',
      pid: null,
      startedAt: null,
      exit: null,
      labels: { a: 'b' },
      image: t.image.id,
      spec: { process: { args: ['sleep', 'infinity'] }, hostname: box.id.slice(0, 12) },
    });
    expect(JSON.parse(readFileSync(join(folder, 'spec.json'), 'utf8'))).toEqual(
      JSON.parse(JSON.stringify(info.spec)),
    );
    await box.remove();
    expect(existsSync(folder)).toBe(false);
    expect(readdirSync(join(t.store.root, 'containers', '.names'))).toEqual([]);
  });

  test('what was never started can be neither stopped nor joined', async () => {
    const box = await create();
    for (const call of [box.stop(), box.exec(['true']), box.kill(), box.attach(), box.restart()]) {
      expect(await rejection(call)).toMatchObject({ code: 'ERR_CONTAINER_NOT_STARTED' });
    }
    await box.remove();
  });

  test('an abort leaves nothing', async () => {
    for (let i = 0; i < 10; i++) {
      const controller = new AbortController();
      setTimeout(() => {
        controller.abort();
      }, i / 2);
      await create({ signal: controller.signal, name: `n${i}` }).catch((error: unknown) => {
        expect(error).toMatchObject({ name: 'AbortError' });
      });
    }
    for (const one of await Container.list({ runtime: t.runtime, all: true })) await one.remove();
    expect(readdirSync(join(t.store.root, 'containers'))).toEqual(['.names']);
  });
});

describe('names', () => {
  test('one at a time, over all Runtimes of a store', async () => {
    const box = await create({ name: 'box' });
    expect(await rejection(create({ name: 'box' }))).toMatchObject({
      code: 'ERR_NAME_IN_USE',
      details: { name: 'box', id: box.id },
    });
    await using other = await Runtime.open(t.store.options);
    expect(await rejection(create({ name: 'box', runtime: other }))).toMatchObject({
      code: 'ERR_NAME_IN_USE',
    });
    await box.remove();
    await (await create({ name: 'box' })).remove();
  });

  test('of many who ask at once one gets it', async () => {
    const asked = await Promise.allSettled(
      Array.from({ length: 10 }, () => create({ name: 'box' })),
    );
    const got = asked.filter((one) => one.status === 'fulfilled');
    expect(got).toHaveLength(1);
    for (const one of asked) {
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'ERR_NAME_IN_USE' });
    }
    await got[0]?.value.remove();
  });

  test('getOrCreate: one creates, the others get', async () => {
    const options = { image: t.image, argv: ['true'], runtime: t.runtime, name: 'shared' };
    const all = await Promise.all(Array.from({ length: 8 }, () => Container.getOrCreate(options)));
    expect(new Set(all.map(({ id }) => id)).size).toBe(1);
    expect(all.filter(({ owned }) => owned)).toHaveLength(1);
    await all[0]?.remove();
  });
});

describe('get and list', () => {
  test('by id, name and beginning; borrowed', async () => {
    await using box = await t.sleeper({ name: 'box', labels: { x: '1' } });
    for (const wanted of [box.id, 'box', box.id.slice(0, 10)]) {
      const got = await Container.get(wanted, { runtime: t.runtime });
      expect([got.id, got.owned]).toEqual([box.id, false]);
      await got[Symbol.asyncDispose]();
    }
    expect((await box.inspect()).state).toBe('running');
    expect(await rejection(Container.get('nonesuch', { runtime: t.runtime }))).toMatchObject({
      code: 'ERR_CONTAINER_NOT_FOUND',
    });
  });

  test('running ones, all, by label', async () => {
    await using box = await t.sleeper({ name: 'box', labels: { x: '1' } });
    await using idle = await create({ name: 'idle' });
    const names = async (options: object): Promise<string[]> =>
      (await Container.list({ runtime: t.runtime, ...options })).map(({ name }) => name);
    expect(await names({})).toEqual([box.name]);
    expect(await names({ all: true })).toEqual(['box', idle.name]);
    expect(await names({ all: true, filter: { labels: { x: '1' } } })).toEqual(['box']);
    expect(await names({ filter: { name: 'zzz' } })).toEqual([]);
    expect(await rejection(names({ filter: { labels: { x: 1 } } }))).toMatchObject({
      details: { option: 'filter.labels.x' },
    });
  });

  test('what another Runtime runs is seen, and not touched', async () => {
    await using box = await t.sleeper({ name: 'box' });
    await using other = await Runtime.open(t.store.options);
    const seen = await other.containers.get('box');
    expect(await seen.inspect()).toMatchObject({
      id: box.id,
      state: 'running',
      runtimeId: t.runtime.id,
    });
    expect(await rejection(seen.stop())).toMatchObject({ code: 'ERR_UNSUPPORTED' });
    expect(await rejection(seen.remove({ force: true }))).toMatchObject({
      code: 'ERR_UNSUPPORTED',
    });
    expect(() => seen.ref()).toThrow(expect.objectContaining({ code: 'ERR_UNSUPPORTED' }));
    await seen[Symbol.asyncDispose]();
    expect((await box.exec(['true'])).exitCode).toBe(0);
  });
});

describe('start', () => {
  test('twice is an error; after the end it starts again and has what it wrote', async () => {
    await using box = await create({ argv: ['sh', '-c', 'echo x >> /tmp/x; exit 4'] });
    await box.start();
    expect(await box.wait()).toMatchObject({ exitCode: 4 });
    await box.start();
    await box.wait();
    expect(box.timings.startMs).toBeGreaterThan(0);
    await box.remove();
    expect(await rejection(box.start())).toMatchObject({ code: 'ERR_CONTAINER_REMOVED' });
  });

  test('while it starts or runs it cannot be started', async () => {
    await using box = await create();
    const starting = box.start();
    expect(await rejection(box.start())).toMatchObject({
      code: 'ERR_CONTAINER_RUNNING',
      details: { state: 'starting' },
    });
    expect(await rejection(box.exec(['true']))).toMatchObject({
      code: 'ERR_CONTAINER_NOT_RUNNING',
    });
    await starting;
    expect(await rejection(box.start())).toMatchObject({ details: { state: 'running' } });
  });

  test('a start that fails leaves it as it was; Container.start leaves nothing', async () => {
    const box = await create({ argv: ['nonesuch'] });
    expect(await rejection(box.start())).toMatchObject({ code: 'ERR_COMMAND_NOT_FOUND' });
    expect((await box.inspect()).state).toBe('created');
    await box.remove();
    const options = { image: t.image, argv: ['nonesuch'], runtime: t.runtime, name: 'n' };
    expect(await rejection(Container.start(options))).toMatchObject({
      code: 'ERR_COMMAND_NOT_FOUND',
    });
    expect(await Container.list({ runtime: t.runtime, all: true })).toEqual([]);
  });

  test('an abort at twenty moments leaves nothing', async () => {
    for (let i = 0; i < 20; i++) {
      const controller = new AbortController();
      setTimeout(() => {
        controller.abort('now');
      }, i / 2);
      const call = t.sleeper({ signal: controller.signal });
      await call.then(
        (box) => box.remove({ force: true }),
        (error: unknown) => {
          expect(error).toMatchObject({ name: 'AbortError', cause: 'now' });
        },
      );
    }
    expect(await Container.list({ runtime: t.runtime, all: true })).toEqual([]);
  });

  test('a listener that throws is its program’s affair', async () => {
    const thrown: unknown[] = [];
    const others = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', (error) => thrown.push(error));
    try {
      const box = await create({ argv: ['true'] });
      box.on('start', () => {
        throw new Error('mine');
      });
      await box.start();
      expect(await box.wait()).toMatchObject({ exitCode: 0 });
      await box.remove();
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const other of others) process.on('uncaughtException', other);
    }
    expect(thrown).toMatchObject([{ message: 'mine' }]);
  });

  test('events come in order', async () => {
    const seen: string[] = [];
    const box = await create({ argv: ['true'] });
    for (const event of ['start', 'exit', 'remove'] as const) {
      box.on(event, ({ type, exit }) => seen.push(`${type} ${exit?.exitCode ?? ''}`));
    }
    await box.start();
    await box.wait();
    await box.remove();
    expect(seen).toEqual(['start ', 'exit 0', 'remove 0']);
  });
});

describe('stop and kill', () => {
  const polite = [
    'sh',
    '-c',
    'trap "echo bye > /tmp/bye; exit 7" TERM; while :; do sleep 0.05; done',
  ];

  test('pid 1 may end by itself', async () => {
    await using box = await t.sleeper({ argv: polite });
    await sleep(200);
    expect(await box.stop()).toMatchObject({ exitCode: 7, signal: null, reason: 'exited' });
    expect(await box.stop()).toMatchObject({ exitCode: 7 });
    expect(await rejection(box.exec(['true']))).toMatchObject({
      code: 'ERR_CONTAINER_NOT_RUNNING',
      details: { state: 'exited' },
    });
  });

  test('after the grace it is killed; all calls share the outcome', async () => {
    await using box = await t.sleeper();
    const begin = performance.now();
    const [one, two] = await Promise.all([
      box.stop({ graceMs: 200 }),
      box.stop({ graceMs: 9_000 }),
    ]);
    expect(one).toEqual(two);
    expect(one).toMatchObject({ exitCode: null, signal: 'SIGKILL', reason: 'killed' });
    expect(performance.now() - begin).toBeLessThan(3_000);
  });

  test('a later stop with a shorter grace brings the kill forward, a longer one changes nothing', async () => {
    await using box = await t.sleeper();
    const begin = performance.now();
    const calls = [box.stop({ graceMs: 60_000 })];
    await sleep(100);
    calls.push(box.stop({ graceMs: 300 }), box.stop({ graceMs: 60_000 }));
    for (const exit of await Promise.all(calls)) expect(exit).toMatchObject({ reason: 'killed' });
    expect(performance.now() - begin).toBeGreaterThan(390);
    expect(performance.now() - begin).toBeLessThan(3_000);

    for (const now of [{ graceMs: 0 }, { stopSignal: 'SIGKILL' }] as const) {
      await box.start();
      const first = box.stop({ graceMs: 60_000 });
      await sleep(50);
      expect(await box.stop(now)).toMatchObject({ reason: 'killed' });
      expect(await first).toMatchObject({ reason: 'killed' });
    }
    expect(performance.now() - begin).toBeLessThan(6_000);
  });

  test('disposing the handle does not cut short a stop that goes on', async () => {
    const line = 'trap "sleep 0.3; exit 7" INT; while :; do sleep 0.05; done';
    const box = await t.sleeper({ argv: ['sh', '-c', line] });
    await sleep(200);
    const stopped = box.stop({ stopSignal: 'SIGINT' });
    await box[Symbol.asyncDispose]();
    expect(await stopped).toMatchObject({ exitCode: 7 });
  });

  test('while it starts: it is stopped once it has started', async () => {
    await using box = await create();
    const starting = box.start();
    expect(await box.stop({ graceMs: 0 })).toMatchObject({ reason: 'killed' });
    await starting;
  });

  test('another signal, by name; unknown ones are refused', async () => {
    await using box = await t.sleeper({ argv: polite });
    await sleep(200);
    expect(await rejection(box.kill('SIGTREM' as NodeJS.Signals))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      details: { reason: expect.stringContaining('SIGTERM') as string },
    });
    await box.kill('SIGTERM');
    expect(await box.wait()).toMatchObject({ exitCode: 7 });
  });

  test('kill is for all of it', async () => {
    await using box = await t.sleeper({ argv: ['sh', '-c', 'setsid sleep 1000 & sleep 1000'] });
    await box.kill();
    expect(await box.wait()).toMatchObject({ exitCode: null, signal: 'SIGKILL', reason: 'killed' });
  });

  test('a timeout of the container', async () => {
    await using box = await t.sleeper({ timeoutMs: 200 });
    expect(await box.wait()).toMatchObject({ reason: 'timeout', exitCode: null });
  });

  test('restart', async () => {
    await using box = await t.sleeper({ argv: polite });
    await sleep(200);
    const { pid } = await box.inspect();
    await box.restart();
    const after = await box.inspect();
    expect(after.state).toBe('running');
    expect(after.pid).not.toBe(pid);
    expect((await box.exec(['cat', '/tmp/bye'])).stdout).toBe('bye\n');
  });
});

describe('wait', () => {
  test('before the start, for other states, with an abort', async () => {
    const box = await create({ argv: ['sh', '-c', 'sleep 0.2; exit 3'] });
    const exit = box.wait();
    const running = box.wait({ until: 'running' });
    const removed = box.wait({ until: 'removed' });
    const given = box.wait({ signal: AbortSignal.timeout(50) });
    expect(await rejection(given)).toMatchObject({ name: 'AbortError' });
    await box.start();
    await running;
    expect(await exit).toMatchObject({ exitCode: 3 });
    await box.remove();
    expect(await removed).toMatchObject({ exitCode: 3 });
    expect(await rejection(box.wait({ until: 'running' }))).toMatchObject({
      code: 'ERR_CONTAINER_REMOVED',
    });
  });

  test('one that is removed without having run has no end to tell', async () => {
    const box = await create();
    const exit = rejection(box.wait());
    await box.remove();
    expect(await exit).toMatchObject({ code: 'ERR_CONTAINER_REMOVED' });
  });
});

describe('remove', () => {
  test('twice is silent, running needs force, the name is free after', async () => {
    const box = await t.sleeper({ name: 'box' });
    expect(await rejection(box.remove())).toMatchObject({ code: 'ERR_CONTAINER_RUNNING' });
    await Promise.all([box.remove({ force: true }), box.remove({ force: true })]);
    await box.remove();
    expect(await rejection(box.exec(['true']))).toMatchObject({ code: 'ERR_CONTAINER_REMOVED' });
    await (await t.sleeper({ name: 'box' })).remove({ force: true });
  });

  test('while it starts', async () => {
    const box = await create();
    const starting = box.start();
    await box.remove({ force: true });
    await starting;
    expect((await box.inspect()).state).toBe('removed');
  });

  test('autoRemove', async () => {
    const box = await t.sleeper({ argv: ['true'], autoRemove: true });
    expect(await box.wait({ until: 'removed' })).toMatchObject({ exitCode: 0 });
    expect(await Container.list({ runtime: t.runtime, all: true })).toEqual([]);
  });

  test('disposing an owned handle does not wait for a pid 1 that cannot react', async () => {
    const box = await t.sleeper();
    const begin = performance.now();
    await box[Symbol.asyncDispose]();
    expect(performance.now() - begin).toBeLessThan(3_000);
    await box[Symbol.asyncDispose]();
    expect((await box.inspect()).state).toBe('removed');
  });
});
