import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseChallenges } from '../../../lib/registry/challenge.js';
import { storedCertificates } from '../../../lib/registry/docker-certificates.js';
import { endpointsOf, isLoopback } from '../../../lib/registry/endpoint.js';
import { proxyFor } from '../../../lib/registry/proxy.js';
import { delayMs, isBroken, retryAfterMs, RETRY_POLICY } from '../../../lib/registry/retry.js';
import { mayTrustRealm } from '../../../lib/registry/trust.js';
import { parseRegistries } from '../../../lib/runtime/registries-request.js';
import { tempFolder, type TempFolder } from '../../helpers/temp.js';

describe('WWW-Authenticate', () => {
  const read = (header: string | string[] | undefined): unknown =>
    parseChallenges(header).map(({ scheme, parameters }) => [
      scheme,
      Object.fromEntries(parameters),
    ]);

  test.each<[string | string[] | undefined, unknown]>([
    [undefined, []],
    ['', []],
    ['Basic realm="Registry Realm"', [['basic', { realm: 'Registry Realm' }]]],
    [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
      [
        [
          'bearer',
          {
            realm: 'https://auth.docker.io/token',
            service: 'registry.docker.io',
            scope: 'repository:a/b:pull,push',
          },
        ],
      ],
    ],
    ['BEARER Realm = "a\\"b", service=x', [['bearer', { realm: 'a"b', service: 'x' }]]],
    [
      'Negotiate, Basic realm=x',
      [
        ['negotiate', {}],
        ['basic', { realm: 'x' }],
      ],
    ],
    [
      ['Basic realm="a"', 'Bearer realm="b"'],
      [
        ['basic', { realm: 'a' }],
        ['bearer', { realm: 'b' }],
      ],
    ],
    [
      'Bearer realm=https://a.example/token,service=s',
      [['bearer', { realm: 'https://a.example/token', service: 's' }]],
    ],
    ['realm="nobody\'s"', []],
    [
      'Bearer realm="unfinished',
      [
        ['bearer', {}],
        ['realm', {}],
      ],
    ],
    ['"', []],
  ])('%j', (header, challenges) => {
    expect(read(header)).toEqual(challenges);
  });

  test('a flood of them takes no time', () => {
    const began = performance.now();
    parseChallenges('a="\\'.repeat(100_000));
    parseChallenges(' ,'.repeat(100_000));
    expect(performance.now() - began).toBeLessThan(500);
  });
});

describe('who may get the credentials of a registry', () => {
  const HUB = 'https://registry-1.docker.io';
  test.each<[string, string, string[], string]>([
    ['https://auth.docker.io/token', HUB, [], 'trusted'],
    ['https://gitlab.example/jwt/auth', 'https://registry.gitlab.example', [], 'trusted'],
    ['https://registry.example/token', 'https://registry.example', [], 'trusted'],
    ['https://registry.example:5001/token', 'https://registry.example:5000', [], 'anonymous'],
    [
      'https://registry.example:5001/token',
      'https://registry.example:5000',
      ['registry.example:5001'],
      'trusted',
    ],
    ['https://evil.example/token', HUB, [], 'anonymous'],
    ['https://docker.io.evil.example/token', HUB, [], 'anonymous'],
    ['https://notdocker.io/token', HUB, [], 'anonymous'],
    ['https://io/token', HUB, [], 'anonymous'],
    ['https://b.co.uk/token', 'https://a.co.uk', [], 'anonymous'],
    ['https://auth.a.co.uk/token', 'https://reg.a.co.uk', [], 'trusted'],
    ['https://10.0.0.2/token', 'https://10.0.0.1', [], 'anonymous'],
    ['https://1.0.0.1/token', 'https://2.0.0.1', [], 'anonymous'],
    ['https://[::2]/token', 'https://[::1]', [], 'anonymous'],
    ['http://127.0.0.1:2/token', 'http://127.0.0.1:1', [], 'anonymous'],
    ['http://127.0.0.1:2/token', 'http://127.0.0.1:1', ['127.0.0.1:2'], 'trusted'],
    ['http://registry.example/token', 'https://registry.example', [], 'refused'],
    ['http://a.example/token', 'http://127.0.0.1:1', [], 'refused'],
    ['http://169.254.169.254/latest', 'http://registry.example', [], 'refused'],
    ['file:///etc/passwd', 'https://registry.example', [], 'refused'],
  ])('%s for %s with %j: %s', (realm, registry, hosts, verdict) => {
    expect(mayTrustRealm(new URL(realm), new URL(registry), hosts)).toBe(verdict);
  });
});

