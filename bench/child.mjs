// The library's side of the benchmark, in a Node process of its own (started as root or as an
// ordinary user): reads one request a line, {op, …}, and answers one line each. argv[2] is the
// folder for store and run folder, argv[3] the image's folder.

import { spawn } from 'node:child_process';
import { openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { PerformanceObserver } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const [folder = '', rootfs = '', entry = ''] = process.argv.slice(2);

const importBegin = performance.now();
const { Container, Image, Runtime } = await import(entry);
const importMs = performance.now() - importBegin;

/** Gives how long `work` took, in milliseconds. @param {() => Promise<unknown>} work */
async function timed(work) {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}

const openOptions = { root: join(folder, 'store'), runDir: join(folder, 'run') };
let runtime;
let image;
let openMs = 0;

async function opened() {
  if (runtime !== undefined) return;
  openMs = await timed(async () => (runtime = await Runtime.open(openOptions)));
  image = await Image.fromRootfs(rootfs, undefined, { runtime });
}

/** @param {{exitCode: number | null, reason: string, stderr?: unknown}} result */
function expectSuccess(result) {
  if (result.exitCode === 0) return;
  throw new Error(
    `ended with ${result.exitCode} (${result.reason}) ${String(result.stderr ?? '')}`,
  );
}

/** Those of floor.h's kLimits and of the bundles. */
const LIMITS = { memoryBytes: '256MiB', cpuShares: 512, cpus: 1, cpusetCpus: '0', pids: 100 };

async function runOne() {
  expectSuccess(await Container.run(image, ['/bin/true'], { runtime }));
}

/** Another number of processes for each, so that no cgroup can serve twice. */
let pids = 1000;

/** @param {string} limited  `fresh`: with limits that nothing had before */
const runWith = (limited) =>
  limited === 'fresh' ? () => runLimited({ ...LIMITS, pids: ++pids }) : runLimited;

async function runLimited(limits = LIMITS) {
  expectSuccess(await Container.run(image, ['/bin/true'], { runtime, limits }));
}

/** A container that is up, made when it is first wanted. */
let idle;
async function idleContainer() {
  idle ??= await Container.start({ runtime, image, argv: ['/bin/idle'] });
  return idle;
}

/** @param {number} count @param {() => Promise<unknown>} work */
async function series(count, work) {
  const times = [];
  for (let i = 0; i < count; ++i) times.push(await timed(work));
  return times;
}

/** Resolves with the time to the first byte; waits for the end. @param {() => Promise<any> | any} begin */
async function firstByte(begin) {
  const from = performance.now();
  const child = await begin();
  const at = await new Promise((resolve, reject) => {
    child.stdout.once('data', () => resolve(performance.now()));
    child.stdout.once('error', reject);
    child.stdout.once('end', () => reject(new Error('no byte came')));
  });
  child.stdout.resume();
  child.stderr?.resume();
  if (child.exited !== undefined) await child.exited;
  else if (child.exitCode === null) await new Promise((resolve) => child.once('exit', resolve));
  return at - from;
}

/** Sends `bytes` through stdin and counts what comes back; gives MiB a second. */
async function pipeThrough(child, bytes) {
  const chunk = Buffer.alloc(256 * 1024, 'x');
  const begin = performance.now();
  let got = 0;
  const ended = new Promise((resolve, reject) => {
    child.stdout.on('data', (data) => (got += data.length));
    child.stdout.once('end', resolve);
    child.stdout.once('error', reject);
    child.stdin.once('error', reject);
  });
  child.stderr?.resume();
  for (let sent = 0; sent < bytes; sent += chunk.length) {
    if (!child.stdin.write(chunk))
      await new Promise((resolve) => child.stdin.once('drain', resolve));
  }
  child.stdin.end();
  await ended;
  if (got !== bytes) throw new Error(`${got} of ${bytes} bytes came back`);
  return bytes / 2 ** 20 / ((performance.now() - begin) / 1000);
}

/** Starts runs so that `atOnce` are under way for `ms` milliseconds; gives runs per second. */
async function rate(atOnce, ms, one) {
  const begin = performance.now();
  let done = 0;
  const worker = async () => {
    while (performance.now() - begin < ms) {
      await one();
      ++done;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return (done / (performance.now() - begin)) * 1000;
}

/** The supervisor's processes: descendants of this one that are not a container's. */
function supervisorPids() {
  const all = new Map();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/u.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const comm = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      all.set(Number(name), { comm, parent });
    } catch {
      // It ended while we looked.
    }
  }
  const ours = [];
  for (const [pid, { comm }] of all) {
    if (comm === 'idle' || comm === 'true') continue;
    let at = all.get(pid)?.parent;
    while (at !== undefined && at !== process.pid && at !== 0) at = all.get(at)?.parent;
    if (at === process.pid) ours.push(pid);
  }
  return ours;
}

/** @param {number | 'self'} pid @returns {number} bytes of its own, shared pages by their share */
function proportionalBytes(pid) {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+) kB/mu.exec(text)?.[1] ?? 0) * 1024;
}

