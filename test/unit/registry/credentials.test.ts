import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DockerConfig } from '../../../lib/registry/docker-config.js';
import { parseManifest } from '../../../lib/registry/manifest.js';
import { MEDIA_TYPES } from '../../../lib/store/images.js';
import type { Auth } from '../../../lib/runtime/options.js';
import { json, recorder, type Handler, type Recorder } from '../../helpers/recorder.js';
import { blobOf, MANIFEST, MemorySink, ownDockerConfig, registries } from './setup.js';

const docker = ownDockerConfig();

const AUTH: Auth = { username: 'user', password: 'pass:word' };
const BASIC = `Basic ${Buffer.from('user:pass:word').toString('base64')}`;

const codeOf = async (call: Promise<unknown>): Promise<unknown> =>
  await call.then(
    () => 'success',
    (error: unknown) => (error as { code?: unknown }).code,
  );

const good: Handler = (_request, response) => {
  response.writeHead(200, { 'content-type': MEDIA_TYPES.manifest }).end(MANIFEST);
};

/** 401 with a challenge until the Authorization header is `wanted`. */
const guarded =
  (wanted: string, challenge: string, rest: Handler = good): Handler =>
  async (request, response, raw) => {
    if (request.headers['authorization'] === wanted) {
      await rest(request, response, raw);
    } else {
      json(
        response,
        401,
        { errors: [{ code: 'UNAUTHORIZED', message: 'who are you?' }] },
        {
          'www-authenticate': challenge,
        },
      );
    }
  };

const tokens =
  (answer: object = { token: 'T' }): Handler =>
  (_request, response) =>
    json(response, 200, answer);

const bearer = (realm: string): string => `Bearer realm="${realm}",service="reg"`;

/** A registry that wants a token, and answers `/token` itself. */
async function withTokens(
  token: Handler,
  wanted = 'Bearer T',
  rest: Handler = good,
): Promise<Recorder> {
  const server = await recorder();
  server.handler = async (request, response, raw) => {
    if (request.url.startsWith('/token')) await token(request, response, raw);
    else await guarded(wanted, bearer(`${server.url}/token`), rest)(request, response, raw);
  };
  return server;
}

describe('basic', () => {
  test('is sent after it was asked for, and then each time', async () => {
    const server = await recorder(guarded(BASIC, 'Basic realm="x"'));
    const client = registries({ host: server.host, auth: AUTH }).client(server.host);
    await client.manifest('a', 'b');
    await client.manifest('a', 'c');
    expect(server.log()).toEqual(['GET /v2/', 'GET /v2/a/manifests/b', 'GET /v2/a/manifests/c']);
    expect(server.credentials).toEqual([BASIC, BASIC]);
  });

  test('that is wrong: refused, with what the registry says', async () => {
    const server = await recorder(guarded('Basic other', 'Basic realm="x"'));
    const client = registries({ host: server.host, auth: AUTH }).client(server.host);
    await expect(client.manifest('a', 'b')).rejects.toMatchObject({
      name: 'RegistryError',
      code: 'ERR_REGISTRY_DENIED',
      status: 401,
      errors: [{ code: 'UNAUTHORIZED', message: 'who are you?' }],
    });
  });

  test('nobody asks: nothing is sent', async () => {
    const server = await recorder(good);
    await registries({ host: server.host, auth: AUTH }).client(server.host).manifest('a', 'b');
    expect(server.credentials).toEqual([]);
  });

  test('asked for on the real URL only', async () => {
    const server = await recorder(async (request, response, raw) => {
      if (request.url === '/v2/') json(response, 200, {});
      else await guarded(BASIC, 'Basic realm="x"')(request, response, raw);
    });
    await registries({ host: server.host, auth: AUTH }).client(server.host).manifest('a', 'b');
    expect(server.credentials).toEqual([BASIC]);
  });
});

