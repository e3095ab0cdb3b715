// npm run bench [-- --only NAME] [--rounds N] [--quick] [--write] [--vm] [--json FILE]
//
// Measures the library, the floors and the peers in one run and prints a page of tables. --only
// takes one of: start, limits, alone, exec, first-byte, rate, loop, cpu, idle, rootless, opening, cat, images (may
// be given several times). --write puts the page into BENCHMARKS.md. See bench/README.md.

import { execFileSync } from 'node:child_process';
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import {
  BENCH,
  describeMachine,
  endPrograms,
  makeMachine,
  once,
  othersShare,
  Unavailable,
  Undo,
} from './machine.mjs';
import { Ours, ORDINARY_USER, rootlessObstacle } from './ours.mjs';
import { benchImages } from './images.mjs';
import { Network } from './image-peers.mjs';
import { bwrap, Docker, floor, floorRate, ociExec, ociRun, podmanRun } from './peers.mjs';
import { page, percentile, vmPart } from './report.mjs';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    vm: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const quick = options.quick;
const rounds = Number(options.rounds ?? (quick ? 2 : 12));
/** @param {string} name */
const wanted = (name) => options.only === undefined || options.only.includes(name);

/**
 * @typedef {object} Subject
 * @property {string} name
 * @property {string} unit
 * @property {boolean} [rate]       more is better
 * @property {(count: number) => Promise<number[]>} sample
 * @property {number} count         samples in a round
 * @property {number} [rounds]      measured in the first so many rounds only (slow ones)
 * @property {string} [note]
 */

const undo = new Undo();
let interrupted = false;
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) {
  process.once(signal, () => {
    interrupted = true;
    endPrograms();
  });
}