const CERTIFICATE = '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n';
const KEY = '-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n';

describe('endpoints', () => {
  const settings = parseRegistries(
    [
      {
        host: 'docker.io',
        mirrors: ['mirror.example:5000/hub'],
        auth: { username: 'u', password: 'p' },
      },
      { host: 'Plain.example', plainHttp: true },
      { host: 'self.example', insecure: true },
    ],
    'registries',
  );
  const origin = (domain: string): unknown => {
    const { host, schemes, tls, server } = endpointsOf(domain, settings).origin;
    return [host, schemes.join(' '), tls.verify, server];
  };

  test.each<[string, unknown]>([
    ['docker.io', ['registry-1.docker.io', 'https:', true, 'https://index.docker.io/v1/']],
    ['other.example', ['other.example', 'https:', true, 'other.example']],
    ['plain.example', ['plain.example', 'http:', true, 'plain.example']],
    ['self.example', ['self.example', 'https: http:', false, 'self.example']],
    ['localhost:5000', ['localhost:5000', 'https: http:', true, 'localhost:5000']],
    ['127.0.0.2', ['127.0.0.2', 'https: http:', true, '127.0.0.2']],
    ['[::1]:1', ['[::1]:1', 'https: http:', true, '[::1]:1']],
  ])('%s', (domain, expected) => {
    expect(origin(domain)).toEqual(expected);
  });

  test('Docker Hub is searched elsewhere, the others where they are', () => {
    expect(endpointsOf('docker.io', []).origin.search).toBe('index.docker.io');
    expect(endpointsOf('r.example:5000', []).origin.search).toBe('r.example:5000');
  });

  test('a mirror has not the credentials of what it mirrors', () => {
    const { mirrors, origin: hub } = endpointsOf('docker.io', settings);
    expect(hub.auth).toEqual({ username: 'u', password: 'p' });
    expect(mirrors).toMatchObject([{ host: 'mirror.example:5000', prefix: 'hub/' }]);
    expect(mirrors[0]?.auth).toBeUndefined();
  });

  test.each(['localhost.evil.example', '127.evil.example', '128.0.0.1', '[::2]', '0.0.0.0'])(
    '%s is not this machine',
    (name) => {
      expect(isLoopback(name)).toBe(false);
    },
  );
});

