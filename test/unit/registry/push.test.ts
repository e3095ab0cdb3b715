import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import type { BlobSource } from '../../../lib/registry/client.js';
import { digestOf } from '../../../lib/store/digest.js';
import { MEDIA_TYPES } from '../../../lib/store/images.js';
import { json, recorder, type Handler } from '../../helpers/recorder.js';
import { blobOf, MANIFEST, ownDockerConfig, registries } from './setup.js';

ownDockerConfig();

const bytes = randomBytes(200_000);
const blob = sourceOf(bytes);

function sourceOf(content: Buffer): BlobSource {
  return {
    ...blobOf(content),
    open: (start, end) => Readable.from([content.subarray(start, end)], { objectMode: false }),
  };
}

interface Upload {
  readonly chunks: Buffer[];
  done: boolean;
}

/** The upload part of a registry, as the specification has it, with what a test says before it. */
function takes(upload: Upload, before: Handler = () => undefined): Handler {
  const has = (): number => upload.chunks.reduce((sum, one) => sum + one.length, 0);
  const range = (): Record<string, string> => ({ range: `0-${Math.max(0, has() - 1)}` });
  return async (request, response, raw) => {
    const { method, url, headers, body } = request;
    if (url === '/v2/') {
      json(response, 200, {});
      return;
    }
    await before(request, response, raw);
    if (response.headersSent || response.destroyed || raw.socket.destroyed) return undefined;
    if (method === 'HEAD') return void response.writeHead(404).end();
    const location = '/v2/a/b/blobs/uploads/1?_state=x%2Fy%3D';
    if (method === 'POST') return void response.writeHead(202, { location, ...range() }).end();
    if (method === 'GET') return void response.writeHead(204, { location, ...range() }).end();
    if (method === 'PATCH') {
      const from = Number(String(headers['content-range']).split('-')[0]);
      if (from !== has()) return void response.writeHead(416, { location, ...range() }).end();
      upload.chunks.push(body);
      return void response.writeHead(202, { location, ...range() }).end();
    }
    if (body.length > 0) upload.chunks.push(body);
    const right =
      digestOf(Buffer.concat(upload.chunks)) ===
      new URL(url, 'http://x').searchParams.get('digest');
    upload.done = right;
    return void response.writeHead(right ? 201 : 400).end();
  };
}

const none = (): Upload => ({ chunks: [], done: false });

