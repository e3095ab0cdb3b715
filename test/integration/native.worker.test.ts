// Needs: the built addon and its test peer. Worker threads that come and go with things in flight.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { expect } from 'vitest';

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

/** Running or a zombie: either way not yet reaped. */
function isChild(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8').includes(`PPid:\t${process.pid}\n`);
  } catch {
    return false;
  }
}
