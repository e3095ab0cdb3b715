// The images that are loaded and pulled, made by other tools: mmdebstrap, GNU tar, umoci and skopeo.

import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { BENCH, hasProgram, output, Unavailable } from './machine.mjs';

/**
 * @typedef {object} Fixture
 * @property {string} name      in the layout, and of the repository `bench/NAME`
 * @property {string} oci       an OCI archive; its layers are compressed with gzip
 * @property {string} docker    a docker-archive; its layers are plain
 * @property {string[]} gzips   the layers alone, as files
 * @property {string[]} tars    the same, plain
 * @property {number} tarBytes
 *
 * @typedef {object} Fixtures
 * @property {string} layout
 * @property {Fixture} one      all of it in one layer
 * @property {Fixture} many     the same files in several layers, of as many bytes each
 * @property {() => Promise<Fixture>} large  one layer of seven times as much
 */

/**
 * @param {import('./machine.mjs').Machine} machine
 * @param {{ quick: boolean }} options  `quick`: of some files of this package, not of a distribution
 * @returns {Promise<Fixtures>}
 */
export async function makeFixtures(machine, { quick }) {
  for (const program of ['umoci', 'skopeo', ...(quick ? [] : ['mmdebstrap'])]) {
    if (!hasProgram(program)) throw new Unavailable(`${program} is not installed`);
  }
  const folder = join(machine.folder, 'images');
  const tree = join(folder, 'tree');
  mkdirSync(folder, { mode: 0o755 });
  if (quick) someFiles(machine, tree);
  else await debian(tree);

  const layout = join(folder, 'layout');
  await output('umoci', ['init', '--layout', layout]);
  const whole = await tarOf(tree, join(folder, 'one.tar'));
  const parts = [];
  for (const [i, names] of partsOf(tree, quick ? 3 : 12).entries()) {
    const list = join(folder, `many-${i}.list`);
    writeFileSync(list, names.join('\0'));
    parts.push(
      await tarOf(tree, join(folder, `many-${i}.tar`), ['--no-recursion', '--null', '-T', list]),
    );
  }
  const make = async (/** @type {string} */ name, /** @type {string[]} */ tars) =>
    await imageOf(folder, layout, name, tars);
  return {
    layout,
    one: await make('one', [whole]),
    many: await make('many', parts),
    large: async () => {
      const tar = join(folder, 'large.tar');
      for (let i = 0; i < 7; ++i) {
        const copy = [`--transform=s,^[.],./copy-${i},S`, '.'];
        await output('tar', ['-C', tree, '--numeric-owner', '-rf', tar, ...copy]);
      }
      return await make('large', [tar]);
    },
  };
}

/** @param {string} target */
async function debian(target) {
  const release = /^VERSION_CODENAME=(.*)$/mu.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  const sources = ['sources.list', 'sources.list.d/debian.sources', 'sources.list.d/ubuntu.sources']
    .map((name) => join('/etc/apt', name))
    .filter((path) => existsSync(path));
  await output('mmdebstrap', [
    ...['--quiet', '--variant=minbase', '--include=perl', '--dpkgopt=force-unsafe-io'],
    ...[release ?? 'bookworm', target, ...sources],
  ]);
}

/** @param {import('./machine.mjs').Machine} machine @param {string} target */
function someFiles(machine, target) {
  cpSync(machine.image, target, { recursive: true, verbatimSymlinks: true });
  for (const name of ['eslint', 'vitest']) {
    const source = join(BENCH, '../node_modules', name);
    if (existsSync(source))
      cpSync(source, join(target, name), { recursive: true, dereference: true });
  }
}

/** @param {string} tree @param {string} tar @param {string[]} [what] */
async function tarOf(tree, tar, what = ['.']) {
  const xattrs = ['--xattrs', '--xattrs-include=*'];
  await output('tar', ['-C', tree, '--numeric-owner', ...xattrs, '-cf', tar, ...what]);
  return tar;
}

/** The names in a tree in order, in parts of as many bytes each. @param {string} tree @param {number} count */
function partsOf(tree, count) {
  const found = execFileSync('find', ['.', '-mindepth', '1', '-printf', '%s %p\\0'], {
    cwd: tree,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  const files = found
    .split('\0')
    .slice(0, -1)
    .map((line) => {
      const space = line.indexOf(' ');
      return { name: line.slice(space + 1), bytes: Number(line.slice(0, space)) + 512 };
    });
  files.sort((a, b) => (a.name < b.name ? -1 : 1));
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  /** @type {string[][]} */
  const parts = Array.from({ length: count }, () => []);
  let before = 0;
  for (const { name, bytes } of files) {
    parts[Math.floor((count * before) / total)]?.push(name);
    before += bytes;
  }
  return parts;
}

/**
 * @param {string} folder
 * @param {string} layout
 * @param {string} name
 * @param {string[]} tars
 * @returns {Promise<Fixture>}
 */
async function imageOf(folder, layout, name, tars) {
  const image = `${layout}:${name}`;
  await output('umoci', ['new', '--image', image]);
  for (const tar of tars) await output('umoci', ['raw', 'add-layer', '--image', image, tar]);
  await output('umoci', ['config', '--image', image, '--config.cmd', '/bin/true']);
  const [oci, docker] = [join(folder, `${name}.oci.tar`), join(folder, `${name}.docker.tar`)];
  const copy = async (/** @type {string} */ target) =>
    await output('skopeo', ['copy', '--quiet', `oci:${image}`, target]);
  await copy(`oci-archive:${oci}:${name}`);
  await copy(`docker-archive:${docker}:bench/${name}:latest`);
  const manifest = JSON.parse(await output('skopeo', ['inspect', '--raw', `oci:${image}`]));
  const gzips = manifest.layers.map((/** @type {{ digest: string }} */ { digest }) =>
    join(layout, 'blobs', digest.replace(':', '/')),
  );
  const tarBytes = tars.reduce((sum, tar) => sum + statSync(tar).size, 0);
  return { name, oci, docker, gzips, tars, tarBytes };
}
