// Needs: the built addon and its test peer. Output gathered natively, input fed natively.
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

import { Tag, Type } from '../../lib/native/protocol.js';
import { FieldWriter } from '../../lib/native/wire.js';
import { Fake } from '../helpers/fake.js';
import { checkLeaks } from '../helpers/leak.js';
import { longestHold } from '../helpers/loop-hold.js';
import { nativeFile, SANITIZED } from '../helpers/native.js';
import { needs } from '../helpers/needs.js';
import { tempFolder } from '../helpers/temp.js';

const { describe, test } = needs('binding');

const MIB = 1 << 20;

describe('collect', () => {
  checkLeaks();

  test('keeps both outputs apart, byte for byte, and the exit code', async () => {
    await using fake = new Fake();
    const answer = await fake.sh(`printf '\\000\\377out'; printf 'err\\376' >&2; exit 7`);
    expect(answer.type).toBe(Type.exited);
    expect(answer.fields.number(Tag.exitCode)).toBe(7);
    expect([...answer.stdout]).toEqual([0, 255, 111, 117, 116]);
    expect([...answer.stderr]).toEqual([101, 114, 114, 254]);
    expect(answer.truncated).toBe(false);
  });

  test('nothing written is empty, not missing', async () => {
    await using fake = new Fake();
    const { stdout, stderr, fields } = await fake.collect(['true']);
    expect([stdout.length, stderr.length, fields.number(Tag.exitCode)]).toEqual([0, 0, 0]);
  });

  test.for([1, 4096, 64 * 1024, 64 * 1024 + 1, 5 * MIB])(
    'feeds an input of %i bytes and its end, and gets it back whole',
    async (size) => {
      await using fake = new Fake();
      const input = Buffer.alloc(size);
      for (let i = 0; i < size; i += 1) input[i] = (i * 31) ^ (i >> 8);
      const { stdout, truncated } = await fake.collect(['cat'], input, 16 * MIB);
      expect(stdout.equals(input)).toBe(true);
      expect(truncated).toBe(false);
    },
  );

  test('an empty input is an end at once; none at all is the null device', async () => {
    await using fake = new Fake();
    expect((await fake.collect(['cat'], new Uint8Array(0))).stdout.length).toBe(0);
    expect((await fake.collect(['cat'])).stdout.length).toBe(0);
  });

  test('a descriptor as input is passed on and stays open here', async () => {
    await using fake = new Fake();
    await using folder = await tempFolder();
    const path = join(folder.path, 'input');
    writeFileSync(path, 'from a file');
    const fd = openSync(path, 'r');
    expect(String((await fake.collect(['cat'], fd)).stdout)).toBe('from a file');
    closeSync(fd);
  });

  test('a program that reads none or half of its input is no error, and raises no signal', async () => {
    await using fake = new Fake();
    const input = Buffer.alloc(4 * MIB, 'x');
    const none = await fake.sh('exec <&-; sleep 0.05; exit 3', input);
    expect(none.fields.number(Tag.exitCode)).toBe(3);
    const half = await fake.sh('head -c 100000 | wc -c', input);
    expect(String(half.stdout).trim()).toBe('100000');
  });

  test('a program that does not ignore SIGPIPE lives on', () => {
    // Listening once and no more gives a signal back its default, as in an embedding program.
    const script = `
      process.on('SIGPIPE', () => 0).removeAllListeners('SIGPIPE');
      const { createRequire } = await import('node:module');
      const { Channel } = createRequire('/')(${JSON.stringify(nativeFile('caisson.node'))});
      const channel = new Channel({ supervisor: ${JSON.stringify(nativeFile('caisson-fake-supervisor'))},
        args: [], onMessage() {}, onClose() {} });
      channel.ref();
      const argv = ['sh', '-c', 'head -c 100000 >/dev/null; sleep 0.05'].map((text) => {
        const field = Buffer.alloc(8 + ((text.length + 7) & ~7));
        field.writeUInt16LE(110, 0);
        field.writeUInt32LE(text.length, 4);
        field.write(text, 8);
        return field;
      });
      channel.collect(2, 1, Buffer.concat(argv), Buffer.alloc(4e6), 10, (type) => {
        console.log(type);
        channel.unref();
      });`;
    const args = ['--input-type=module', '-e', script];
    expect(execFileSync(process.execPath, args, { encoding: 'utf8', timeout: 20_000 })).toBe(
      `${Type.exited}\n`,
    );
  });

  test('output over the bound is read, dropped and said', async () => {
    await using fake = new Fake();
    const text = 'head -c 3000000 /dev/zero; head -c 10 /dev/zero >&2';
    const { stdout, stderr, truncated, fields } = await fake.sh(text, null, 100_000);
    expect([stdout.length, stderr.length, truncated]).toEqual([100_000, 10, true]);
    expect(fields.number(Tag.exitCode)).toBe(0);
    const exact = await fake.sh('head -c 1000 /dev/zero', null, 1000);
    expect([exact.stdout.length, exact.truncated]).toEqual([1000, false]);
    const nothing = await fake.sh('echo x', null, 0);
    expect([nothing.stdout.length, nothing.truncated]).toEqual([0, true]);
  });

  test('waits for every writer, not only for the first process', async () => {
    await using fake = new Fake();
    const { stdout } = await fake.sh('(sleep 0.15; echo late) & echo early');
    expect(String(stdout)).toBe('early\nlate\n');
  });

  test('last bytes are never lost: output directly before the end', async () => {
    await using fake = new Fake();
    for (let i = 0; i < 100; i += 1) {
      const { stdout, stderr } = await fake.sh(`printf ${i}; printf e${i} >&2`);
      expect([String(stdout), String(stderr)]).toEqual([`${i}`, `e${i}`]);
    }
  });

  test('what cannot be started is Failed', async () => {
    await using fake = new Fake();
    const { type, fields } = await fake.collect(['!fail'], Buffer.alloc(MIB));
    expect(type).toBe(Type.failed);
    expect(fields.number(Tag.errno)).toBe(2);
  });

  test('Started of a collected one goes to onMessage', async () => {
    await using fake = new Fake();
    const id = fake.nextId();
    const body = new FieldWriter().strings(Tag.arg, ['true']).u64(Tag.wantStarted, 1).bytes();
    const done = new Promise<number>((resolve) => {
      fake.channel.collect(Type.exec, id, body, null, 10, (type) => {
        resolve(type);
      });
    });
    expect((await fake.answerTo(id)).type).toBe(Type.started);
    expect(await done).toBe(Type.exited);
  });

  test('abandon tells what came until now and stops waiting for writers that stay', async () => {
    await using fake = new Fake();
    const id = fake.nextId();
    // A grandchild keeps both outputs open long after the first process has ended.
    const running = fake.collect(
      ['sh', '-c', 'echo so far; echo no >&2; sleep 2 &'],
      null,
      100,
      id,
    );
    await sleep(150);
    const now = fake.channel.abandon(id)!;
    expect(String(now.stdout)).toBe('so far\n');
    expect(String(now.stderr)).toBe('no\n');
    expect(now.truncated).toBe(false);
    const before = performance.now();
    const { type, stdout } = await running;
    expect(performance.now() - before).toBeLessThan(1000);
    expect([type, String(stdout)]).toEqual([Type.exited, 'so far\n']);
    expect(fake.channel.abandon(id)).toBe(null);
  });

  test('abandon before the reply still waits for the reply', async () => {
    await using fake = new Fake();
    const id = fake.nextId();
    const running = fake.collect(['sh', '-c', 'echo a; sleep 0.1; echo b'], null, 100, id);
    await sleep(50);
    expect(fake.channel.abandon(id)).not.toBe(null);
    expect(String((await running).stdout)).toBe('a\nb\n');
  });

  test('close() in the middle tells each of them, after the call', async () => {
    const fake = new Fake();
    let told = 0;
    const all = Array.from({ length: 5 }, (_, i) =>
      fake.sh(`echo ${i}; sleep 0.3`, Buffer.alloc(i * MIB)).then((answer) => {
        told += 1;
        return answer;
      }),
    );
    await sleep(100);
    fake.channel.close();
    expect(told).toBe(0);
    for (const [i, { type, stdout }] of (await Promise.all(all)).entries()) {
      expect([type, String(stdout)]).toEqual([0, `${i}\n`]);
    }
    await fake.closed;
    await sleep(300);
  });

  test('input whose memory goes away is an end, not a crash', async () => {
    await using fake = new Fake();
    const input = new Uint8Array(8 * MIB);
    const running = fake.sh('sleep 0.1; wc -c', input);
    structuredClone(input.buffer, { transfer: [input.buffer] });
    expect(input.length).toBe(0);
    expect(Number(String((await running).stdout))).toBeLessThan(8 * MIB);
  });

  test('an id in use is refused', async () => {
    await using fake = new Fake();
    const running = fake.collect(['sleep', '0.05'], null, 10, 77);
    expect(() => {
      fake.channel.collect(2, 77, new Uint8Array(0), null, 1, () => undefined);
    }).toThrow(RangeError);
    expect((await running).type).toBe(Type.exited);
  });

  test('big outputs of many at once never hold the event loop for long', async () => {
    await using fake = new Fake();
    const longest = await longestHold(async () => {
      const all = Array.from({ length: 8 }, () =>
        fake.sh('head -c 8000000 /dev/zero', null, 16 * MIB),
      );
      for (const { stdout } of await Promise.all(all)) expect(stdout.length).toBe(8_000_000);
    });
    // About 2 ms. AddressSanitizer's own bookkeeping of such buffers takes up to 150 ms, at random.
    expect(longest).toBeLessThan(SANITIZED ? Infinity : 12);
  });
});