async function memory() {
  globalThis.gc?.();
  await sleep(200);
  globalThis.gc?.();
  const supervisor = supervisorPids().reduce((sum, pid) => sum + proportionalBytes(pid), 0);
  const available =
    Number(/^MemAvailable:\s+(\d+) kB/mu.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1]) * 1024;
  return { node: proportionalBytes('self'), supervisor, available };
}

/** Nanoseconds on a processor of the supervisor's processes until now. */
function supervisorCpuNs() {
  return supervisorPids().reduce((sum, pid) => {
    try {
      return sum + Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ', 1)[0]);
    } catch {
      return sum; // a hand's child, which has ended
    }
  }, 0);
}

/** @param {number[]} times */
const median = (times) => [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)];

// One descriptor and one buffer: readFileSync takes 64 KiB a call, and the collector then runs for that.
const schedstat = openSync('/proc/thread-self/schedstat');
const schedstatText = Buffer.alloc(96);

/** What this thread has had of the processors. getrusage first: it has the kernel count up to now. */
function ownMs() {
  process.cpuUsage();
  const size = readSync(schedstat, schedstatText, 0, schedstatText.length, 0);
  return Number(schedstatText.latin1Slice(0, size).split(' ', 1)[0]) / 1e6;
}

/**
 * The longest turn of the event loop while `work` goes on. A setImmediate that sets itself again
 * keeps the loop turning, so between two of its calls lie all callbacks in between: an upper bound
 * of any of them. In this thread's own processor time, since what the kernel or the hypervisor gives
 * to others in between says nothing of us; and by the clock.
 */
async function longestTurn(work) {
  const collections = [];
  const observer = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries())
      collections.push([startTime, duration]);
  });
  observer.observe({ entryTypes: ['gc'] });
  let turning = true;
  let lastAt = performance.now();
  let lastOwn = ownMs();
  const long = [];
  const found = { turns: 0, clockMs: 0, ownMs: 0, withoutCollectionMs: 0 };
  const turn = () => {
    const own = ownMs();
    const at = performance.now();
    ++found.turns;
    found.clockMs = Math.max(found.clockMs, at - lastAt);
    if (own - lastOwn > 0.2) long.push([lastAt, at, own - lastOwn]);
    lastAt = at;
    lastOwn = own;
    if (turning) setImmediate(turn);
  };
  setImmediate(turn);
  await work();
  turning = false;
  await sleep(20); // the observer hears of collections a little later
  observer.disconnect();
  for (const [begin, end, ms] of long) {
    found.ownMs = Math.max(found.ownMs, ms);
    const collected = collections.some(([from, took]) => from < end && from + took > begin);
    if (!collected) found.withoutCollectionMs = Math.max(found.withoutCollectionMs, ms);
  }
  return found;
}