describe('a blob', () => {
  test('that is there is not sent', async () => {
    const server = await recorder((_request, response) => void response.writeHead(200).end());
    expect(await registries().client(server.host).pushBlob('a/b', blob)).toBe('exists');
    expect(server.log()).toEqual(['GET /v2/', `HEAD /v2/a/b/blobs/${blob.digest}`]);
  });

  test('is sent in one piece; what its place is called is left as it was', async () => {
    const upload = none();
    const server = await recorder(takes(upload));
    const seen: number[] = [];
    const client = registries().client(server.host);
    expect(await client.pushBlob('a/b', blob, { onBytes: (n) => seen.push(n) })).toBe('uploaded');
    expect(upload.done).toBe(true);
    expect(seen.at(-1)).toBe(bytes.length);
    expect(server.log().slice(2)).toEqual([
      'POST /v2/a/b/blobs/uploads/',
      `PUT /v2/a/b/blobs/uploads/1?_state=x%2Fy%3D&digest=${encodeURIComponent(blob.digest)}`,
    ]);
  });

  test('of no bytes', async () => {
    const upload = none();
    const server = await recorder(takes(upload));
    await registries()
      .client(server.host)
      .pushBlob('a/b', sourceOf(Buffer.alloc(0)));
    expect(upload.done).toBe(true);
  });

  test('a HEAD that is refused (Artifactory) is a no', async () => {
    const upload = none();
    const server = await recorder(
      takes(upload, ({ method }, response) => {
        if (method === 'HEAD') response.writeHead(403).end();
      }),
    );
    expect(await registries().client(server.host).pushBlob('a/b', blob)).toBe('uploaded');
  });

  test.each([1, 2])(
    'a connection that breaks %d times: goes on where the registry is',
    async (breaks) => {
      const upload = none();
      let broken = 0;
      const server = await recorder(
        takes(upload, ({ method, body, headers }, response) => {
          if (!(method === 'PUT' || method === 'PATCH') || body.length === 0 || broken === breaks)
            return;
          broken += 1;
          const from = Number(String(headers['content-range'] ?? '0').split('-')[0]);
          if (from === Buffer.concat(upload.chunks).length)
            upload.chunks.push(body.subarray(0, 30_000));
          response.destroy();
        }),
      );
      expect(await registries().client(server.host).pushBlob('a/b', blob)).toBe('uploaded');
      expect(upload.done).toBe(true);
      const ranges = server.requests.map(({ headers }) => headers['content-range']).filter(Boolean);
      expect(ranges).toEqual(
        [30_000, 60_000].slice(0, breaks).map((from) => `${from}-${bytes.length - 1}`),
      );
    },
  );

  test('an upload that the registry has forgotten begins again', async () => {
    const upload = none();
    let broken = false;
    const server = await recorder(
      takes(upload, ({ method, body }, response) => {
        if (method === 'GET') response.writeHead(404).end();
        if (method !== 'PUT' || broken || body.length === 0) return;
        broken = true;
        response.destroy();
      }),
    );
    await registries().client(server.host).pushBlob('a/b', blob);
    expect(upload.done).toBe(true);
    expect(server.log().filter((line) => line.startsWith('POST'))).toHaveLength(2);
  });

  test.each([503, 429])('%d in the middle: once more', async (status) => {
    const upload = none();
    let refused = 0;
    const server = await recorder(
      takes(upload, ({ method }, response) => {
        if (method === 'PUT' && ++refused < 3) response.writeHead(status).end();
      }),
    );
    await registries().client(server.host).pushBlob('a/b', blob);
    expect(upload.done).toBe(true);
  });

  test('too much at once (413), or chunks wanted: in chunks', async () => {
    const big = sourceOf(Buffer.alloc((33 << 20) + 5, 'x'));
    for (const wanted of [false, true]) {
      const upload = none();
      const server = await recorder(
        takes(upload, ({ method, body }, response) => {
          if (method === 'POST' && wanted) {
            response.setHeader('oci-chunk-min-length', '1024');
          }
          if (method === 'PUT' && body.length > 0) response.writeHead(413).end();
        }),
      );
      await registries().client(server.host).pushBlob('a/b', big);
      expect(upload.done).toBe(true);
      expect(upload.chunks.map((one) => one.length)).toEqual([16 << 20, 16 << 20, (1 << 20) + 5]);
      expect(server.log().filter((line) => line.startsWith('PUT'))).toHaveLength(wanted ? 1 : 2);
    }
  });

  test('a registry that took less of a chunk gets the rest', async () => {
    const upload = none();
    const server = await recorder(
      takes(upload, ({ method, body }, response) => {
        if (method === 'POST') response.setHeader('oci-chunk-min-length', '1024');
        if (method === 'PATCH' && upload.chunks.length === 0) {
          upload.chunks.push(body.subarray(0, 1000));
          response.writeHead(202, { location: '/v2/a/b/blobs/uploads/1', range: '0-999' }).end();
        }
      }),
    );
    await registries().client(server.host).pushBlob('a/b', blob);
    expect(upload.done).toBe(true);
  });

  test.each(['0-5', '0-999999999'])(
    'one that says nonsense of a chunk (%s) is refused',
    async (range) => {
      const server = await recorder(
        takes(none(), ({ method, headers }, response) => {
          if (method === 'POST') response.setHeader('oci-chunk-min-length', '1024');
          // The second time less than it had.
          if (method === 'PATCH')
            response
              .writeHead(202, {
                range: String(headers['content-range']).startsWith('0-') ? range : '0-5',
              })
              .end();
        }),
      );
      await expect(registries().client(server.host).pushBlob('a/b', blob)).rejects.toMatchObject({
        code: 'ERR_REGISTRY_INVALID',
      });
    },
  );

  test('it never goes: fails, after as many attempts as there are', async () => {
    const server = await recorder(
      takes(none(), ({ method }, response) => {
        if (method === 'PUT') response.destroy();
      }),
    );
    await expect(registries().client(server.host).pushBlob('a/b', blob)).rejects.toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
    });
    expect(server.log().filter((line) => line.startsWith('PUT'))).toHaveLength(5);
  });

  test('refused: what the registry says', async () => {
    const server = await recorder(
      takes(none(), ({ method }, response) => {
        if (method === 'PUT')
          json(response, 400, { errors: [{ code: 'DIGEST_INVALID', message: 'no' }] });
      }),
    );
    await expect(registries().client(server.host).pushBlob('a/b', blob)).rejects.toMatchObject({
      code: 'ERR_REGISTRY_FAILED',
      status: 400,
      errors: [{ code: 'DIGEST_INVALID' }],
    });
  });

  test('what its own stream throws is what is told', async () => {
    const server = await recorder(takes(none()));
    const lost = Object.assign(new Error('lost'), { code: 'EIO' });
    const broken: BlobSource = {
      ...blob,
      open: () =>
        new Readable({
          read() {
            this.destroy(lost);
          },
        }),
    };
    await expect(registries().client(server.host).pushBlob('a/b', broken)).rejects.toBe(lost);
  });

  test('an abort ends it', async () => {
    const server = await recorder(takes(none()));
    const slow: BlobSource = {
      ...blob,
      open: () => new Readable({ read() {} }),
    };
    const signal = AbortSignal.timeout(100);
    await expect(
      registries().client(server.host).pushBlob('a/b', slow, { signal }),
    ).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('from another repository', () => {
  test('mounted', async () => {
    const server = await recorder(
      takes(none(), ({ method }, response) => {
        if (method === 'POST') response.writeHead(201).end();
      }),
    );
    const client = registries().client(server.host);
    expect(await client.pushBlob('a/b', blob, { mountFrom: 'c' })).toBe('mounted');
    expect(server.log().at(-1)).toBe(
      `POST /v2/a/b/blobs/uploads/?mount=${encodeURIComponent(blob.digest)}&from=c`,
    );
  });

  test('it would not, and begins an upload: that is the one', async () => {
    const upload = none();
    const server = await recorder(takes(upload));
    const client = registries().client(server.host);
    expect(await client.pushBlob('a/b', blob, { mountFrom: 'c' })).toBe('uploaded');
    expect(server.log().filter((line) => line.startsWith('POST'))).toHaveLength(1);
  });

  test.each([401, 403, 404])('it refuses (%d, a private source): sent', async (status) => {
    const upload = none();
    const server = await recorder(
      takes(upload, ({ method, url }, response) => {
        if (method === 'POST' && url.includes('mount')) response.writeHead(status).end();
      }),
    );
    const client = registries().client(server.host);
    expect(await client.pushBlob('a/b', blob, { mountFrom: 'c' })).toBe('uploaded');
  });
});

test('oras CVE-2026-50151: an upload that goes on at another host has no credentials there', async () => {
  const foreign = await recorder((_request, response) => void response.writeHead(201).end());
  const server = await recorder(
    takes(none(), ({ method, headers }, response) => {
      if (headers['authorization'] === undefined) {
        response.writeHead(401, { 'www-authenticate': 'Basic' }).end();
      } else if (method === 'POST') {
        response.writeHead(202, { location: `${foreign.url}/upload` }).end();
      }
    }),
  );
  const auth = { username: 'u', password: 'p' };
  await registries({ host: server.host, auth }).client(server.host).pushBlob('a/b', blob);
  expect(server.credentials.length).toBeGreaterThan(0);
  expect(foreign.requests[0]?.body.equals(bytes)).toBe(true);
  expect(foreign.credentials).toEqual([]);
});

test('pushing asks for the right to, with the repositories joined', async () => {
  const server = await recorder();
  const asked: string[] = [];
  const upload = none();
  server.handler = takes(upload, ({ url, headers }, response) => {
    if (url.startsWith('/token')) {
      asked.push(...new URL(url, server.url).searchParams.getAll('scope'));
      json(response, 200, { token: 'T' });
    } else if (headers['authorization'] !== 'Bearer T') {
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${server.url}/token"` }).end();
    }
  });
  await registries().client(server.host).pushBlob('a/b', blob, { mountFrom: 'c' });
  expect(upload.done).toBe(true);
  expect(asked).toEqual([
    'repository:a/b:pull,push',
    'repository:a/b:pull,push',
    'repository:c:pull',
  ]);
});

describe('a manifest', () => {
  const manifest = { mediaType: MEDIA_TYPES.manifest, bytes: MANIFEST };

  test('put', async () => {
    const server = await recorder(
      ({ method }, response) => void response.writeHead(method === 'PUT' ? 201 : 200).end(),
    );
    const client = registries().client(server.host);
    expect(await client.pushManifest('a/b', 'v1', manifest)).toBe(digestOf(MANIFEST));
    const put = server.requests.at(-1);
    expect(put?.url).toBe('/v2/a/b/manifests/v1');
    expect(put?.headers['content-type']).toBe(MEDIA_TYPES.manifest);
    expect(put?.body.equals(MANIFEST)).toBe(true);
  });

  test('that the registry took for another one', async () => {
    const server = await recorder(({ method }, response) => {
      const headers = { 'docker-content-digest': blob.digest };
      response.writeHead(method === 'PUT' ? 201 : 200, headers).end();
    });
    await expect(
      registries().client(server.host).pushManifest('a', 'b', manifest),
    ).rejects.toMatchObject({ code: 'ERR_DIGEST_MISMATCH' });
  });

  test('whose blobs are missing', async () => {
    const server = await recorder(({ method }, response) => {
      if (method === 'PUT')
        json(response, 404, { errors: [{ code: 'MANIFEST_BLOB_UNKNOWN', message: 'x' }] });
      else json(response, 200, {});
    });
    await expect(
      registries().client(server.host).pushManifest('a', 'b', manifest),
    ).rejects.toMatchObject({ code: 'ERR_REGISTRY_FAILED', status: 404 });
  });
});
