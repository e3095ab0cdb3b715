import { createReadStream, createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import * as zlib from 'node:zlib';
import { expect } from 'vitest';

import { Container, Image, Runtime } from '../../lib/index.js';
import { output, umociLayout } from '../helpers/image-tools.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import { rejection } from '../helpers/runtime.js';
import { tempFolder, tempStore } from '../helpers/temp.js';

// Layers are decompressed by the native part, whatever Node this is. What is around them, and the layers of an archive
// for old versions of Docker, by Node: it has zstd from 22.15 on. Both sides are tested, each where it is so.
const { test } = needs('native', 'userns', 'busybox', 'umoci', 'skopeo', 'zstd');
const NODE_HAS_ZSTD = 'zstdCompressSync' in zlib;
const NAME = 'example.com/zstd:1';
checkLeaks();

test(`layers and archives of zstd, with a Node that has ${NODE_HAS_ZSTD ? 'it' : 'it not'}`, async () => {
  await using folder = await tempFolder();
  await using store = await tempStore();
  await using runtime = await Runtime.open(store.options);
  const path = (name: string): string => join(folder.path, name);
  const source = `oci:${await umociLayout(folder.path)}:base`;
  const zstd = ['--dest-compress', '--dest-compress-format', 'zstd'];
  await output('skopeo', 'copy', '-q', ...zstd, source, `oci-archive:${path('a.tar')}:${NAME}`);
  await output('zstd', '-q', path('a.tar'));

  const [image] = await Image.load(path('a.tar'), { runtime });
  const { stdout } = await Container.run(NAME, ['/bin/busybox', 'cat', '/second'], { runtime });
  expect(stdout).toBe('second\n');

  const saved = pipeline(image?.save({ format: 'docker' }) ?? [], createWriteStream(path('b.tar')));
  const loaded = (): Promise<Image[]> =>
    Image.load(createReadStream(path('a.tar.zst')), { runtime });
  if (!NODE_HAS_ZSTD) {
    expect(await rejection(saved)).toMatchObject({ code: 'ERR_UNSUPPORTED', hint: "Save it with { format: 'oci' }." }); // prettier-ignore
    expect(await rejection(loaded())).toMatchObject({ code: 'ERR_UNSUPPORTED' });
    return;
  }
  await saved;
  const inspected = await output('skopeo', 'inspect', `docker-archive:${path('b.tar')}`);
  const diffIds = (await image?.history())?.flatMap(({ diffId }) => diffId ?? []).reverse();
  expect(JSON.parse(inspected)).toMatchObject({ Layers: diffIds });
  await output('skopeo', 'copy', '-q', `docker-archive:${path('b.tar')}`, `oci:${path('c')}:c`);
  await image?.remove();
  expect((await loaded()).map(({ id }) => id)).toEqual([image?.id]);
});
