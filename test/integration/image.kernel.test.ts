// What of images depends on the kernel's age, with a registry that costs nothing: also in the emulated machine.
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { Container, Image } from '../../lib/index.js';
import { digestOf } from '../../lib/store/digest.js';
import { MEDIA_TYPES } from '../../lib/store/images.js';
import { tarOf } from '../helpers/archive.js';
import { undoAtEnd } from '../helpers/at-end.js';
import { documentOf } from '../helpers/image-parts.js';
import { busybox, needs } from '../helpers/needs.js';
import { timeoutMs } from '../helpers/patience.js';
import { json, recorder } from '../helpers/recorder.js';
import { testRuntime } from '../helpers/runtime.js';

const { test } = needs('native', 'userns', 'busybox');
const t = testRuntime();
undoAtEnd();

test(
  'an image is pulled, runs with its whiteouts, is whole, and is gone',
  async () => {
    const layers = [
      tarOf([
        { name: 'bin/', type: '5', mode: 0o755, id: 0 },
        { name: 'bin/sh', data: readFileSync(busybox() ?? ''), mode: 0o755, id: 0 },
        { name: 'data/', type: '5', mode: 0o755, id: 0 },
        { name: 'data/old', data: 'old', id: 0 },
        { name: 'data/kept', data: 'kept', id: 0 },
      ]),
      tarOf([
        { name: 'data/.wh.old', id: 0 },
        { name: 'data/new', data: 'new', id: 0 },
      ]),
    ].map((tar) => ({ mediaType: MEDIA_TYPES.layerTar, digest: digestOf(tar), bytes: tar }));
    const config = documentOf(MEDIA_TYPES.config, {
      os: 'linux',
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      config: { Cmd: ['/bin/sh', '-c', 'echo /data/*'] },
      rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
    });
    const described = [config, ...layers].map(({ mediaType, digest, bytes }) => ({ mediaType, digest, size: bytes.length })); // prettier-ignore
    const manifest = documentOf(MEDIA_TYPES.manifest, {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.manifest,
      config: described[0],
      layers: described.slice(1),
    });
    const blobs = new Map(
      [config, ...layers].map(({ digest, bytes }) => [digest as string, bytes]),
    );
    const server = await recorder(({ url }, response) => {
      const name = url.slice(url.lastIndexOf('/') + 1);
      const blob = blobs.get(name);
      if (url === '/v2/') json(response, 200, {});
      else if (url.includes('/manifests/'))
        response.writeHead(200, { 'content-type': MEDIA_TYPES.manifest }).end(manifest.bytes); // prettier-ignore
      else if (blob !== undefined) response.end(blob);
    });

    const name = `${server.host}/app:1`;
    const { runtime } = t;
    const { stdout } = await Container.run(name, undefined, { runtime });
    expect(stdout).toBe('/data/kept /data/new\n');
    expect(await runtime.images.verify()).toMatchObject({ ok: true, layers: 2 });
    const image = await Image.get(name, { runtime });
    await image.remove();
    expect(await Image.list({ runtime })).toEqual([]);
  },
  timeoutMs(20),
);
