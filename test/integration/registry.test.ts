import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, vi } from 'vitest';
import { Registry, type RegistryConfig } from '../../lib/index.js';
import { digestOf } from '../../lib/store/digest.js';
import { Registries } from '../../lib/registry/registries.js';
import { resolveManifest } from '../../lib/registry/resolve.js';
import { parseRegistries } from '../../lib/runtime/registries-request.js';
import { MEDIA_TYPES } from '../../lib/store/images.js';
import { atEnd, undoAtEnd } from '../helpers/at-end.js';
import { authority, dockerRegistry, startRegistry, USER } from '../helpers/docker-registry.js';
import { blobSource, documentOf, imageParts, pushParts } from '../helpers/image-parts.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import type { Recorder } from '../helpers/recorder.js';
import { fileFolder, tempFolder } from '../helpers/temp.js';
import { tokenServer } from '../helpers/token-server.js';

const { describe, test } = needs('registry', 'openssl');

checkLeaks();
undoAtEnd();
const docker = fileFolder('docker');
const before = process.env['DOCKER_CONFIG'];
beforeEach(() => {
  mkdirSync(docker, { recursive: true });
  process.env['DOCKER_CONFIG'] = docker;
});
afterEach(() => {
  rmSync(join(docker, 'config.json'), { force: true });
  if (before === undefined) delete process.env['DOCKER_CONFIG'];
  else process.env['DOCKER_CONFIG'] = before;
});

function registries(...configs: RegistryConfig[]): Registries {
  const all = new Registries(parseRegistries(configs, 'registries'));
  atEnd(async () => await all.close());
  return all;
}

