import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect } from 'vitest';
import { Registry, Runtime } from '../../lib/index.js';
import { Registries } from '../../lib/registry/registries.js';
import { parseRegistries } from '../../lib/runtime/registries-request.js';
import { atEnd, undoAtEnd } from '../helpers/at-end.js';
import { dockerRegistry, USER } from '../helpers/docker-registry.js';
import { imageParts, pushParts } from '../helpers/image-parts.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import { fileFolder, tempStore } from '../helpers/temp.js';

const { describe, test } = needs('registry', 'skopeo', 'native');

checkLeaks();
undoAtEnd();
const folder = fileFolder('peers');
const before = process.env['DOCKER_CONFIG'];
beforeEach(() => {
  mkdirSync(join(folder, 'docker'), { recursive: true });
  process.env['DOCKER_CONFIG'] = join(folder, 'docker');
});
afterEach(() => {
  if (before === undefined) delete process.env['DOCKER_CONFIG'];
  else process.env['DOCKER_CONFIG'] = before;
});

async function skopeo(...args: string[]): Promise<unknown> {
  const { stdout } = await promisify(execFile)('skopeo', args);
  return args[0] === 'inspect' ? JSON.parse(stdout) : stdout;
}

describe('skopeo', () => {
  test('reads what we pushed, with the credentials that login stored; we read what it copied', async () => {
    const host = await dockerRegistry({ auth: 'htpasswd' });
    const all = new Registries(parseRegistries([{ host, auth: USER }], 'registries'));
    atEnd(async () => await all.close());
    const client = all.client(host);
    const image = imageParts({ os: 'linux', architecture: 'arm64' });
    await pushParts(client, 'ours', '1', image);

    const registry = new Registry(host);
    atEnd(async () => await registry.close());
    const authFile = await registry.login(USER);
    const flags = ['--authfile', authFile, '--tls-verify=false'];
    expect(await skopeo('inspect', ...flags, `docker://${host}/ours:1`)).toMatchObject({
      Digest: image.manifest.digest,
      Architecture: 'arm64',
      Layers: image.layers.map(({ digest }) => digest),
    });
    await skopeo(
      'copy',
      ...['--authfile', authFile, '--src-tls-verify=false', '--dest-tls-verify=false'],
      ...['--format', 'v2s2', `docker://${host}/ours:1`, `docker://${host}/theirs:1`],
    );
    expect(await registry.config('theirs:1', { platform: 'linux/arm64' })).toMatchObject({
      id: image.config.digest,
      platform: { os: 'linux', architecture: 'arm64' },
    });
    expect(await registry.manifest('theirs:1')).toMatchObject({
      mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
    });
  });
});

describe('a Registry of a Runtime', () => {
  test('is reached as that says, until it is closed', async () => {
    const host = await dockerRegistry({ auth: 'htpasswd' });
    const store = await tempStore();
    atEnd(store.remove);
    const runtime = await Runtime.open({ ...store.options, registries: [{ host, auth: USER }] });
    atEnd(async () => await runtime.close());
    await new Registry(host, { runtime }).ping();
    await expect(new Registry(host).ping()).rejects.toMatchObject({ code: 'ERR_REGISTRY_DENIED' });
    await runtime.close();
    await expect(new Registry(host, { runtime }).ping()).rejects.toMatchObject({
      code: 'ERR_RUNTIME_CLOSED',
    });
  });
});
