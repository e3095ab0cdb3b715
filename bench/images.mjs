// The part "images": from an archive or a registry to an image that can run, and the memory that takes.

import { execFileSync } from 'node:child_process';
import { readFileSync, statfsSync } from 'node:fs';

import { makeFixtures } from './image-fixtures.mjs';
import { Containerd, Places, PODMAN, startRegistry, timeOf } from './image-peers.mjs';
import { hasProgram, once, Unavailable } from './machine.mjs';
import { mostBytes } from './memory.mjs';
import { Ours, ORDINARY_USER, rootlessObstacle } from './ours.mjs';

/**
 * @typedef {import('./image-fixtures.mjs').Fixture} Fixture
 * @typedef {import('./report.mjs').Table} Table
 *
 * @typedef {object} Bench  of run.mjs
 * @property {import('./machine.mjs').Machine} machine
 * @property {import('./machine.mjs').Undo} undo
 * @property {boolean} quick
 * @property {number} rounds
 * @property {(title: string, subjects: any[], more?: { notes?: string[] }) => Promise<Table>} compare
 * @property {() => Promise<import('./peers.mjs').Docker>} docker
 * @property {() => Promise<import('./image-peers.mjs').Network>} network
 */

const NEEDED_BYTES = 12e9;
const MOST_ROUNDS = 3;
const SCRIPT = 'images-child.mjs';
const PEERS = ['docker load', 'podman load', 'skopeo copy, umoci unpack', 'ctr images import'];

/** What an archive's layers are, and what makes folders of them: $1, $2, … below $0. */
const KINDS = {
  oci: {
    archive: 'an OCI archive',
    layers: 'gzip',
    floor: 'floor: gzip -dc into tar -x',
    line: 'gzip -dc "$layer" | tar -xpf - -C "$0/$i"',
  },
  docker: {
    archive: 'a docker-archive',
    layers: 'plain',
    floor: 'floor: tar -x',
    line: 'tar -xpf "$layer" -C "$0/$i"',
  },
};

/** @param {Fixture} fixture */
const told = ({ tars, tarBytes }) =>
  `${tars.length === 1 ? 'one layer' : `${tars.length} layers`}, ${Math.round(tarBytes / 2 ** 20)} MiB`;

/** @param {string} program */
function needed(program) {
  if (!hasProgram(program)) throw new Unavailable(`${program} is not installed`);
}

/** @param {Bench} bench */
export async function benchImages(bench) {
  const { machine, quick } = bench;
  const { bavail, bsize } = statfsSync(machine.folder);
  if (!quick && bavail * bsize < NEEDED_BYTES) {
    throw new Unavailable(`${NEEDED_BYTES / 1e9} GB of free space are needed for images`);
  }
  const images = new ImageBench(bench);
  const fixtures = await makeFixtures(machine, { quick });
  const { one, many } = fixtures;
  await images.load(one, 'oci');
  if (!quick) await images.load(one, 'docker');
  if (!quick) await images.load(many, 'oci');
  await images.load(many, 'docker');
  await images.pulls(fixtures, quick ? [many] : [one, many]);
  await images.memory(quick ? [one] : [one, many, await fixtures.large()]);
  return images;
}

class ImageBench {
  /** @type {Table[]} */
  tables = [];
  /** @type {import('./report.mjs').Target[]} */
  targets = [];

  /** @param {Bench} bench */
  constructor(bench) {
    const { machine, undo } = bench;
    this.bench = bench;
    this.places = new Places(machine);
    this.containerd = once(async () => await Containerd.start(machine, undo));
    this.ours = once(() => Ours.start(machine, undo, { name: 'images', script: SCRIPT }));
    this.rootless = once(() => {
      const obstacle = rootlessObstacle();
      if (obstacle !== undefined) throw new Unavailable(obstacle);
      const user = { name: 'images-rootless', uid: ORDINARY_USER };
      return Ours.start(machine, undo, { ...user, script: SCRIPT });
    });
  }