function registry(...args: ConstructorParameters<typeof Registry>): Registry {
  const made = new Registry(...args);
  atEnd(async () => await made.close());
  return made;
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

describe('an open registry', () => {
  test('what was pushed is what comes back', async () => {
    const host = await dockerRegistry();
    const client = registries().client(host);
    const image = imageParts();
    await pushParts(client, 'team/app', '1.0', image);
    const fetched = await client.manifest('team/app', '1.0');
    expect(fetched).toEqual({
      mediaType: MEDIA_TYPES.manifest,
      digest: image.manifest.digest,
      bytes: image.manifest.bytes,
    });
    expect(await client.manifest('team/app', image.manifest.digest)).toEqual(fetched);
    const { bytes: _bytes, ...descriptor } = image.manifest;
    expect(await client.head('team/app', '1.0')).toEqual(descriptor);
    for (const layer of image.layers) {
      expect(digestOf(await client.smallBlob('team/app', layer))).toBe(layer.digest);
    }
    expect(await client.pushBlob('team/app', image.config)).toBe('exists');
  });

  test('a blob is mounted from another repository', async () => {
    const host = await dockerRegistry();
    const client = registries().client(host);
    const blob = blobSource(randomBytes(50_000), 'application/octet-stream');
    expect(await client.pushBlob('a', blob)).toBe('uploaded');
    expect(await client.pushBlob('b', blob, { mountFrom: 'a' })).toBe('mounted');
    expect(digestOf(await client.smallBlob('b', blob))).toBe(blob.digest);
    const other = blobSource(randomBytes(50_000), 'application/octet-stream');
    expect(await client.pushBlob('b', other, { mountFrom: 'a' })).toBe('uploaded');
  });

  test('Registry: lists, documents, platforms', async () => {
    const host = await dockerRegistry();
    const client = registries().client(host);
    const [amd, arm] = [
      imageParts({ os: 'linux', architecture: 'amd64' }),
      imageParts({ os: 'linux', architecture: 'arm', variant: 'v6' }),
    ];
    await pushParts(client, 'multi', amd.manifest.digest, amd);
    await pushParts(client, 'multi', arm.manifest.digest, arm);
    const entry = (image: typeof amd, platform: object): object => {
      const { bytes: _bytes, ...descriptor } = image.manifest;
      return { ...descriptor, platform };
    };
    const index = documentOf(MEDIA_TYPES.index, {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.index,
      manifests: [
        entry(amd, { os: 'linux', architecture: 'amd64' }),
        entry(arm, { os: 'linux', architecture: 'arm', variant: 'v6' }),
      ],
    });
    await client.pushManifest('multi', 'latest', index);
    await client.pushManifest('multi', 'v1', index);
    await pushParts(client, 'other/deep/er', 'x', amd);

    const made = registry(host);
    await made.ping();
    expect(await all(made.catalog())).toEqual(['multi', 'other/deep/er']);
    expect((await all(made.tags('multi'))).sort()).toEqual(['latest', 'v1']);
    expect(await made.manifest('multi')).toMatchObject({
      mediaType: MEDIA_TYPES.index,
      digest: index.digest,
      document: { manifests: [{ digest: amd.manifest.digest }, {}] },
    });
    expect(await made.config('multi:v1', { platform: 'linux/arm/v7' })).toMatchObject({
      id: arm.config.digest,
      digest: arm.manifest.digest,
      platform: { os: 'linux', architecture: 'arm', variant: 'v6' },
      document: { config: { Cmd: ['/bin/true'] } },
    });
    await expect(made.config('multi', { platform: 'linux/s390x' })).rejects.toMatchObject({
      code: 'ERR_PLATFORM_NOT_FOUND',
      details: { available: ['linux/amd64', 'linux/arm/v6'] },
    });
    const platform = { os: 'linux', architecture: 'amd64' };
    expect(await resolveManifest(client, 'multi', index.digest, platform)).toMatchObject({
      manifest: { digest: amd.manifest.digest },
      named: { digest: index.digest },
    });
    await expect(made.manifest('multi:nothing')).rejects.toMatchObject({
      code: 'ERR_MANIFEST_NOT_FOUND',
      status: 404,
    });
    await expect(made.manifest('nothing')).rejects.toMatchObject({
      code: 'ERR_MANIFEST_NOT_FOUND',
    });
    await expect(all(made.tags('nothing'))).rejects.toMatchObject({
      code: 'ERR_REGISTRY_FAILED',
      errors: [{ code: 'NAME_UNKNOWN' }],
    });
    await expect(made.search('x')).rejects.toMatchObject({
      code: 'ERR_REGISTRY_FAILED',
      status: 404,
    });
  });

  test('more tags than a page has', async () => {
    const folder = await tempFolder();
    atEnd(folder.remove);
    const server = await startRegistry(folder.path);
    atEnd(async () => await server[Symbol.asyncDispose]());
    const client = registries().client(server.host);
    await pushParts(client, 'many', 'first', imageParts(undefined, [1]));
    // As it keeps them itself.
    const tags = join(folder.path, 'data/docker/registry/v2/repositories/many/_manifests/tags');
    const names = Array.from({ length: 1100 }, (_, i) => `t${i}`);
    const link = readFileSync(join(tags, 'first/current/link'));
    for (const name of names) {
      mkdirSync(join(tags, name, 'current'), { recursive: true });
      writeFileSync(join(tags, name, 'current/link'), link);
    }
    expect((await all(client.tags('many'))).sort()).toEqual([...names, 'first'].sort());
  });

  test('deleting: by digest, where it is allowed', async () => {
    const closed = await dockerRegistry({ deletion: false });
    const host = await dockerRegistry();
    const image = imageParts(undefined, [1]);
    for (const one of [closed, host]) await pushParts(registries().client(one), 'a', 'b', image);
    const { digest } = image.manifest;
    await expect(registry(closed).delete(`a@${digest}`)).rejects.toMatchObject({
      code: 'ERR_REGISTRY_FAILED',
      status: 405,
    });
    const made = registry(host);
    await expect(made.delete('a')).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    await made.delete(`a@${digest}`);
    await expect(made.manifest('a:b')).rejects.toMatchObject({ code: 'ERR_MANIFEST_NOT_FOUND' });
    await expect(made.delete(`a@${digest}`)).rejects.toMatchObject({
      code: 'ERR_MANIFEST_NOT_FOUND',
    });
  });

  test('what refers to an image: by a tag, as this registry is of before 1.1', async () => {
    const host = await dockerRegistry();
    const client = registries().client(host);
    const image = imageParts(undefined, [1]);
    await pushParts(client, 'a', 'b', image);
    const made = registry(host);
    expect(await all(made.referrers('a', image.manifest.digest))).toEqual([]);
    // What is listed has to be there for this registry.
    const { bytes: _bytes, ...there } = image.manifest;
    const index = documentOf(MEDIA_TYPES.index, {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.index,
      manifests: [
        {
          ...there,
          artifactType: 'application/x',
          platform: { os: 'linux', architecture: 'amd64' },
        },
      ],
    });
    await client.pushManifest('a', image.manifest.digest.replace(':', '-'), index);
    expect(await all(made.referrers('a', image.manifest.digest))).toMatchObject([
      { ...there, artifactType: 'application/x' },
    ]);
    const none = await all(
      made.referrers('a', image.manifest.digest, { artifactType: 'application/y' }),
    );
    expect(none).toEqual([]);
  });
});

describe('a registry with a name and a password', () => {
  test('without, with the wrong ones, with the right ones', async () => {
    const host = await dockerRegistry({ auth: 'htpasswd' });
    await expect(registry(host).ping()).rejects.toMatchObject({
      name: 'RegistryError',
      code: 'ERR_REGISTRY_DENIED',
      status: 401,
    });
    const auth = { username: USER.username, password: 'wrong' };
    await expect(registry(host, { auth }).ping()).rejects.toMatchObject({
      code: 'ERR_REGISTRY_DENIED',
    });
    await registry(host, { auth: USER }).ping();
    const client = registries({ host, auth: USER }).client(host);
    await pushParts(client, 'a', 'b', imageParts());
    expect(await all(client.tags('a'))).toEqual(['b']);
  });

  test('login stores them as docker does, logout forgets them', async () => {
    const host = await dockerRegistry({ auth: 'htpasswd' });
    const made = registry(host);
    const file = join(docker, 'config.json');
    await expect(made.login({ username: 'user', password: 'wrong' })).rejects.toMatchObject({
      code: 'ERR_REGISTRY_DENIED',
    });
    expect(() => statSync(file)).toThrow('ENOENT');
    expect(await made.login(USER)).toBe(file);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({
      auths: { [host]: { auth: Buffer.from('user:pass:word').toString('base64') } },
    });
    await made.ping();
    await registry(host).ping();
    expect(await made.logout()).toBe(true);
    await expect(made.ping()).rejects.toMatchObject({ code: 'ERR_REGISTRY_DENIED' });
    expect(await made.logout()).toBe(false);
    await expect(registry(host).ping()).rejects.toMatchObject({ code: 'ERR_REGISTRY_DENIED' });
  });
});

describe('a registry with tokens', () => {
  async function withTokens(
    lifeS?: number,
  ): Promise<{ host: string; realm: string; server: Recorder }> {
    const { tls } = await authority();
    const server = await tokenServer(tls, lifeS === undefined ? {} : { lifeS });
    const host = await dockerRegistry({
      auth: {
        realm: `${server.url}/token`,
        certificate: readFileSync(tls.certificate, 'utf8'),
      },
    });
    return { host, realm: server.host, server };
  }

  test('anonymous may pull what is public, and not push', async () => {
    const { host, realm } = await withTokens();
    const client = registries({ host, auth: USER, authHosts: [realm] }).client(host);
    const image = imageParts();
    await pushParts(client, 'public/app', '1', image);
    await pushParts(client, 'private/app', '1', image);
    expect(
      await client.pushBlob('public/other', image.layers[0]!, { mountFrom: 'private/app' }),
    ).toBe('mounted');

    const anonymous = registries().client(host);
    const fetched = await anonymous.manifest('public/app', '1');
    expect(fetched.digest).toBe(image.manifest.digest);
    await expect(anonymous.manifest('private/app', '1')).rejects.toMatchObject({
      code: 'ERR_REGISTRY_DENIED',
    });
    const blob = blobSource(randomBytes(10), 'application/octet-stream');
    await expect(anonymous.pushBlob('public/app', blob)).rejects.toMatchObject({
      code: 'ERR_REGISTRY_DENIED',
    });
  });

  test('its token server is on another port: credentials go there only when that is allowed', async () => {
    const { host, realm } = await withTokens();
    await expect(registry(host, { auth: USER }).manifest('private/app:1')).rejects.toMatchObject({
      code: 'ERR_REGISTRY_DENIED',
      hint: expect.stringContaining(realm),
    });
    await expect(registry(host).login(USER)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      details: { reason: expect.stringContaining('authHosts') },
    });
    const made = registry(host, { authHosts: [realm] });
    await expect(made.login({ username: 'user', password: 'wrong' })).rejects.toMatchObject({
      code: 'ERR_REGISTRY_DENIED',
    });
    await made.login(USER);
    // It gave an identity token, which is kept in place of the password.
    const stored = readFileSync(join(docker, 'config.json'), 'utf8');
    expect(JSON.parse(stored)).toMatchObject({ auths: { [host]: { identitytoken: 'identity' } } });
  });

  test('tokens that end while one works with them', async () => {
    const { host, realm, server } = await withTokens(1);
    const client = registries({ host, auth: USER, authHosts: [realm] }).client(host);
    for (let i = 1; i <= 2; i++) {
      await pushParts(client, 'a', `t${i}`, imageParts(undefined, [1000]));
      // It takes them for a minute longer: that they have ended is for the client to know.
      expect(server.requests.length).toBeGreaterThanOrEqual(i);
      await new Promise((resolve) => setTimeout(resolve, 950));
    }
    expect(await all(client.tags('a'))).toHaveLength(2);
  });
});