describe('proxies', () => {
  const ALL = { HTTPS_PROXY: 'http://s:1', http_proxy: 'p:2' };
  test.each<[string, Record<string, string>, string | undefined]>([
    ['https://a.example/', {}, undefined],
    ['https://a.example/', ALL, 'http://s:1'],
    ['http://a.example/', ALL, 'http://p:2'],
    ['https://a.example/', { HTTP_PROXY: 'x' }, undefined],
    ['https://a.example/', { HTTPS_PROXY: '' }, undefined],
    ['https://127.0.0.1:5000/', ALL, undefined],
    ['https://localhost/', ALL, undefined],
    ['https://[::1]/', ALL, undefined],
    ['https://a.example/', { ...ALL, NO_PROXY: '*' }, undefined],
    ['https://a.example/', { ...ALL, NO_PROXY: 'b.example, a.example' }, undefined],
    ['https://a.example/', { ...ALL, no_proxy: '.example' }, undefined],
    ['https://a.example/', { ...ALL, no_proxy: '*.example' }, undefined],
    ['https://x.a.example/', { ...ALL, NO_PROXY: 'a.example' }, undefined],
    ['https://xa.example/', { ...ALL, NO_PROXY: 'a.example' }, 'http://s:1'],
    ['https://a.example/', { ...ALL, NO_PROXY: 'a.example:8443' }, 'http://s:1'],
    ['https://a.example:8443/', { ...ALL, NO_PROXY: 'a.example:8443' }, undefined],
    ['https://[fd00::1]/', { ...ALL, NO_PROXY: '[fd00::1]' }, undefined],
    ['https://[fd00::1]/', { ...ALL, NO_PROXY: 'FD00:0::1' }, undefined],
    ['https://[fd00::1]:5/', { ...ALL, NO_PROXY: '[fd00::1]:5' }, undefined],
    ['https://[fd00::1]:5/', { ...ALL, NO_PROXY: '[fd00::1]:6' }, 'http://s:1'],
    ['https://[fd00::1]/', { ...ALL, NO_PROXY: 'fd00::/8' }, undefined],
    ['https://[fe00::1]/', { ...ALL, NO_PROXY: 'fd00::/8, 10.0.0.0/8' }, 'http://s:1'],
    ['https://10.1.2.3/', { ...ALL, NO_PROXY: '10.1.2.3' }, undefined],
    ['https://10.1.2.3:5000/', { ...ALL, NO_PROXY: '10.1.2.3:5000' }, undefined],
    ['https://10.1.2.3/', { ...ALL, NO_PROXY: '10.1.2.3:5000' }, 'http://s:1'],
    ['https://10.1.2.3/', { ...ALL, NO_PROXY: '192.168.0.0/16,10.0.0.0/8' }, undefined],
    ['https://11.1.2.3/', { ...ALL, NO_PROXY: '192.168.0.0/16,10.0.0.0/8' }, 'http://s:1'],
    ['https://11.1.2.3/', { ...ALL, NO_PROXY: '0.0.0.0/0' }, undefined],
    [
      'https://10.1.2.3/',
      { ...ALL, NO_PROXY: '10.0.0.0/33,10.0.0.0/,10.0.0.0/x,x/8,2.3' },
      'http://s:1',
    ],
    ['https://a.example/', { ...ALL, NO_PROXY: ', :443 . *.' }, 'http://s:1'],
    ['https://a.example/', { ...ALL, NO_PROXY: 'A.Example:443' }, undefined],
  ])('%s with %j: %s', (url, environment, proxy) => {
    expect(proxyFor(new URL(url), environment)).toBe(proxy);
  });
});

describe('trying again', () => {
  test('each wait is about twice as long, up to the longest, and never the same for all', () => {
    const waits = [1, 2, 3, 4, 9].map((attempt) => delayMs(attempt, RETRY_POLICY, 1));
    expect(waits).toEqual([250, 500, 1000, 2000, 8000]);
    expect(delayMs(3, RETRY_POLICY, 0)).toBe(500);
  });

  test.each<[string | undefined, number | undefined]>([
    [undefined, undefined],
    ['7', 7000],
    ['0', 0],
    ['Mon, 30 Nov 2026 10:00:30 GMT', 30_000],
    ['Mon, 30 Nov 2026 09:00:00 GMT', 0],
    ['soon', undefined],
  ])('Retry-After: %s', (header, ms) => {
    expect(retryAfterMs(header, Date.parse('2026-11-30T10:00:00Z'))).toBe(ms);
  });

  test.each<[unknown, boolean]>([
    [Object.assign(new Error('x'), { code: 'ECONNRESET' }), true],
    [new Error('x', { cause: Object.assign(new Error('y'), { code: 'UND_ERR_SOCKET' }) }), true],
    [new AggregateError([Object.assign(new Error('y'), { code: 'ECONNREFUSED' })]), true],
    [Object.assign(new Error('x'), { code: 'CERT_HAS_EXPIRED' }), false],
    [Object.assign(new Error('x'), { code: 'ENOTFOUND' }), false],
    [Object.assign(new Error('x'), { code: 'ENOSPC' }), false],
    ['ECONNRESET', false],
  ])('%o: %s', (error, broken) => {
    expect(isBroken(error)).toBe(broken);
  });
});