/** @type {Record<string, (request: any) => Promise<unknown>>} */
const operations = {
  async opening() {
    await opened();
    let second;
    const secondMs = await timed(async () => (second = await Runtime.open(openOptions)));
    await second.close();
    return { importMs, openMs, secondMs };
  },

  async run({ count, pauseMs = 0, limited = '' }) {
    await opened();
    const one = limited ? runWith(limited) : runOne;
    await one();
    const times = [];
    for (let i = 0; i < count; ++i) {
      if (pauseMs > 0) await sleep(pauseMs);
      times.push(await timed(one));
    }
    return times;
  },

  async exec({ count }) {
    await opened();
    const container = await idleContainer();
    const once = async () => expectSuccess(await container.exec(['/bin/true']));
    await once();
    return await series(count, once);
  },

  async firstByte({ count }) {
    await opened();
    const container = await idleContainer();
    const times = [];
    for (let i = 0; i <= count; ++i) {
      const ms = await firstByte(async () => await container.spawn(['/bin/byte']));
      if (i > 0) times.push(ms);
    }
    return times;
  },

  /** The same of a plain child process. */
  async plainFirstByte({ count }) {
    const times = [];
    for (let i = 0; i <= count; ++i) {
      const ms = await firstByte(() =>
        spawn(join(rootfs, 'bin/byte'), { stdio: ['ignore', 'pipe', 'pipe'] }),
      );
      if (i > 0) times.push(ms);
    }
    return times;
  },

  async plainRun({ count }) {
    const once = async () => {
      const child = spawn(join(rootfs, 'bin/true'), { stdio: ['ignore', 'pipe', 'pipe'] });
      child.stdout.resume();
      child.stderr.resume();
      await new Promise((resolve, reject) => child.once('close', resolve).once('error', reject));
    };
    await once();
    return await series(count, once);
  },

  async rate({ atOnce, ms, limited = '' }) {
    await opened();
    return await rate(atOnce, ms, limited ? runWith(limited) : runOne);
  },

  async cat({ bytes }) {
    await opened();
    const container = await idleContainer();
    const child = await container.spawn(['/bin/busybox', 'cat'], { stdin: 'pipe' });
    const result = await pipeThrough(child, bytes);
    expectSuccess(await child.exited);
    return [result];
  },

  async plainCat({ bytes }) {
    const child = spawn(join(rootfs, 'bin/busybox'), ['cat'], { stdio: ['pipe', 'pipe', 'pipe'] });
    return [await pipeThrough(child, bytes)];
  },

  /** `times` series, as one that is disturbed says nothing. */
  async loop({ count, atOnce, times }) {
    await opened();
    await series(50, runOne); // the first calls compile
    const one = async () => {
      for (let i = 0; i < count / atOnce; ++i) await runOne();
    };
    const found = [];
    while (found.length < times) {
      const calls = [];
      const idleTurn = await longestTurn(async () => await sleep(1000));
      const sequential = await longestTurn(async () => {
        for (let i = 0; i < count; ++i) {
          const begin = performance.now();
          const running = runOne();
          calls.push(performance.now() - begin);
          await running;
        }
      });
      const many = await longestTurn(
        async () => await Promise.all(Array.from({ length: atOnce }, one)),
      );
      found.push({ idleTurn, sequential, many, longestCallMs: Math.max(...calls) });
    }
    return found;
  },

  /** Processor time per run: of Node (all threads) and of the supervisor with its hands. */
  async cpu({ count }) {
    await opened();
    await series(20, runOne);
    const supervisor = supervisorCpuNs();
    const before = process.cpuUsage();
    const active = performance.eventLoopUtilization();
    await series(count, runOne);
    const used = process.cpuUsage(before);
    return {
      nodeMs: (used.user + used.system) / 1000 / count,
      loopActiveMs: performance.eventLoopUtilization(active).active / count,
      supervisorMs: (supervisorCpuNs() - supervisor) / 1e6 / count,
    };
  },

  async idle({ containers, count }) {
    await opened();
    await series(30, runOne);
    const before = await memory();
    const alone = await series(count, runOne);
    const started = [];
    const worker = async () => {
      while (started.length < containers) {
        const slot = started.push(undefined) - 1;
        started[slot] = await Container.start({ runtime, image, argv: ['/bin/idle'] });
      }
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    const after = await memory();
    const crowded = await series(count, runOne);
    await Promise.all(started.map(async (container) => await container.remove({ force: true })));
    return {
      bytesPerContainer:
        (after.node + after.supervisor - before.node - before.supervisor) / containers,
      nodeBytesPerContainer: (after.node - before.node) / containers,
      supervisorBytesPerContainer: (after.supervisor - before.supervisor) / containers,
      machineBytesPerContainer: (before.available - after.available) / containers,
      aloneMs: median(alone),
      crowdedMs: median(crowded),
      alone,
      crowded,
    };
  },

  async end() {
    await runtime?.close();
    return null;
  },
};

const lines = createInterface({ input: process.stdin });
for await (const line of lines) {
  const request = JSON.parse(line);
  let answer;
  try {
    answer = { value: await operations[request.op](request) };
  } catch (error) {
    const { message, code, details, cause } = error;
    answer = {
      error:
        `${code ?? ''} ${message} ${details ? JSON.stringify(details) : ''} ${cause?.message ?? ''}`.trim(),
    };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
  if (request.op === 'end') break;
}
await runtime?.close();