interface WithCertificate {
  getPeerCertificate(): { readonly subject?: { readonly CN?: string } };
}

describe('TLS', () => {
  test('of an authority that nobody knows: refused; known by `ca`; whatever it is with `insecure`', async () => {
    const { ca, tls } = await authority();
    const host = await dockerRegistry({ tls });
    await expect(registry(host).ping()).rejects.toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
      cause: { code: expect.stringMatching(/VERIFY|SELF_SIGNED|UNABLE/) },
    });
    await registry(host, { ca }).ping();
    await registry(host, { insecure: true }).ping();
    const other = await authority();
    await expect(registry(host, { ca: other.ca }).ping()).rejects.toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
    });
    const client = registries({ host, ca }).client(host);
    await pushParts(client, 'a', 'b', imageParts());
    // Nor is it reached without TLS.
    await expect(registry(host, { plainHttp: true }).ping()).rejects.toMatchObject({ status: 400 });
  });

  test('who shows no certificate where one is wanted is told so; by its fields, and by files as Docker has them', async () => {
    const { ca, tls, caFile, client } = await authority();
    const host = await dockerRegistry({ tls: { ...tls, clientcas: [caFile] } });
    const { client: stranger } = await authority();
    for (const options of [{ ca }, { ca, ...stranger }]) {
      await expect(registry(host, options).ping()).rejects.toMatchObject({
        code: 'ERR_REGISTRY_UNREACHABLE',
        hint: expect.stringContaining('`cert` and `key`'),
      });
    }
    await registry(host, { ca, ...client }).ping();
    await pushParts(registries({ host, ca, ...client }).client(host), 'a', 'b', imageParts());

    const folder = await tempFolder();
    atEnd(folder.remove);
    vi.stubEnv('XDG_CONFIG_HOME', folder.path);
    const at = join(folder.path, 'docker/certs.d', host);
    await mkdir(at, { recursive: true });
    const files = { 'ca.crt': ca, 'client.cert': client.cert, 'client.key': client.key };
    for (const [name, text] of Object.entries(files)) await writeFile(join(at, name), text);
    expect(await all(registry(host).tags('a'))).toEqual(['b']);

    const made = registry(host);
    await rm(join(at, 'client.key'));
    await expect(made.ping()).rejects.toMatchObject({ code: 'ERR_CREDENTIALS_FAILED' });
    await writeFile(join(at, 'client.key'), 'x');
    await expect(made.ping()).rejects.toMatchObject({
      code: 'ERR_CREDENTIALS_FAILED',
      details: { source: `certs.d/${host}` },
    });
    await writeFile(join(at, 'client.key'), client.key);
    await made.ping();
    vi.unstubAllEnvs();
  });

  test('nobody but the registry sees the certificate: not where it redirects to', async () => {
    const { ca, tls, client } = await authority();
    const seen: string[] = [];
    const server = async (answer: (response: ServerResponse) => void): Promise<string> => {
      const options = { cert: readFileSync(tls.certificate), key: readFileSync(tls.key), ca, requestCert: true, rejectUnauthorized: false }; // prettier-ignore
      const made = createServer(options, (request, response) => {
        const socket = request.socket as unknown as WithCertificate;
        seen.push(socket.getPeerCertificate().subject?.CN ?? 'nobody');
        if (request.url === '/v2/') response.end('{}');
        else answer(response);
      });
      await new Promise<void>((resolve) => made.listen(0, '127.0.0.1', resolve));
      atEnd(async () => {
        made.closeAllConnections();
        await new Promise((resolve) => made.close(resolve));
      });
      return `127.0.0.1:${(made.address() as AddressInfo).port}`;
    };
    const { manifest } = imageParts();
    const storage = await server((response) => response.end(manifest.bytes));
    const host = await server((response) =>
      response.writeHead(307, { location: `https://${storage}/blob` }).end(),
    );
    const found = await registry(host, { ca, ...client }).manifest('a');
    expect(found.digest).toBe(manifest.digest);
    expect(seen).toEqual(['me', 'me', 'nobody']);
  });

  test('a certificate for another name is refused', async () => {
    const { ca, tls } = await authority('IP:127.0.0.3');
    const host = await dockerRegistry({ tls });
    await expect(registry(host, { ca }).ping()).rejects.toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
      cause: { code: 'ERR_TLS_CERT_ALTNAME_INVALID' },
    });
  });
});
