import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';

import { SharedSync } from '../../../lib/image/shared-sync.js';
import { rejection } from '../../helpers/runtime.js';

/** Syncs that end when they are told to. */
class Disk {
  readonly ends: { resolve: () => void; reject: (reason: Error) => void }[] = [];
  atOnce = 0;
  readonly shared = new SharedSync(async () => {
    expect(++this.atOnce).toBe(1);
    try {
      await new Promise<void>((resolve, reject) => this.ends.push({ resolve, reject }));
    } finally {
      this.atOnce--;
    }
  });

  /** How the call is going. */
  call(): { state: string; readonly promise: Promise<void> } {
    const promise = this.shared.done();
    const call = { state: 'waits', promise };
    promise.then(
      () => (call.state = 'done'),
      () => (call.state = 'failed'),
    );
    return call;
  }
}

describe('SharedSync', () => {
  test('who comes while one is under way waits for the next, all for the same', async () => {
    const disk = new Disk();
    const first = disk.call();
    const [second, third] = [disk.call(), disk.call()];
    await sleep();
    expect(disk.ends).toHaveLength(1);
    disk.ends[0]?.resolve();
    await sleep();
    expect([first.state, second.state, third.state]).toEqual(['done', 'waits', 'waits']);
    expect(disk.ends).toHaveLength(2);
    const fourth = disk.call();
    disk.ends[1]?.resolve();
    await sleep();
    expect([second.state, third.state, fourth.state]).toEqual(['done', 'done', 'waits']);
    disk.ends[2]?.resolve();
    await fourth.promise;
    expect(disk.ends).toHaveLength(3);
  });

  test('one after the other, each has its own', async () => {
    const disk = new Disk();
    for (const i of [0, 1, 2]) {
      const call = disk.call();
      expect(disk.ends).toHaveLength(i + 1);
      disk.ends[i]?.resolve();
      await call.promise;
    }
  });

  test('never two at once, whoever comes when one ends', async () => {
    const disk = new Disk();
    const calls = [disk.call(), disk.call()];
    calls[0]?.promise.finally(() => calls.push(disk.call())).catch(() => undefined);
    for (let i = 0; i < 3 && calls.some(({ state }) => state === 'waits'); i++) {
      disk.ends[i]?.resolve();
      await sleep();
    }
    expect(calls.map(({ state }) => state)).toEqual(['done', 'done', 'done']);
  });

  test('a failure is told to those who waited for that one', async () => {
    const disk = new Disk();
    const first = disk.call();
    const second = disk.call();
    disk.ends[0]?.reject(new Error('ENOSPC'));
    expect(await rejection(first.promise)).toMatchObject({ message: 'ENOSPC' });
    await sleep();
    disk.ends[1]?.resolve();
    await second.promise;
    expect(second.state).toBe('done');
  });
});