describe('registries of a Runtime', () => {
  test.each<[unknown, string]>([
    [{}, 'registries'],
    [[{}], 'registries[0].host'],
    [[{ host: 'https://a' }], 'registries[0].host'],
    [[{ host: 'a/b' }], 'registries[0].host'],
    [[{ host: 'a', insecur: true }], 'registries[0].insecur'],
    [[{ host: 'a', insecure: 1 }], 'registries[0].insecure'],
    [[{ host: 'a' }, { host: 'A' }], 'registries[1].host'],
    [[{ host: 'a', mirrors: 'b' }], 'registries[0].mirrors'],
    [[{ host: 'a', mirrors: ['b', 'https://c'] }], 'registries[0].mirrors[1]'],
    [[{ host: 'a', mirrors: ['b/../c'] }], 'registries[0].mirrors[0]'],
    [[{ host: 'a', ca: '/etc/ssl/ca.pem' }], 'registries[0].ca'],
    [[{ host: 'a', cert: CERTIFICATE }], 'registries[0].key'],
    [[{ host: 'a', key: KEY }], 'registries[0].cert'],
    [[{ host: 'a', cert: 'client.cert', key: KEY }], 'registries[0].cert'],
    [[{ host: 'a', cert: CERTIFICATE, key: 'client.key' }], 'registries[0].key'],
    [[{ host: 'a', auth: {} }], 'registries[0].auth'],
    [[{ host: 'a', auth: { username: 'u' } }], 'registries[0].auth.password'],
    [[{ host: 'a', auth: { username: 'u:v', password: 'p' } }], 'registries[0].auth.username'],
    [[{ host: 'a', auth: { token: 'a\nb' } }], 'registries[0].auth.token'],
    [[{ host: 'a', auth: { token: 't', password: 'p' } }], 'registries[0].auth.password'],
    [[{ host: 'a', authHosts: ['https://b'] }], 'registries[0].authHosts[0]'],
  ])('%j: %s is refused', (value, option) => {
    expect(() => parseRegistries(value, 'registries')).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_ARGUMENT',
        details: expect.objectContaining({ option }),
      }),
    );
  });
});

describe('certs.d', () => {
  let folder: TempFolder;
  beforeEach(async () => {
    folder = await tempFolder();
  });
  afterEach(() => folder.remove());
  const put = async (path: string, text = path): Promise<void> => {
    await mkdir(join(folder.path, path, '..'), { recursive: true });
    await writeFile(join(folder.path, path), text);
  };
  const stored = (host = 'r:5000'): Promise<unknown> =>
    storedCertificates(host, [join(folder.path, 'own'), join(folder.path, 'all')]);

  test('authorities and certificates of the host, of the first folder that has it', async () => {
    for (const name of [
      'b.crt',
      'a.crt',
      'client.cert',
      'client.key',
      '2.cert',
      '2.key',
      'README',
    ]) {
      await put(`all/r:5000/${name}`, name);
    }
    expect(await stored()).toEqual({
      ca: ['a.crt', 'b.crt'],
      certificates: ['2.cert', 'client.cert'],
      keys: ['2.key', 'client.key'],
    });
    await put('own/r:5000/x.crt', 'x');
    expect(await stored()).toEqual({ ca: ['x'], certificates: [], keys: [] });
    expect(await stored('r')).toEqual({ ca: [], certificates: [], keys: [] });
  });

  test.each([
    ['client.cert', 'client.key'],
    ['client.key', 'client.cert'],
  ])('%s without %s is an error that says so', async (name, missing) => {
    await put(`all/r:5000/${name}`);
    await expect(stored()).rejects.toMatchObject({
      code: 'ERR_CREDENTIALS_FAILED',
      details: {
        source: join(folder.path, 'all/r:5000', name),
        reason: expect.stringContaining(missing),
      },
    });
  });

  test('what is no file', async () => {
    await mkdir(join(folder.path, 'all/r:5000/ca.crt'), { recursive: true });
    await expect(stored()).rejects.toMatchObject({ code: 'ERR_CREDENTIALS_FAILED' });
  });
});
