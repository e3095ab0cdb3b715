// Needs: the built addon and its test peer. Worker threads that come and go with things in flight.
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { expect } from 'vitest';

import { Type } from '../../lib/native/protocol.js';
import { checkLeaks } from '../helpers/leak.js';
import { nativeFile } from '../helpers/native.js';
import { needs } from '../helpers/needs.js';
import { tempFolder } from '../helpers/temp.js';

const { describe, test } = needs('binding');

// Everything at once: collects with input and output, an unanswered request, a waiting lock.
const SCRIPT = `
  const { parentPort, workerData } = require('node:worker_threads');
  const { Channel, lock, pipe } = require(workerData.addon);
  const argument = (text) => {
    const bytes = Buffer.from(text);
    const field = Buffer.alloc(8 + ((bytes.length + 7) & ~7));
    field.writeUInt16LE(110, 0);
    field.writeUInt32LE(bytes.length, 4);
    bytes.copy(field, 8);
    return field;
  };
  const sh = (text) => Buffer.concat(['sh', '-c', text].map(argument));
  const channel = new Channel({ supervisor: workerData.supervisor, args: [],
    onMessage() {}, onClose() {} });
  channel.ref();
  let id = 0;
  const again = () => channel.collect(2, ++id, sh('cat | head -c 300000'), Buffer.alloc(400000),
    1e6, (type) => { if (type === 105) again(); });
  for (let i = 0; i < 4; i += 1) again();
  channel.collect(2, 1e6, sh('exec sleep 20'), null, 10, () => {});
  channel.send(12, 2e6, Buffer.alloc(100000), [], []);
  void lock(workerData.lock, 'exclusive', true);
  void lock(workerData.lock, 'exclusive', true);
  parentPort.postMessage(channel.pid);
  if (workerData.end === 'exit') setTimeout(() => process.exit(0), workerData.delay);
  if (workerData.end === 'throw') setTimeout(() => { throw null; }, workerData.delay);
`;

async function runWorker(lock: string, end: string, delay: number): Promise<number> {
  const workerData = {
    addon: nativeFile('caisson.node'),
    supervisor: nativeFile('caisson-fake-supervisor'),
    lock,
    end,
    delay,
  };
  const worker = new Worker(SCRIPT, { eval: true, workerData });
  // One that throws ends with an 'error' before its 'exit'.
  const ended = new Promise((resolve) => worker.on('error', () => undefined).on('exit', resolve));
  const pid = await new Promise<number>((resolve) => worker.once('message', resolve));
  if (end === 'terminate') {
    await sleep(delay);
    await worker.terminate();
  } else {
    await ended;
  }
  return pid;
}

describe('worker threads', () => {
  checkLeaks();

  test.for(['terminate', 'exit', 'throw'])(
    'ended by %s at any moment: supervisors end and are reaped, nothing crashes',
    { timeout: 60_000 },
    async (end) => {
      await using folder = await tempFolder();
      const pids: number[] = [];
      const rounds = Number(process.env['CAISSON_ROUNDS'] ?? 20);
      for (let i = 0; i < rounds; i += 1) {
        pids.push(await runWorker(join(folder.path, `lock-${end}`), end, i % 10));
      }
      const left = () => pids.filter((pid) => isChild(pid));
      for (let i = 0; i < 50 && left().length > 0; i += 1) await sleep(20);
      expect(left()).toEqual([]);
    },
  );

  test('terminated while it looks at a message, it leaves no descriptor', async () => {
    const program = `
      const { parentPort, workerData } = require('node:worker_threads');
      const { Channel, pipe } = require(workerData.addon);
      const channel = new Channel({ supervisor: workerData.supervisor, args: [],
        onMessage(type, id, body, fds) {
          parentPort.postMessage({ fds, pipe: pipe('toChild') });
          for (;;);
        }, onClose() {} });
      channel.send(${Type.resize}, 1, Buffer.alloc(0), [workerData.fd, workerData.fd], []);
      channel.ref();`;
    const file = openSync('/proc/self/status', 'r');
    const workerData = {
      addon: nativeFile('caisson.node'),
      supervisor: nativeFile('caisson-fake-supervisor'),
      fd: file,
    };
    const worker = new Worker(program, { eval: true, workerData });
    const lent = await new Promise<{ fds: number[]; pipe: { local: number; remote: number } }>(
      (resolve) => worker.once('message', resolve),
    );
    expect(lent.fds).toHaveLength(2);
    const pipe = linkOf(lent.pipe.local);
    expect(linkOf(lent.pipe.remote)).toBe(pipe);
    await worker.terminate();
    closeSync(file);
    // By what they are: their numbers may have been given to something else since.
    const links = readdirSync('/proc/self/fd').map(linkOf);
    expect(links.filter((link) => link.endsWith(`/${process.pid}/status`))).toEqual([]);
    expect(links.filter((link) => link === pipe)).toHaveLength(1); // the end that a stream takes
    closeSync(lent.pipe.local);
  });

  test('several at once', { timeout: 60_000 }, async () => {
    await using folder = await tempFolder();
    for (let round = 0; round < 4; round += 1) {
      await Promise.all(
        ['terminate', 'exit', 'terminate', 'throw'].map((end, i) =>
          runWorker(join(folder.path, 'lock'), end, i + round),
        ),
      );
    }
  });
});

function linkOf(fd: string | number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return '';
  }
}

/** Running or a zombie: either way not yet reaped. */
function isChild(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8').includes(`PPid:\t${process.pid}\n`);
  } catch {
    return false;
  }
}
