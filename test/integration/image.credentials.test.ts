import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';

import { Container, Image, Registry, Runtime, type RegistryConfig } from '../../lib/index.js';
import { atEnd, undoAtEnd } from '../helpers/at-end.js';
import { authority, startRegistry, USER } from '../helpers/docker-registry.js';
import { busyboxLayer, imageRegistry, skopeoCopy } from '../helpers/image-registry.js';
import { startProxy } from '../helpers/fault-proxy.js';
import { writeLayout } from '../helpers/layout.js';
import { needs } from '../helpers/needs.js';
import { rejection, testRuntime } from '../helpers/runtime.js';
import { fileFolder } from '../helpers/temp.js';
import { tokenServer } from '../helpers/token-server.js';

// Pulls and pushes by registries that ask who one is, that are reached by way of others, or by TLS of one's own.
const { describe, test } = needs('registry', 'skopeo', 'busybox', 'openssl');
const folder = fileFolder('credentials');
const r = imageRegistry(folder, { auth: 'htpasswd' });
const t = testRuntime();
undoAtEnd();

const docker = join(folder, 'docker');
const before = process.env['DOCKER_CONFIG'];
beforeEach(() => {
  mkdirSync(docker, { recursive: true });
  process.env['DOCKER_CONFIG'] = docker;
});
afterEach(() => {
  rmSync(docker, { recursive: true });
  if (before === undefined) delete process.env['DOCKER_CONFIG'];
  else process.env['DOCKER_CONFIG'] = before;
});

const WRONG = { username: USER.username, password: 'wrong' };
const publish = (): Promise<string> => r.publish({ layers: [busyboxLayer(folder)] });
/** Another Runtime on the store, which is closed before the test's own. */
async function withRegistries(...registries: RegistryConfig[]): Promise<Runtime> {
  const runtime = await Runtime.open({ ...t.store.options, registries });
  atEnd(() => runtime.close());
  return runtime;
}
const expectRuns = async (image: Image | string, runtime = t.runtime): Promise<void> => {
  const { stdout } = await Container.run(image, ['/bin/busybox', 'echo', 'runs'], { runtime });
  expect(stdout).toBe('runs\n');
};

describe('a registry with a name and a password', () => {
  test('of the call: none and wrong ones are refused, by pulls and pushes alike', async () => {
    const name = await publish();
    const { runtime } = t;
    const REFUSED = { name: 'RegistryError', code: 'ERR_REGISTRY_DENIED', status: 401 };
    for (const auth of [{}, { auth: WRONG }]) {
      expect(await rejection(Image.pull(name, { runtime, ...auth }))).toMatchObject(REFUSED);
    }
    const image = await Image.pull(name, { runtime, auth: USER });
    await expectRuns(image);
    const other = name.replace('image-', 'pushed-');
    for (const auth of [{}, { auth: WRONG }]) {
      expect(await rejection(image.push(other, auth))).toMatchObject(REFUSED);
    }
    expect(await image.push(other, { auth: USER })).toMatch(/^sha256:/);
    // They were for those calls.
    expect(await rejection(image.push(other))).toMatchObject(REFUSED);
  });

  test('of the Runtime; those of the call count more', async () => {
    const name = await publish();
    const runtime = await withRegistries({ host: r.proxy.host, auth: USER });
    expect(
      await rejection(Image.pull(name, { runtime, auth: WRONG, policy: 'always' })),
    ).toMatchObject({ code: 'ERR_REGISTRY_DENIED' });
    await expectRuns(name, runtime);
  });

  test('that `docker login` has stored, also while the Runtime is open', async () => {
    const name = await publish();
    const { runtime } = t;
    const file = join(docker, 'config.json');
    const auth = Buffer.from('user:old').toString('base64');
    writeFileSync(file, JSON.stringify({ auths: { [r.proxy.host]: { auth } } }));
    expect(await rejection(Image.pull(name, { runtime }))).toMatchObject({
      code: 'ERR_REGISTRY_DENIED',
    });
    await using registry = new Registry(r.proxy.host);
    await registry.login(USER);
    await expectRuns(await Image.pull(name, { runtime }));
  });
});

describe('a registry with tokens', () => {
  test('that end while layers come, and while they go', async () => {
    const { tls } = await authority();
    const tokens = await tokenServer(tls, { lifeS: 1 });
    const registry = await startRegistry(join(folder, 'tokens'), {
      auth: { realm: `${tokens.url}/token`, certificate: readFileSync(tls.certificate, 'utf8') },
    });
    atEnd(async () => await registry[Symbol.asyncDispose]());
    const proxy = await startProxy(registry.host);
    atEnd(async () => await proxy[Symbol.asyncDispose]());
    const runtime = await withRegistries({
      host: proxy.host,
      auth: USER,
      authHosts: [tokens.host],
    });

    const name = `${proxy.host}/app:1`;
    const image = await Image.fromRootfs('/etc/apt', {}, { runtime });
    proxy.fault = (line, times) =>
      line.startsWith('PUT') && times === 1 ? { kind: 'slow', ms: 1100 } : undefined;
    await image.push(name);
    await image.remove();
    // Each blob breaks off after some bytes, and there is time for a token to end before it goes on.
    const seen: string[] = [];
    proxy.fault = (line, times) => {
      if (!line.includes('/blobs/')) return undefined;
      seen.push(line);
      return times === 1 ? { kind: 'cut', after: 100 } : { kind: 'slow', ms: 1100 };
    };
    const given = tokens.requests.length;
    const back = await Image.pull(name, { runtime });
    expect(back.id).toBe(image.id);
    expect(new Set(seen).size).toBe(2);
    expect(tokens.requests.length - given).toBeGreaterThan(1);
    for (const { url } of tokens.requests.slice(given)) {
      expect(new URL(url, tokens.url).searchParams.getAll('scope')).toEqual([
        'repository:app:pull',
      ]);
    }
  });
});

describe('a registry that is reached in another way', () => {
  test('by a mirror: what it has, and from the registry what it has not', async () => {
    const name = await publish();
    const path = name.slice(name.indexOf('/') + 1);
    const runtime = await withRegistries(
      { host: 'mirrored.invalid', mirrors: [r.proxy.host], auth: WRONG },
      { host: r.proxy.host, auth: USER },
    );
    const image = await Image.pull(`mirrored.invalid/${path}`, { runtime });
    // It is called by the name that was asked for.
    expect(image.tags).toEqual([`mirrored.invalid/${path}`]);
    await expectRuns(`mirrored.invalid/${path}`, runtime);
    expect(await rejection(Image.pull('mirrored.invalid/none:1', { runtime }))).toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
      details: { registry: 'mirrored.invalid' },
    });
  });

  test('by TLS of an authority of one’s own', async () => {
    const { ca, tls } = await authority();
    const registry = await startRegistry(join(folder, 'tls'), { tls });
    atEnd(async () => await registry[Symbol.asyncDispose]());
    const name = `${registry.host}/app:1`;
    const layout = await writeLayout(join(folder, 'tls-layout'), {
      layers: [busyboxLayer(folder)],
    });
    skopeoCopy(`oci:${layout}:base`, `docker://${name}`);
    expect(await rejection(Image.pull(name, { runtime: t.runtime }))).toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
    });
    for (const how of [{ ca }, { insecure: true }]) {
      const runtime = await withRegistries({ host: registry.host, ...how });
      const image = await Image.pull(name, { runtime, policy: 'always' });
      await expectRuns(image, runtime);
      expect(await image.push(name.replace(':1', ':2'))).toMatch(/^sha256:/);
    }
  });
});