  /** @param {Fixture} fixture @param {'oci' | 'docker'} kind */
  async load(fixture, kind) {
    const { archive, layers, floor, line } = KINDS[kind];
    const file = fixture[kind];
    const files = kind === 'oci' ? fixture.gzips : fixture.tars;
    for (const path of [file, ...files]) readFileSync(path); // into the page cache
    const folders = `i=0; for layer; do i=$((i+1)); mkdir "$0/$i"; ${line}; done`;
    const what = `${told(fixture)}, ${layers}`;
    let run = true; // what the first one has made is tried
    const subjects = [
      this.#subject('caisson', async () => {
        const ms = await this.ours().ask('load', { file, run });
        run = false;
        return ms;
      }),
      this.#subject('caisson as an ordinary user', () => this.rootless().ask('load', { file })),
      this.#subject(
        'docker load',
        async () => {
          const { client, host } = await this.bench.docker();
          return await this.#shell('"$1" --host "$2" load --input "$3"', [client, host, file]);
        },
        () => this.#removeFromDocker(`bench/${fixture.name}`),
      ),
      this.#subject('podman load', () => {
        needed('podman');
        return this.#shell(`${PODMAN} load --quiet --input "$1"`, [file]);
      }),
      this.#subject('skopeo copy, umoci unpack', () => {
        const copy = 'skopeo copy --quiet "$1" "oci:$0/layout:x"';
        const unpack = 'umoci unpack --image "$0/layout:x" "$0/bundle"';
        return this.#shell(`${copy}; ${unpack}`, [`${kind}-archive:${file}`]);
      }),
      this.#subject(
        'ctr images import',
        async () => {
          const { client } = await this.containerd();
          return await this.#shell('file=$1; shift; "$@" images import "$file"', [file, ...client]);
        },
        async () => await (await this.containerd()).clear(),
      ),
      this.#subject(floor, () => this.#shell(folders, files)),
      this.#subject(`${floor}, sync -f`, () => this.#shell(`${folders}; sync -f "$0"`, files)),
      // dockerd takes no OCI archives yet.
    ].filter(({ name }) => kind === 'docker' || name !== 'docker load');
    const notes = [
      `Each from ${archive} that lies in the page cache, into a storage that has nothing. What each syncs is in its time.`,
    ];
    const table = await this.#compare(`Load: ${what}`, subjects, notes);
    await this.rootless()
      .ask('clear')
      .catch(() => undefined); // it may never have started

    const p50 = (/** @type {string} */ name) =>
      table.rows.find((row) => row.name === name)?.p50 ?? NaN;
    const peers = PEERS.map(p50).filter((ms) => !Number.isNaN(ms));
    const fastest = peers.length === 0 ? NaN : Math.min(...peers);
    this.#target(`load, ${what}: p50 / fastest peer`, 0.6, p50('caisson') / fastest);
    if (kind === 'oci')
      this.#target(`load, ${what}: p50 / floor`, 1.3, p50('caisson') / p50(floor));
  }

  /** @param {import('./image-fixtures.mjs').Fixtures} all @param {Fixture[]} pulled */
  async pulls(all, pulled) {
    const { machine, undo } = this.bench;
    try {
      const network = await this.bench.network();
      const host = await startRegistry(machine, undo, network, all);
      const there = { name: 'images-online', prefix: network.prefix, script: SCRIPT };
      const online = Ours.start(machine, undo, there);
      for (const fixture of pulled) await this.#pull(fixture, online, host);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      this.tables.push({
        title: 'Pull',
        rows: [{ name: 'all', unit: '', note: error.message }],
        notes: [],
      });
    }
  }

  /** @param {Fixture} fixture @param {Ours} online @param {string} host */
  async #pull(fixture, online, host) {
    const name = `${host}/bench/${fixture.name}`;
    const what = `${told(fixture)}, gzip`;
    const subjects = [
      this.#subject('caisson', () => online.ask('pull', { name })),
      this.#subject(
        'docker pull',
        async () => {
          const daemon = await this.bench.docker();
          const line = '"$1" --host "$2" pull --quiet "$3"';
          return await this.#shell(line, [daemon.client, daemon.host, name]);
        },
        () => this.#removeFromDocker(name),
      ),
      this.#subject('podman pull', () => {
        needed('podman');
        return this.#shell(`${PODMAN} pull --quiet --tls-verify=false "$1"`, [name]);
      }),
      this.#subject(
        'ctr images pull',
        async () => {
          const { client } = await this.containerd();
          const line = 'name=$1; shift; "$@" images pull --plain-http "$name"';
          return await this.#shell(line, [`${name}:latest`, ...client]);
        },
        async () => await (await this.containerd()).clear(),
      ),
      this.#subject('skopeo copy into a layout, not unpacked', () => {
        const line = 'skopeo copy --quiet --src-tls-verify=false "$1" "oci:$0/layout:x"';
        return this.#shell(line, [`docker://${name}`]);
      }),
    ];
    const table = await this.#compare(`Pull from a registry on loopback: ${what}`, subjects);
    await online.ask('clear');
    const docker = table.rows.find((row) => row.name === 'docker pull');
    this.#target(`pull, ${what}: p50 / docker pull`, 0.7, docker?.ratio50);
  }

  /** @param {Fixture[]} fixtures */
  async memory(fixtures) {
    const { machine, undo } = this.bench;
    const notes = [];
    let most = 0;
    for (const fixture of fixtures) {
      for (const kind of /** @type {const} */ (['oci', 'docker'])) {
        // A process of its own: what other parts left in it would count.
        const fresh = Ours.start(machine, undo, { name: `memory-${fixture.name}`, script: SCRIPT });
        const bytes = await mostBytes(fresh.pid, () => fresh.ask('load', { file: fixture[kind] }));
        await fresh.ask('clear');
        await fresh.end();
        most = Math.max(most, bytes);
        notes.push(`${told(fixture)}, ${KINDS[kind].layers}: ${(bytes / 2 ** 20).toFixed(0)} MiB`);
      }
    }
    this.#target('memory of a load, Node and all it starts, MiB', 120, most / 2 ** 20);
    notes.push(
      'The resident set of Node and the proportional sets of the supervisor and all of its processes together, looked at ' +
        'every few milliseconds; the most that was seen. The page cache is not in it.',
    );
    this.tables.push({ title: 'Memory of a load', rows: [], notes });
  }

  /**
   * A subject that is timed once a round, with nothing to be written back before and after.
   *
   * @param {string} name
   * @param {() => Promise<number>} time
   * @param {() => Promise<unknown>} [clear]  what must be gone before its next turn
   */
  #subject(name, time, clear) {
    const { machine, quick, rounds } = this.bench;
    return {
      name,
      unit: 'ms',
      count: 1,
      rounds: quick ? 1 : Math.min(rounds, MOST_ROUNDS),
      sample: async () => {
        const ms = await time();
        await clear?.();
        execFileSync('sync', ['--file-system', machine.folder]);
        return [ms];
      },
    };
  }

  /**
   * What is made stays until nobody is timed: new files are slow beside many that were just removed.
   *
   * @param {string} title
   * @param {any[]} subjects
   * @param {string[]} [notes]
   */
  async #compare(title, subjects, notes = []) {
    const table = await this.bench.compare(title, subjects, { notes });
    this.tables.push(table);
    await this.ours().ask('clear');
    this.places.clear();
    execFileSync('sync', ['--file-system', this.bench.machine.folder]);
    return table;
  }

  /** A command line of others, in a place of its own. @param {string} line @param {string[]} args */
  async #shell(line, args) {
    const { machine, network } = this.bench;
    return await timeOf(machine, line, args, {
      folder: this.places.next(),
      network: await network(),
    });
  }

  /** @param {string} image */
  async #removeFromDocker(image) {
    await (await this.bench.docker()).call('rmi', '--force', image);
  }

  /** @param {string} text @param {number} limit @param {number | undefined} value */
  #target(text, limit, value) {
    this.targets.push({ text, kind: 'at most', limit, value });
  }
}