/** @param {string} text */
const progress = (text) => {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`);
};

/**
 * Runs subjects in rounds, A B C A B C …; a subject that fails is left out from then on.
 *
 * @param {string} title
 * @param {Subject[]} subjects
 * @param {{ against?: string, notes?: string[] }} [more]  `against`: the name that the others are compared with
 * @returns {Promise<import('./report.mjs').Table>}
 */
async function compare(title, subjects, { against = 'caisson', notes = [] } = {}) {
  /** @type {Map<string, number[]>} */
  const samples = new Map(subjects.map(({ name }) => [name, []]));
  /** @type {Map<string, string>} */
  const failures = new Map();
  for (let round = 0; round < rounds && !interrupted; ++round) {
    for (const subject of subjects) {
      if (interrupted || failures.has(subject.name) || round >= (subject.rounds ?? Infinity))
        continue;
      progress(`${title}, round ${round + 1} of ${rounds}: ${subject.name}`);
      try {
        samples.get(subject.name)?.push(...(await subject.sample(subject.count)));
      } catch (error) {
        failures.set(
          subject.name,
          error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error),
        );
        if (!(error instanceof Unavailable)) console.error(error);
      }
    }
  }
  progress('');
  const own = samples.get(against) ?? [];
  const rows = subjects.map(({ name, unit, rate, note }) => {
    const times = samples.get(name) ?? [];
    const failure = failures.get(name);
    if (times.length === 0) return { name, unit, note: failure ?? 'interrupted' };
    const late = rate ? 0.05 : 0.95;
    const [p50, p95] = [percentile(times, 0.5), percentile(times, late)];
    const compared = own.length > 0 && name !== against;
    return {
      name,
      unit,
      p50,
      p95,
      samples: times.length,
      ...(compared
        ? { ratio50: percentile(own, 0.5) / p50, ratio95: percentile(own, late) / p95 }
        : {}),
      ...(note === undefined ? {} : { note }),
      ...(failure === undefined
        ? {}
        : { note: `stopped after ${times.length} samples: ${failure}` }),
    };
  });
  return { title, rows, notes };
}

/** @param {string} command @param {string[]} args */
function version(command, ...args) {
  try {
    const text = execFileSync(command, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return [`${command} ${/\d+\.\d+[.\d]*/u.exec(text)?.[0] ?? ''}`];
  } catch {
    return [];
  }
}

/**
 * The same with limits in the cgroup v2 machine, whose processor is emulated: only what is compared there says
 * something.
 *
 * @returns {import('./report.mjs').Result}
 */
function inTheVm() {
  progress('in the cgroup v2 machine');
  const machine = join(BENCH, '../test/vm/cgroup2-vm');
  const script = join(BENCH, 'run.mjs');
  const what = ['--only', 'limits', '--rounds', quick ? '1' : '4', '--json', '-'];
  const stdout = execFileSync(machine, ['--', process.execPath, script, ...what], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 2 ** 24,
  });
  return JSON.parse(stdout.slice(stdout.indexOf('{'), stdout.lastIndexOf('}') + 1));
}

/** @returns {Promise<void>} */
async function main() {
  const others = await othersShare();
  if (others > 0.1) {
    console.error(
      `bench: other programs use ${Math.round(others * 100)} % of this machine: ratios will mislead ` +
        '(who runs more processes at once gets more of what is left)',
    );
  }
  const machine = makeMachine(undo);
  const ours = once(() => Ours.start(machine, undo, { name: 'root' }));
  const rootless = once(() => {
    const obstacle = rootlessObstacle();
    if (obstacle !== undefined) throw new Unavailable(obstacle);
    return Ours.start(machine, undo, { name: 'rootless', uid: ORDINARY_USER });
  });
  const network = once(async () => await Network.start(undo));
  const docker = once(async () => await Docker.start(machine, undo, await network()));

  /** @type {import('./report.mjs').Table[]} */
  const tables = [];
  /** @type {import('./report.mjs').Target[]} */
  const targets = [];
  /** @param {import('./report.mjs').Table} table @param {string} name */
  const row = (table, name) => table.rows.find((candidate) => candidate.name === name);
  /** @param {string} op @param {Record<string, unknown>} [request] */
  const ask = (op, request) => async (/** @type {number} */ count) =>
    await ours().ask(op, { count, ...request });

  /** Both floors as subjects. @param {number} count @param {string[]} [more] */
  const floors = (count, more) =>
    /** @type {const} */ (['naive', 'prepared']).map((program) => ({
      name: `${program} floor`,
      unit: 'ms',
      count,
      sample: async (/** @type {number} */ times) => await floor(machine, program, times, more),
    }));

  if (wanted('start')) {
    const table = await compare('Start to exit of a static `true`', [
      { name: 'caisson', unit: 'ms', count: 20, sample: ask('run') },
      ...floors(20),
      { name: 'plain child process of Node', unit: 'ms', count: 20, sample: ask('plainRun') },
      { name: 'crun run', unit: 'ms', count: 6, sample: (count) => ociRun(machine, 'crun', count) },
      { name: 'runc run', unit: 'ms', count: 3, sample: (count) => ociRun(machine, 'runc', count) },
      { name: 'bwrap', unit: 'ms', count: 6, sample: (count) => bwrap(machine, count) },
      {
        name: 'docker run',
        unit: 'ms',
        count: 2,
        sample: async (count) => await (await docker()).run(count),
      },
      {
        name: 'podman run',
        unit: 'ms',
        count: 2,
        rounds: 3,
        sample: (count) => podmanRun(machine, count),
      },
    ]);
    tables.push(table);
    targets.push(
      {
        text: 'start p50 / naive floor',
        kind: 'at most',
        limit: 0.85,
        value: row(table, 'naive floor')?.ratio50,
      },
      {
        text: 'start p50 / prepared floor',
        kind: 'at most',
        limit: 1.4,
        value: row(table, 'prepared floor')?.ratio50,
      },
      {
        text: 'start p50 / crun run',
        kind: 'at most',
        limit: 0.3,
        value: row(table, 'crun run')?.ratio50,
      },
      {
        text: 'start p50 / docker run',
        kind: 'at most',
        limit: 1 / 80,
        value: row(table, 'docker run')?.ratio50,
      },
    );
  }

  if (wanted('limits')) {
    const limits = ['--limits'];
    const notes = [
      'Memory and swap, shares, a quota, a cpuset and pids: on cgroup v1 six hierarchies, each with a group of the ' +
        "container's own, which the floors make and limit with the same calls. Limits that were asked for before find a " +
        'group that has them; new ones do not, and their groups are removed again.',
    ];
    const table = await compare(
      'Start to exit of a static `true`, with limits',
      [
        { name: 'caisson', unit: 'ms', count: 20, sample: ask('run', { limited: 'same' }) },
        ...floors(20, limits),
        {
          name: 'crun run',
          unit: 'ms',
          count: 6,
          sample: (count) => ociRun(machine, 'crun', count, true),
        },
        {
          name: 'runc run',
          unit: 'ms',
          count: 3,
          sample: (count) => ociRun(machine, 'runc', count, true),
        },
        {
          name: 'caisson, limits new each time',
          unit: 'ms',
          count: 20,
          sample: ask('run', { limited: 'fresh' }),
        },
        { name: 'caisson, without limits', unit: 'ms', count: 20, sample: ask('run') },
      ],
      { notes },
    );
    tables.push(table);
    for (const [name, limit] of /** @type {const} */ ([
      ['naive floor', 0.85],
      ['prepared floor', 1.4],
      ['crun run', 0.35],
    ])) {
      const value = row(table, name)?.ratio50;
      targets.push({ text: `with limits: start p50 / ${name}`, kind: 'at most', limit, value });
    }
    const seconds = 1;
    const rates = await compare('Containers with limits per second, 8 at once', [
      {
        name: 'caisson',
        unit: '/s',
        rate: true,
        count: 1,
        sample: async () => [
          await ours().ask('rate', { atOnce: 8, ms: seconds * 1000, limited: 'same' }),
        ],
      },
      {
        name: 'caisson, limits new each time',
        unit: '/s',
        rate: true,
        count: 1,
        sample: async () => [
          await ours().ask('rate', { atOnce: 8, ms: seconds * 1000, limited: 'fresh' }),
        ],
      },
      {
        name: 'naive floor',
        unit: '/s',
        rate: true,
        count: 1,
        sample: async () => [await floorRate(machine, 8, seconds, limits)],
      },
    ]);
    tables.push(rates);
    targets.push({
      text: 'with limits: rate at 8 / naive at 8',
      kind: 'at least',
      limit: 0.8,
      value: row(rates, 'naive floor')?.ratio50,
    });
  }

  if (wanted('alone')) {
    const pause = 50;
    const more = ['--pause', String(pause)];
    const notes = [
      'Kernels whose cgroups were not mounted with `favordynmods` wait for an RCU grace period when a process joins ' +
        'a group by writing to `cgroup.procs`, unless another one did just before.',
    ];
    const subjects = [
      { name: 'caisson', unit: 'ms', count: 10, sample: ask('run', { pauseMs: pause }) },
      ...floors(10, more),
    ];
    tables.push(await compare(`The same, each after ${pause} ms of nothing`, subjects, { notes }));
  }

  if (wanted('exec')) {
    const table = await compare('A further process in a running container (exec of `true`)', [
      { name: 'caisson', unit: 'ms', count: 20, sample: ask('exec') },
      {
        name: 'floor',
        unit: 'ms',
        count: 20,
        sample: (count) => floor(machine, 'naive', count, ['--exec']),
      },
      {
        name: 'crun exec',
        unit: 'ms',
        count: 6,
        sample: (count) => ociExec(machine, 'crun', count),
      },
      {
        name: 'docker exec',
        unit: 'ms',
        count: 2,
        sample: async (count) => await (await docker()).exec(count),
      },
    ]);
    tables.push(table);
    targets.push({
      text: 'exec p50 / crun exec',
      kind: 'at most',
      limit: 0.3,
      value: row(table, 'crun exec')?.ratio50,
    });
  }

  if (wanted('first-byte')) {
    tables.push(
      await compare('From `spawn` to the first byte of output', [
        { name: 'caisson', unit: 'ms', count: 20, sample: ask('firstByte') },
        {
          name: 'plain child process of Node',
          unit: 'ms',
          count: 20,
          sample: ask('plainFirstByte'),
        },
      ]),
    );
  }

  if (wanted('rate')) {
    const seconds = 1;
    for (const atOnce of [8, 32]) {
      const table = await compare(`Containers per second, ${atOnce} at once`, [
        {
          name: 'caisson',
          unit: '/s',
          rate: true,
          count: 1,
          sample: async () => [await ours().ask('rate', { atOnce, ms: seconds * 1000 })],
        },
        {
          name: 'naive floor',
          unit: '/s',
          rate: true,
          count: 1,
          sample: async () => [await floorRate(machine, atOnce, seconds)],
        },
      ]);
      tables.push(table);
      if (atOnce === 8) {
        targets.push({
          text: 'rate at 8 / naive at 8',
          kind: 'at least',
          limit: 0.8,
          value: row(table, 'naive floor')?.ratio50,
        });
      }
    }
  }

  if (wanted('rootless')) {
    const table = await compare('Rootless', [
      { name: 'caisson', unit: 'ms', count: 20, sample: ask('run') },
      {
        name: 'caisson as an ordinary user',
        unit: 'ms',
        count: 20,
        sample: async (count) => await rootless().ask('run', { count }),
      },
    ]);
    tables.push(table);
    const [asRoot, asUser] = [
      row(table, 'caisson')?.p50,
      row(table, 'caisson as an ordinary user')?.p50,
    ];
    targets.push({
      text: 'rootless p50 / root p50',
      kind: 'at most',
      limit: 1.3,
      value: asRoot === undefined || asUser === undefined ? undefined : asUser / asRoot,
    });
  }

  if (wanted('cat')) {
    const bytes = (quick ? 128 : 1024) * 2 ** 20;
    const table = await compare(`${bytes / 2 ** 20} MiB through \`cat\``, [
      {
        name: 'caisson',
        unit: 'MiB/s',
        rate: true,
        count: 1,
        rounds: 5,
        sample: ask('cat', { bytes }),
      },
      {
        name: 'plain child process of Node',
        unit: 'MiB/s',
        rate: true,
        count: 1,
        rounds: 5,
        sample: ask('plainCat', { bytes }),
      },
    ]);
    tables.push(table);
    targets.push({
      text: 'throughput of cat / plain child process',
      kind: 'at least',
      limit: 0.8,
      value: row(table, 'plain child process of Node')?.ratio50,
    });
  }

  if (wanted('opening')) {
    let number = 0;
    const kinds = ['importMs', 'openMs', 'secondMs'];
    /** @type {Map<number, Promise<any>>} */
    const measured = new Map();
    /** One process a round; each subject takes its part of what it said. @param {number} index */
    const part = (index) => async () => {
      if (index === 0) {
        const fresh = Ours.start(machine, undo, { name: `opening-${++number}` });
        measured.set(number, fresh.ask('opening'));
        await measured.get(number);
        await fresh.end();
      }
      return [(await measured.get(number))[kinds[index] ?? '']];
    };
    const table = await compare('Opening', [
      { name: 'import', unit: 'ms', count: 1, sample: part(0) },
      { name: 'Runtime.open', unit: 'ms', count: 1, sample: part(1) },
      { name: 'a second Runtime.open', unit: 'ms', count: 1, sample: part(2) },
    ]);
    tables.push(table);
    targets.push(
      { text: 'import, ms', kind: 'at most', limit: 60, value: row(table, 'import')?.p50 },
      {
        text: 'Runtime.open, ms',
        kind: 'at most',
        limit: 15,
        value: row(table, 'Runtime.open')?.p50,
      },
    );
  }

  /**
   * Subjects that are measured once.
   *
   * @param {string} title
   * @param {string} op
   * @param {Record<string, unknown>} request
   * @param {(answer: any) => { rows: [string, string, number][], notes: string[] }} show
   */
  const single = async (title, op, request, show) => {
    if (interrupted) return;
    progress(title);
    try {
      // A process of its own: what other parts left in it would count.
      const fresh = Ours.start(machine, undo, { name: op });
      const { rows, notes } = show(await fresh.ask(op, request));
      await fresh.end();
      tables.push({
        title,
        notes: [...rows.map(([name, unit, value]) => `${name}: ${round(value)} ${unit}`), ...notes],
        rows: [],
      });
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      tables.push({ title, rows: [{ name: 'caisson', unit: '', note: error.message }], notes: [] });
    }
    progress('');
  };
  /** @param {number} value */
  const round = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));

  if (wanted('cpu')) {
    await single('Processor time of one run', 'cpu', { count: quick ? 50 : 500 }, (answer) => ({
      rows: [
        ['Node, all its threads', 'ms', answer.nodeMs],
        ['event loop active (perf_hooks)', 'ms', answer.loopActiveMs],
        ['supervisor with its hands', 'ms', answer.supervisorMs],
      ],
      notes: [],
    }));
  }

  if (wanted('loop')) {
    const request = { count: quick ? 80 : 800, atOnce: 8, times: quick ? 1 : 5 };
    await single('Longest turn of the event loop', 'loop', request, (series) => {
      const middle = (pick) => percentile(series.map(pick), 0.5);
      const withoutCollection = ({ sequential, many }) =>
        Math.max(sequential.withoutCollectionMs, many.withoutCollectionMs);
      const turns = series.reduce(
        (sum, { sequential, many }) => sum + sequential.turns + many.turns,
        0,
      );
      targets.push({
        text: 'longest turn of the loop, ms of processor time',
        kind: 'at most',
        limit: 2,
        value: middle(withoutCollection),
      });
      const rows = [
        ['one run after the other', (one) => one.sequential.withoutCollectionMs],
        ['8 runs at once', (one) => one.many.withoutCollectionMs],
        ['with the garbage collector, one after the other', (one) => one.sequential.ownMs],
        ['with the garbage collector, 8 at once', (one) => one.many.ownMs],
        ['by the clock, one after the other', (one) => one.sequential.clockMs],
        ['by the clock, 8 at once', (one) => one.many.clockMs],
        ['the call of `Container.run` itself, by the clock', (one) => one.longestCallMs],
        ['nothing running for a second, for comparison', (one) => one.idleTurn.ownMs],
        ['nothing running, by the clock', (one) => one.idleTurn.clockMs],
      ];
      return {
        rows: [
          ...rows.map(([text, pick]) => [text, 'ms', middle(pick)]),
          ['the longest of all', 'ms', Math.max(...series.map(withoutCollection))],
          [
            'the longest of all with nothing running',
            'ms',
            Math.max(...series.map(({ idleTurn }) => idleTurn.ownMs)),
          ],
        ],
        notes: [
          'How: a `setImmediate` that sets itself again keeps the loop turning; what lies between two of its calls holds ' +
            'every callback in between, so it bounds each of them. In processor time of the thread, as what others ' +
            `take in between says nothing of the library; by the clock it is there. ${turns} turns in ${series.length} ` +
            'series, of whose longest turns this is the median: what a hypervisor takes from a thread counts as its own ' +
            'time, and comes when nothing is running too.',
        ],
      };
    });
  }

  if (wanted('idle')) {
    const containers = quick ? 50 : 500;
    await single(
      `${containers} idle containers`,
      'idle',
      { containers, count: quick ? 20 : 200 },
      (answer) => {
        targets.push(
          {
            text: 'KiB of Node and supervisor per idle container',
            kind: 'at most',
            limit: 64,
            value: answer.bytesPerContainer / 1024,
          },
          {
            text: `start p50 with ${containers} running / with none`,
            kind: 'at most',
            limit: 1.3,
            value: answer.crowdedMs / answer.aloneMs,
          },
        );
        return {
          rows: [
            ['Node and supervisor, per container', 'KiB', answer.bytesPerContainer / 1024],
            ['of which Node', 'KiB', answer.nodeBytesPerContainer / 1024],
            ['of which supervisor', 'KiB', answer.supervisorBytesPerContainer / 1024],
            [
              'the whole machine, kernel included, per container',
              'KiB',
              answer.machineBytesPerContainer / 1024,
            ],
            ['start p50 before', 'ms', answer.aloneMs],
            [`start p50 with ${containers} running`, 'ms', answer.crowdedMs],
          ],
          notes: ['Memory of a process is its proportional set size, after a collection.'],
        };
      },
    );
  }

  if (wanted('images') && !interrupted) {
    try {
      const bench = { machine, undo, quick, rounds, compare, docker, network };
      const images = await benchImages(bench);
      tables.push(...images.tables);
      targets.push(...images.targets);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      tables.push({
        title: 'Images',
        rows: [{ name: 'caisson', unit: '', note: error.message }],
        notes: [],
      });
    }
  }

  const result = {
    machine: { ...describeMachine(), othersPercent: Math.round(others * 100) },
    versions: [
      ...version('crun', '--version'),
      ...version('runc', '--version'),
      ...version('bwrap', '--version'),
      ...version('dockerd', '--version'),
      ...version('podman', '--version'),
      ...version('skopeo', '--version'),
      ...version('umoci', '--version'),
      ...version('ctr', '--version'),
    ],
    rounds,
    tables,
    targets,
  };
  if (interrupted) return;
  if (options.json === '-') {
    process.stdout.write(`${JSON.stringify(result)}\n`);
    return;
  }
  const put = (text) => {
    process.stdout.write(text);
    if (options.write) appendFileSync(join(BENCH, '../BENCHMARKS.md'), text);
  };
  if (options.write) writeFileSync(join(BENCH, '../BENCHMARKS.md'), '');
  put(page(result));
  if (options.vm) put(`\n${vmPart(inTheVm())}`);
  if (options.json !== undefined)
    writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`);
}

try {
  if (process.getuid?.() !== 0) throw new Unavailable('the floors and most peers need root');
  await main();
} catch (error) {
  console.error(error instanceof Unavailable ? `bench: ${error.message}` : error);
  process.exitCode = 1;
} finally {
  await undo.all();
  if (interrupted) process.exitCode = 130;
}
