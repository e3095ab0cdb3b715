import { chmod, copyFile, readFile, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import {
  Container,
  Image,
  Runtime,
  type ContainerOptions,
  type ImageConfig,
} from '../../lib/index.js';
import { loadNative } from '../../lib/native/load.js';
import { repository, UNGUARDED } from './native.js';
import { busyboxRootfs } from './rootfs.js';
import { tempFolder, tempStore } from './temp.js';

/** What an attack has to work with. */
export interface Target {
  readonly runtime: Runtime;
  /** Folder of its store on this machine: all of it that a child still sees before it is in its root. */
  readonly store: string;
  /** This machine's own programs. */
  readonly host: Image;
  /** A busybox root file system that `change` has been at. */
  image(change?: (root: string) => Promise<unknown>, config?: ImageConfig): Promise<Image>;
  /** A container that only sleeps. */
  sleeper(options?: Partial<ContainerOptions>): Promise<Container>;
  /** The output of a command. */
  run(
    image: Image,
    argv: string[],
    options?: Partial<Omit<ContainerOptions, 'image' | 'argv'>>,
  ): Promise<string>;
}

/** The names of addon/base/guard.h, in order: the position is the number. */
const GUARDS = [
  ...(readFileSync(join(repository, 'addon/base/guard.h'), 'utf8')
    .split(/enum class Guard[^{]*\{|\};/)[1]
    ?.matchAll(/^ {2}(k\w+)/gm) ?? []),
].map(([, name]) => name);

const MARK = Buffer.from('CAISSON-GUARD-OUT: ');

/** A supervisor without `guard`, made of the one that is built for it. */
async function takeOut(guard: string, path: string): Promise<void> {
  const number = GUARDS.indexOf(guard);
  if (number < 0) throw new Error(`addon/base/guard.h has no ${guard}`);
  const program = await readFile(UNGUARDED);
  const mark = program.indexOf(MARK);
  if (mark < 0 || program.includes(MARK, mark + 1)) throw new Error('the mark is not there, once');
  program.writeUInt8(number, mark + MARK.length);
  await writeFile(path, program);
}

async function against<T>(
  guard: string | undefined,
  body: (target: Target) => Promise<T>,
): Promise<T> {
  await using folder = await tempFolder();
  await chmod(folder.path, 0o755);
  const native = loadNative() as { supervisor: string };
  const shipped = native.supervisor;
  // A copy in any case: an attack may be at it.
  const copy = join(folder.path, 'caisson-supervisor');
  if (guard === undefined) await copyFile(shipped, copy);
  else await takeOut(guard, copy);
  await chmod(copy, 0o755);
  const store = await tempStore();
  native.supervisor = copy;
  const runtime = await Runtime.open(store.options).finally(() => (native.supervisor = shipped));
  try {
    return await body(targetOf(runtime, store.options.root));
  } finally {
    await runtime.close();
    await store.remove();
  }
}

function targetOf(runtime: Runtime, store: string): Target {
  const host = Image.host();
  return {
    runtime,
    store,
    host,
    async image(change = () => Promise.resolve(), config = {}) {
      await using folder = await tempFolder();
      await busyboxRootfs(folder.path);
      await change(folder.path);
      return await Image.fromRootfs(folder.path, config, { runtime });
    },
    async sleeper(options) {
      return await Container.start({
        image: host,
        argv: ['sleep', 'infinity'],
        runtime,
        ...options,
      });
    },
    async run(image, argv, options = {}) {
      const { stdout } = await Container.run(image, argv, { runtime, ...options });
      return stdout;
    },
  };
}

/**
 * An attack, which must fail; and must succeed where `guard` alone is taken out, or it would show nothing.
 * `build: 'tests'`: it fails against the build of tests with every guard in place, which has the hole to stop.
 */
export function attack(
  name: string,
  guard: string,
  succeeds: (target: Target) => Promise<boolean>,
  { build = 'shipped' }: { build?: 'shipped' | 'tests' } = {},
): void {
  describe(name, () => {
    test('fails', async () => {
      expect(await against(build === 'tests' ? 'kNone' : undefined, succeeds)).toBe(false);
    });
    test(`succeeds without ${guard}`, async () => {
      expect(await against(guard, succeeds)).toBe(true);
    });
  });
}

/** What no single guard stops: only that it fails can be shown, against what is shipped. */
export const withTarget = (body: (target: Target) => Promise<void>): Promise<void> =>
  against(undefined, body);

/** False when the launch is refused, as an attack may be; other errors are thrown. */
export async function unlessRefused<T>(call: Promise<T>): Promise<T | false> {
  try {
    return await call;
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === 'ERR_LAUNCH_FAILED' || code === 'ERR_USER_NOT_FOUND') return false;
    throw error;
  }
}