describe('tokens', () => {
  test('anonymous: service and scope, one token for all of a repository', async () => {
    const server = await withTokens(tokens());
    const client = registries().client(server.host);
    await Promise.all([client.manifest('a/b', '1'), client.manifest('a/b', '2')]);
    await client.manifest('c', '1');
    expect(server.log().filter((line) => line.includes('token'))).toEqual([
      'GET /token?service=reg&scope=repository%3Aa%2Fb%3Apull',
      'GET /token?service=reg&scope=repository%3Ac%3Apull',
    ]);
    expect(new Set(server.credentials)).toEqual(new Set(['Bearer T']));
  });

  test('with a password, to the token server alone', async () => {
    const server = await withTokens(guarded(BASIC, 'Basic', tokens({ access_token: 'T' })));
    await registries({ host: server.host, auth: AUTH }).client(server.host).manifest('a', 'b');
    expect(server.log()).toEqual([
      'GET /v2/',
      'GET /token?service=reg&scope=repository%3Aa%3Apull&account=user',
      'GET /v2/a/manifests/b',
    ]);
    expect(server.credentials).toEqual([BASIC, 'Bearer T']);
  });

  test('a server of OAuth2 alone is asked by POST', async () => {
    const server = await withTokens((request, response) => {
      if (request.method === 'GET') return void response.writeHead(405).end();
      expect(Object.fromEntries(new URLSearchParams(request.body.toString()))).toEqual({
        grant_type: 'password',
        username: 'user',
        password: 'pass:word',
        client_id: 'caisson',
        service: 'reg',
        scope: 'repository:a:pull',
      });
      json(response, 200, { access_token: 'T' });
    });
    await registries({ host: server.host, auth: AUTH }).client(server.host).manifest('a', 'b');
  });

  test('an identity token is exchanged by POST', async () => {
    const server = await withTokens((request, response) => {
      const form = Object.fromEntries(new URLSearchParams(request.body.toString()));
      const right = form['grant_type'] === 'refresh_token' && form['refresh_token'] === 'R';
      json(response, right && request.method === 'POST' ? 200 : 400, { access_token: 'T' });
    });
    const client = registries({ host: server.host, auth: { identityToken: 'R' } }).client(
      server.host,
    );
    await client.manifest('a', 'b');
  });

  test('a registry token goes as it is', async () => {
    const server = await withTokens(tokens(), 'Bearer mine');
    await registries({ host: server.host, auth: { token: 'mine' } })
      .client(server.host)
      .manifest('a', 'b');
    expect(server.log()).toEqual(['GET /v2/', 'GET /v2/a/manifests/b']);
  });

  test('one that has ended is asked for anew: when it says so, and when the registry does', async () => {
    let given = 0;
    const server = await recorder();
    let accepted = 'Bearer T1';
    server.handler = async (request, response, raw) => {
      if (request.url.startsWith('/token')) {
        given += 1;
        json(response, 200, { token: `T${given}`, expires_in: given === 2 ? 1 : 300 });
      } else {
        await guarded(accepted, bearer(`${server.url}/token`))(request, response, raw);
      }
    };
    const client = registries().client(server.host);
    await client.manifest('a', 'b');
    accepted = 'Bearer T2';
    await client.manifest('a', 'b');
    expect(given).toBe(2);
    accepted = 'Bearer T3';
    const before = server.requests.length;
    await new Promise((resolve) => setTimeout(resolve, 950));
    await client.manifest('a', 'b');
    // T2 was for one second: it was not even tried.
    expect(server.log().slice(before)).toEqual([
      'GET /token?service=reg&scope=repository%3Aa%3Apull',
      'GET /v2/a/manifests/b',
    ]);
  });

  test('a registry that says what it wants at /v2/ alone, also of a token that has ended', async () => {
    let given = 0;
    const server = await recorder();
    server.handler = async (request, response, raw) => {
      if (request.url.startsWith('/token')) json(response, 200, { token: `T${++given}` });
      else if (request.url === '/v2/')
        await guarded('none', bearer(`${server.url}/token`))(request, response, raw);
      else if (request.headers['authorization'] === 'Bearer T2') await good(request, response, raw);
      else json(response, 401, {});
    };
    const client = registries().client(server.host);
    await client.manifest('a', 'b');
    expect(server.credentials).toEqual(['Bearer T1', 'Bearer T2']);
  });

  test('a registry that takes none of its own tokens is asked twice, and no more', async () => {
    let given = 0;
    const server = await withTokens((_request, response) =>
      json(response, 200, { token: `T${++given}x` }),
    );
    const client = registries().client(server.host);
    expect(await codeOf(client.manifest('a', 'b'))).toBe('ERR_REGISTRY_DENIED');
    expect(server.log().filter((line) => line.includes('manifests'))).toHaveLength(2);
    expect(given).toBe(2);
  });

  test('a token server that fails for a moment is asked again', async () => {
    let asked = 0;
    const server = await withTokens((request, response, raw) =>
      ++asked < 3 ? json(response, 503, {}) : tokens()(request, response, raw),
    );
    await registries().client(server.host).manifest('a', 'b');
    expect(asked).toBe(3);
  });

  test.each<[string, Handler, string]>([
    [
      'it refuses',
      (_request, response) => json(response, 401, { details: 'no' }),
      'ERR_REGISTRY_DENIED',
    ],
    ['it is not there', (_request, response) => json(response, 404, {}), 'ERR_REGISTRY_FAILED'],
    ['no token', tokens({}), 'ERR_REGISTRY_INVALID'],
    ['a token with a line of its own', tokens({ token: 'a\r\nX: y' }), 'ERR_REGISTRY_INVALID'],
    [
      'no JSON',
      (_request, response) => void response.writeHead(200).end('<html>'),
      'ERR_REGISTRY_INVALID',
    ],
    ['endless', tokens({ token: 'x'.repeat(2 << 20) }), 'ERR_REGISTRY_INVALID'],
    [
      'a redirect',
      (_request, response) => void response.writeHead(307, { location: '/token2' }).end(),
      'ERR_REGISTRY_FAILED',
    ],
  ])('%s', async (_name, token, code) => {
    const server = await withTokens(token);
    expect(await codeOf(registries().client(server.host).manifest('a', 'b'))).toBe(code);
  });

  test('callers that ask at once share one; the abort of one leaves the other', async () => {
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    let asked = 0;
    const server = await withTokens(async (request, response, raw) => {
      asked += 1;
      await gate;
      await tokens()(request, response, raw);
    });
    const client = registries().client(server.host);
    const stop = new AbortController();
    const aborted = client.manifest('a', 'b', { signal: stop.signal });
    const other = client.manifest('a', 'b');
    while (asked === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    stop.abort();
    await expect(aborted).rejects.toMatchObject({ name: 'AbortError' });
    release();
    expect((await other).bytes).toEqual(MANIFEST);
    expect(asked).toBe(1);
  });
});

// SECURITY: each with two recording servers, whose Authorization headers are all looked at.
describe('credentials stay with the host that they were given for', () => {
  test('Helm CVE-2021-32690: not where a blob is redirected to', async () => {
    const bytes = randomBytes(10);
    const storage = await recorder((_request, response) => void response.writeHead(200).end(bytes));
    const server = await recorder(
      guarded(BASIC, 'Basic', (_request, response) => {
        response.writeHead(307, { location: `${storage.url}/x` }).end();
      }),
    );
    const sink = new MemorySink();
    const all = registries({ host: server.host, auth: AUTH });
    await all.client(server.host).fetchBlob('a', blobOf(bytes), sink);
    expect(sink.bytes().equals(bytes)).toBe(true);
    expect(server.credentials).toEqual([BASIC]);
    expect(storage.requests).toHaveLength(1);
    expect(storage.credentials).toEqual([]);
  });

  test('nor after a redirect that comes back, nor when the other host asks', async () => {
    const storage = await recorder();
    const server = await recorder();
    storage.handler = (_request, response) =>
      void response.writeHead(307, { location: `${server.url}/v2/secret/manifests/x` }).end();
    server.handler = guarded(BASIC, 'Basic', (_request, response) => {
      response.writeHead(307, { location: `${storage.url}/x` }).end();
    });
    const client = registries({ host: server.host, auth: AUTH }).client(server.host);
    expect(await codeOf(client.manifest('a', 'b'))).toBe('ERR_REGISTRY_DENIED');
    expect(server.log().at(-1)).toBe('GET /v2/secret/manifests/x');
    expect(server.requests.at(-1)?.headers['authorization']).toBeUndefined();

    storage.handler = guarded(BASIC, 'Basic realm="give"');
    expect(await codeOf(client.manifest('a', 'b'))).toBe('ERR_REGISTRY_DENIED');
    expect(storage.credentials).toEqual([]);
  });

  test('distribution CVE-2026-33540, oras CVE-2026-48978: not to a token server on another host', async () => {
    const foreign = await recorder(tokens());
    const server = await recorder(guarded('Bearer T', bearer(`${foreign.url}/token`)));
    const all = registries({ host: server.host, auth: AUTH });
    await all.client(server.host).manifest('a', 'b');
    expect(foreign.requests).toHaveLength(1);
    expect(foreign.requests[0]?.url).not.toContain('user');
    expect(foreign.credentials).toEqual([]);

    foreign.handler = (_request, response) => json(response, 401, {});
    await expect(all.client(server.host).manifest('c', 'b')).rejects.toMatchObject({
      code: 'ERR_REGISTRY_DENIED',
      hint: expect.stringContaining(foreign.host),
    });
  });

  test('containerd CVE-2020-15157: nor to the `urls` of a layer, which nobody asks', async () => {
    const foreign = await recorder();
    const bytes = randomBytes(10);
    const layer = { ...blobOf(bytes), urls: [`${foreign.url}/layer`] };
    const server = await recorder(
      guarded(BASIC, 'Basic', (request, response) => {
        if (request.url.includes('blobs')) return void response.writeHead(404).end();
        const config = blobOf(Buffer.from('{}'), MEDIA_TYPES.config);
        const foreignType = `${MEDIA_TYPES.layerTar.replace('.v1', '.nondistributable.v1')}+gzip`;
        json(response, 200, {
          schemaVersion: 2,
          config,
          layers: [{ ...layer, mediaType: foreignType }],
        });
      }),
    );
    const client = registries({ host: server.host, auth: AUTH }).client(server.host);
    const fetched = await client.manifest('a', 'b');
    const read = parseManifest({ mediaType: '', bytes: fetched.bytes }, 'a');
    const [found] = read.kind === 'image' ? read.layers : [];
    expect(await codeOf(client.fetchBlob('a', found!, new MemorySink()))).toBe(
      'ERR_REGISTRY_FAILED',
    );
    expect(foreign.requests).toEqual([]);
  });

  test('nor an identity token; unless the user has said so', async () => {
    const foreign = await recorder(tokens());
    const server = await recorder(guarded('Bearer T', bearer(`${foreign.url}/token`)));
    const auth = { identityToken: 'R' };
    await registries({ host: server.host, auth }).client(server.host).manifest('a', 'b');
    expect(foreign.requests.map(({ body }) => body.toString())).toEqual(['']);

    const allowed = registries({ host: server.host, auth, authHosts: [foreign.host] });
    await allowed.client(server.host).manifest('a', 'b');
    expect(foreign.requests.at(-1)?.body.toString()).toContain('refresh_token=R');
  });

  test('a token of the registry goes to no mirror, and the mirror’s own not to the registry', async () => {
    const origin = await recorder(guarded(BASIC, 'Basic'));
    const mirror = await recorder((_request, response) =>
      json(response, 401, {}, { 'www-authenticate': 'Basic realm="m"' }),
    );
    const all = registries(
      { host: origin.host, auth: AUTH, mirrors: [mirror.host] },
      { host: 'elsewhere.example', auth: { username: 'e', password: 'e' } },
    );
    await all.client(origin.host).manifest('a', 'b');
    expect(mirror.requests.length).toBeGreaterThan(0);
    expect(mirror.credentials).toEqual([]);
    expect(origin.credentials).toEqual([BASIC]);
    // Of one call's `auth`, too.
    await all.client(origin.host, AUTH).manifest('a', 'b');
    expect(mirror.credentials).toEqual([]);
  });

  test('Docker CLI CVE-2021-41092: a helper that fails is a failure, and nothing is asked', async () => {
    writeFileSync(
      join(docker.folder, 'config.json'),
      JSON.stringify({
        credsStore: 'caisson-test-absent',
        auths: { '127.0.0.1': { auth: Buffer.from('a:b').toString('base64') } },
      }),
    );
    const server = await recorder(guarded(BASIC, 'Basic'));
    const client = registries().client(server.host);
    await expect(client.manifest('a', 'b')).rejects.toMatchObject({
      code: 'ERR_CREDENTIALS_FAILED',
      details: { source: 'docker-credential-caisson-test-absent' },
    });
    expect(server.credentials).toEqual([]);
  });
});

describe('Docker’s config.json', () => {
  const write = (config: unknown): void =>
    writeFileSync(
      join(docker.folder, 'config.json'),
      typeof config === 'string' ? config : JSON.stringify(config),
    );
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const find = async (server: string): Promise<unknown> => await new DockerConfig().find(server);

  test.each<[string, object, unknown]>([
    ['r.example', {}, undefined],
    [
      'r.example',
      { auths: { 'r.example': { auth: base64('u:p:q') } } },
      { username: 'u', password: 'p:q' },
    ],
    [
      'r.example',
      { auths: { 'https://R.example/v1/': { auth: base64('u:p') } } },
      { username: 'u', password: 'p' },
    ],
    ['r.example', { auths: { 'r.example:5000': { auth: base64('u:p') } } }, undefined],
    ['r.example', { auths: { 'evil.r.example': { auth: base64('u:p') }, example: {} } }, undefined],
    [
      'r.example',
      { auths: { 'r.example': { username: 'u', password: 'p' } } },
      { username: 'u', password: 'p' },
    ],
    [
      'r.example',
      { auths: { 'r.example': { auth: base64('<token>:'), identitytoken: 'I' } } },
      { identityToken: 'I' },
    ],
    ['r.example', { auths: { 'r.example': { registrytoken: 'B' } } }, { token: 'B' }],
    ['r.example', { auths: { 'r.example': {} } }, undefined],
    ['r.example', { auths: [] }, undefined],
    [
      'https://index.docker.io/v1/',
      { auths: { 'https://index.docker.io/v1/': { auth: base64('u:p') } } },
      { username: 'u', password: 'p' },
    ],
    [
      'https://index.docker.io/v1/',
      { auths: { 'index.docker.io': { auth: base64('u:p') } } },
      { username: 'u', password: 'p' },
    ],
  ])('%s in %j', async (server, config, auth) => {
    write(config);
    expect(await find(server)).toEqual(auth);
  });

  test('none at all', async () => {
    expect(await find('r.example')).toBeUndefined();
  });

  test.each<[string, unknown]>([
    ['no JSON', '{"auths": {"r.example": {"auth": "c2VjcmV0'],
    ['a list', '[]'],
    ['an auth that is none', { auths: { 'r.example': { auth: base64('nothing') } } }],
    ['a helper with a path in its name', { credsStore: '../../tmp/x' }],
    ['a helper with an argument', { credHelpers: { 'r.example': 'x --y' } }],
    ['too big', `{"a":"${'x'.repeat(2 << 20)}"}`],
  ])('%s is an error, which shows none of it', async (_name, config) => {
    write(config);
    const error = await find('r.example').catch((one: unknown) => one);
    expect(error).toMatchObject({ code: 'ERR_CREDENTIALS_FAILED' });
    expect(JSON.stringify(error) + String(error) + String((error as Error).cause)).not.toContain(
      'c2Vj',
    );
  });

  test('a folder, and a FIFO, are errors, not ends', async () => {
    const path = join(docker.folder, 'config.json');
    mkdirSync(path);
    expect(await codeOf(find('r.example'))).toBe('ERR_CREDENTIALS_FAILED');
    rmdirSync(path);
    execFileSync('mkfifo', [path]);
    expect(await codeOf(find('r.example'))).toBe('ERR_CREDENTIALS_FAILED');
  });

  test.each<[string, (server: Recorder) => Handler]>([
    ['the registry', () => guarded(BASIC, 'Basic')],
    [
      'its token server',
      (server) => async (request, response, raw) => {
        const rest = guarded('Bearer T', bearer(`${server.url}/token`));
        const handler = request.url.startsWith('/token') ? guarded(BASIC, 'Basic', tokens()) : rest;
        await handler(request, response, raw);
      },
    ],
  ])('what %s refused is looked for anew: somebody may have logged in', async (_name, made) => {
    const server = await recorder();
    server.handler = made(server);
    const client = registries().client(server.host);
    for (const auth of ['user:wrong', 'user:pass:word']) {
      write({ auths: { [server.host]: { auth: base64(auth) } } });
      const code = await codeOf(client.manifest('a', 'b'));
      expect(code).toBe(auth === 'user:wrong' ? 'ERR_REGISTRY_DENIED' : 'success');
    }
  });

  test('stores as docker does: what else is there stays, nobody else can read it', async () => {
    write({ HttpHeaders: { a: 'b' }, auths: { 'x.example': { auth: base64('x:y') } } });
    chmodSync(join(docker.folder, 'config.json'), 0o644);
    const config = new DockerConfig();
    expect(await config.store('r.example', { username: 'u', password: 'p' })).toBe(config.path);
    expect(JSON.parse(readFileSync(config.path, 'utf8'))).toEqual({
      HttpHeaders: { a: 'b' },
      auths: { 'x.example': { auth: base64('x:y') }, 'r.example': { auth: base64('u:p') } },
    });
    expect(statSync(config.path).mode & 0o777).toBe(0o600);
    expect(await find('r.example')).toEqual({ username: 'u', password: 'p' });
    await config.store('r.example', { identityToken: 'I' });
    expect(await find('r.example')).toEqual({ identityToken: 'I' });
    expect(await config.erase('r.example')).toBe(true);
    expect(await config.erase('r.example')).toBe(false);
    expect(await find('r.example')).toBeUndefined();
    expect(await find('x.example')).toEqual({ username: 'x', password: 'y' });
  });

  test('a folder and a file that were not there; a link that stays one', async () => {
    process.env['DOCKER_CONFIG'] = join(docker.folder, 'a/b');
    await new DockerConfig().store('r.example', { username: 'u', password: 'p' });
    expect(statSync(join(docker.folder, 'a/b')).mode & 0o777).toBe(0o700);
    mkdirSync(join(docker.folder, 'c'));
    symlinkSync(join(docker.folder, 'a/b/config.json'), join(docker.folder, 'c/config.json'));
    process.env['DOCKER_CONFIG'] = join(docker.folder, 'c');
    await new DockerConfig().store('s.example', { username: 'v', password: 'q' });
    process.env['DOCKER_CONFIG'] = join(docker.folder, 'a/b');
    expect(await find('s.example')).toEqual({ username: 'v', password: 'q' });
  });

  describe('helpers', () => {
    const path = process.env['PATH'];
    beforeEach(() => {
      process.env['PATH'] = `${docker.folder}:${path}`;
    });
    afterEach(() => {
      process.env['PATH'] = path;
    });
    const helper = (name: string, script: string): void => {
      const file = join(docker.folder, `docker-credential-${name}`);
      writeFileSync(file, `#!/bin/sh\ncd '${docker.folder}'\n${script}\n`);
      chmodSync(file, 0o755);
    };
    /** Keeps one credential in a file, as the real ones do elsewhere. */
    const KEEPER = `
      echo "$1" >> calls
      case "$1" in
        store) cat > kept;;
        get) read server; grep -q "\\"$server\\"" kept 2>/dev/null || { echo 'credentials not found in native keychain'; exit 1; }; cat kept;;
        erase) rm -f kept;;
      esac`;

    test('get: the server’s name by standard input', async () => {
      helper('one', `printf '{"Username":"%s","Secret":"s"}' "$(cat) $#"`);
      write({ credHelpers: { 'r.example': 'one' } });
      expect(await find('r.example')).toEqual({ username: 'r.example 1', password: 's' });
      expect(await find('other.example')).toBeUndefined();
    });

    test('an identity token; the store of all; Docker Hub by its old name', async () => {
      helper('two', `printf '{"Username":"<token>","Secret":"%s"}' "$(cat)"`);
      write({ credsStore: 'two' });
      expect(await find('https://index.docker.io/v1/')).toEqual({
        identityToken: 'https://index.docker.io/v1/',
      });
    });

    test('store, get, erase; the secret is not in the file', async () => {
      helper('keep', KEEPER);
      write({ credsStore: 'keep' });
      const config = new DockerConfig();
      const auth = { username: 'u', password: 'secret' };
      expect(await config.store('r.example', auth)).toBe('docker-credential-keep');
      expect(await find('r.example')).toEqual(auth);
      expect(readFileSync(config.path, 'utf8')).not.toContain('secret');
      expect(JSON.parse(readFileSync(config.path, 'utf8'))).toEqual({
        credsStore: 'keep',
        auths: { 'r.example': {} },
      });
      expect(await config.erase('r.example')).toBe(true);
      expect(await find('r.example')).toBeUndefined();
      expect(await config.erase('r.example')).toBe(false);
    });

    test.each<[string, string]>([
      ['ends badly', 'echo oops; exit 3'],
      ['is killed', 'kill -KILL $$'],
      ['prints no JSON', 'echo hello'],
      ['prints half of it', `echo '{"Username":"u"}'`],
      ['prints without end', 'exec yes'],
    ])('one that %s', async (_name, script) => {
      helper('bad', script);
      write({ credsStore: 'bad' });
      expect(await codeOf(find('r.example'))).toBe('ERR_CREDENTIALS_FAILED');
    });

    test('an abort ends it', async () => {
      helper('slow', 'echo $$ > pid; exec sleep 60');
      write({ credsStore: 'slow' });
      const call = new DockerConfig().find('r.example', AbortSignal.timeout(300));
      await expect(call).rejects.toMatchObject({ name: 'AbortError' });
      const pid = Number(readFileSync(join(docker.folder, 'pid'), 'utf8'));
      while (existsSync(`/proc/${pid}`)) await new Promise((resolve) => setTimeout(resolve, 10));
    });
  });
});
