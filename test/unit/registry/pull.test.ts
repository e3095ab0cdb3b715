import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../lib/store/digest.js';
import { MEDIA_TYPES } from '../../../lib/store/images.js';
import { json, recorder, type Handler } from '../../helpers/recorder.js';
import { blobOf, MANIFEST, MemorySink, ownDockerConfig, registries } from './setup.js';

ownDockerConfig();

const failure = async (call: Promise<unknown>): Promise<Record<string, unknown>> => {
  try {
    await call;
  } catch (error) {
    return error as Record<string, unknown>;
  }
  throw new Error('it did not fail');
};

/** Answers `/v2/`, and the rest as said. */
const open =
  (rest: Handler): Handler =>
  async (request, response, raw) => {
    if (request.url === '/v2/') json(response, 200, {});
    else await rest(request, response, raw);
  };

const manifestOf =
  (headers: Record<string, string> = {}, bytes: Uint8Array = MANIFEST): Handler =>
  (request, response) => {
    response.writeHead(200, { 'content-type': MEDIA_TYPES.manifest, ...headers });
    response.end(request.method === 'HEAD' ? undefined : bytes);
  };

describe('manifests', () => {
  test('by tag: bytes, type and digest', async () => {
    const server = await recorder(open(manifestOf()));
    const client = registries().client(server.host);
    expect(await client.manifest('a/b', 'latest')).toEqual({
      mediaType: MEDIA_TYPES.manifest,
      digest: digestOf(MANIFEST),
      bytes: MANIFEST,
    });
    expect(server.log()).toEqual(['GET /v2/', 'GET /v2/a/b/manifests/latest']);
    expect(server.requests[1]?.headers['accept']).toContain(MEDIA_TYPES.index);
    expect(server.credentials).toEqual([]);
  });

  test.each<[string, string, Record<string, string>, Uint8Array]>([
    ['another one than its digest', digestOf(MANIFEST), {}, Buffer.from('{}')],
    [
      'another one than its header',
      'latest',
      { 'docker-content-digest': digestOf(Buffer.from('x')) },
      MANIFEST,
    ],
  ])('%s is refused', async (_name, reference, headers, bytes) => {
    const server = await recorder(open(manifestOf(headers, bytes)));
    const client = registries().client(server.host);
    expect(await failure(client.manifest('a', reference))).toMatchObject({
      code: 'ERR_DIGEST_MISMATCH',
      details: { found: digestOf(bytes) },
    });
  });

  test('too long is refused before it is read', async () => {
    const server = await recorder(open(manifestOf({}, Buffer.alloc((4 << 20) + 1, ' '))));
    const client = registries().client(server.host);
    expect(await failure(client.manifest('a', 'latest'))).toMatchObject({
      code: 'ERR_REGISTRY_INVALID',
      details: { registry: server.host },
    });
  });

  test('too long, without saying so before', async () => {
    const server = await recorder(
      open((_request, response) => {
        response.writeHead(200);
        const more = (): void => {
          while (!response.destroyed && response.write(Buffer.alloc(1 << 16)));
        };
        response.on('drain', more);
        more();
      }),
    );
    const client = registries().client(server.host);
    expect(await failure(client.manifest('a', 'b'))).toMatchObject({
      code: 'ERR_REGISTRY_INVALID',
    });
  });

  test('one that is not there, by status alone', async () => {
    const server = await recorder(
      open((_request, response) =>
        json(response, 404, { errors: [{ code: 'UNKNOWN', message: 'artifact not found\n' }] }),
      ),
    );
    const client = registries().client(server.host);
    expect(await failure(client.manifest('a', 'b'))).toMatchObject({
      name: 'RegistryError',
      code: 'ERR_MANIFEST_NOT_FOUND',
      status: 404,
      errors: [{ code: 'UNKNOWN', message: 'artifact not found\n' }],
      details: { reference: `${server.host}/a:b`, status: 404, reason: '"artifact not found\\n"' },
    });
  });

  test('head: without the body; with it where the answer says too little', async () => {
    const server = await recorder(
      open(
        manifestOf({
          'docker-content-digest': digestOf(MANIFEST),
          'content-length': String(MANIFEST.length),
        }),
      ),
    );
    const client = registries().client(server.host);
    const said = {
      mediaType: MEDIA_TYPES.manifest,
      digest: digestOf(MANIFEST),
      size: MANIFEST.length,
    };
    expect(await client.head('a', 'b')).toEqual(said);
    expect(server.log()).toEqual(['GET /v2/', 'HEAD /v2/a/manifests/b']);
    server.handler = open(manifestOf());
    expect(await client.head('a', 'b')).toEqual(said);
    expect(server.log().slice(2)).toEqual(['HEAD /v2/a/manifests/b', 'GET /v2/a/manifests/b']);
  });
});

describe('blobs', () => {
  const bytes = randomBytes(300_000);
  const blob = blobOf(bytes);
  const ranged: Handler = ({ headers }, response) => {
    const from = Number(/^bytes=(\d+)-$/.exec(String(headers['range']))?.[1] ?? 0);
    const rest = bytes.subarray(from);
    response.writeHead(from > 0 ? 206 : 200, {
      'content-length': rest.length,
      ...(from > 0 && { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
    });
    response.end(rest);
  };

  test('whole', async () => {
    const server = await recorder(open(ranged));
    const sink = new MemorySink();
    const seen: number[] = [];
    await registries()
      .client(server.host)
      .fetchBlob('a', blob, sink, { onBytes: (n) => seen.push(n) });
    expect(sink.bytes().equals(bytes)).toBe(true);
    expect(seen.at(-1)).toBe(bytes.length);
    expect(server.log()).toEqual(['GET /v2/', `GET /v2/a/blobs/${blob.digest}`]);
  });

  test('of no bytes', async () => {
    const server = await recorder(open((_request, response) => void response.writeHead(200).end()));
    const sink = new MemorySink();
    await registries()
      .client(server.host)
      .fetchBlob('a', blobOf(Buffer.alloc(0)), sink);
    expect(sink.offset).toBe(0);
  });

  test('goes on where an earlier download ended; one that is whole asks nothing', async () => {
    const server = await recorder(open(ranged));
    const client = registries().client(server.host);
    const sink = new MemorySink(bytes.subarray(0, 100));
    await client.fetchBlob('a', blob, sink);
    expect(sink.bytes().equals(bytes)).toBe(true);
    expect(sink.restarts).toBe(0);
    expect(server.requests.at(-1)?.headers['range']).toBe('bytes=100-');
    const asked = server.requests.length;
    await client.fetchBlob('a', blob, sink);
    expect(server.requests).toHaveLength(asked);
  });

  test('more than all of it is begun again', async () => {
    const server = await recorder(open(ranged));
    const sink = new MemorySink(Buffer.alloc(bytes.length + 1));
    await registries().client(server.host).fetchBlob('a', blob, sink);
    expect(sink.bytes().equals(bytes)).toBe(true);
    expect(sink.restarts).toBe(1);
  });

  test.each<[string, Handler]>([
    ['200', (_request, response) => void response.writeHead(200).end(bytes)],
    [
      '206 from elsewhere',
      (request, response, raw) => {
        if (request.headers['range'] === undefined) return ranged(request, response, raw);
        response.writeHead(206, { 'content-range': `bytes 0-${bytes.length - 1}/${bytes.length}` });
        response.end(bytes);
      },
    ],
    [
      '416',
      (request, response, raw) => {
        if (request.headers['range'] === undefined) return ranged(request, response, raw);
        response.writeHead(416).end();
      },
    ],
  ])('a server that cannot go on (%s): from the beginning', async (_name, handler) => {
    const server = await recorder(open(handler));
    const sink = new MemorySink(Buffer.alloc(1000, 'x'));
    await registries().client(server.host).fetchBlob('a', blob, sink);
    expect(sink.bytes().equals(bytes)).toBe(true);
    expect(sink.restarts).toBe(1);
  });

  test('a connection that breaks every 10 kB: each brings a part', async () => {
    const server = await recorder(
      open(({ headers }, response) => {
        const from = Number(/^bytes=(\d+)-$/.exec(String(headers['range']))?.[1] ?? 0);
        response.writeHead(from > 0 ? 206 : 200, {
          'content-length': bytes.length - from,
          'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}`,
        });
        response.write(bytes.subarray(from, from + 10_000), () =>
          from + 10_000 < bytes.length ? response.destroy() : response.end(),
        );
      }),
    );
    const sink = new MemorySink();
    await registries().client(server.host).fetchBlob('a', blob, sink);
    expect(sink.bytes().equals(bytes)).toBe(true);
    expect(sink.restarts).toBe(0);
    expect(server.requests.length).toBeGreaterThan(25);
  });

  test('an answer that ends early, and says that this was all: as a broken one', async () => {
    let answers = 0;
    const server = await recorder(
      open((request, response, raw) => {
        if (++answers > 1) return ranged(request, response, raw);
        response.writeHead(200, { 'content-length': 5000 }).end(bytes.subarray(0, 5000));
      }),
    );
    const sink = new MemorySink();
    await registries().client(server.host).fetchBlob('a', blob, sink);
    expect(sink.bytes().equals(bytes)).toBe(true);
    expect(server.requests.at(-1)?.headers['range']).toBe('bytes=5000-');
  });

  test('one that never brings anything fails, after as many attempts as there are', async () => {
    const server = await recorder(open((_request, response) => void response.destroy()));
    const error = await failure(
      registries().client(server.host).fetchBlob('a', blob, new MemorySink()),
    );
    expect(error).toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
      details: { registry: server.host },
    });
    expect(server.log().filter((line) => line.includes('blobs'))).toHaveLength(5);
  });

  test('one that is shorter than it should be is asked for again, and not without end', async () => {
    const server = await recorder(
      open((request, response, raw) => {
        if (request.headers['range'] === undefined) return ranged(request, response, raw);
        response.writeHead(416).end();
      }),
    );
    const longer = { ...blob, size: bytes.length + 100 };
    const sink = new MemorySink();
    const error = await failure(registries().client(server.host).fetchBlob('a', longer, sink));
    expect(error).toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
      details: { reason: expect.stringContaining(`${bytes.length} of ${longer.size} bytes`) },
    });
    // Each time all that there is, and then what should follow.
    expect(server.log().filter((line) => line.includes('blobs'))).toHaveLength(2 * 5 - 1);
  });

  test('one that is longer than it should be is refused at the first byte too many', async () => {
    const server = await recorder(
      open((_request, response) => void response.writeHead(200).end(Buffer.concat([bytes, bytes]))),
    );
    const sink = new MemorySink();
    const error = await failure(registries().client(server.host).fetchBlob('a', blob, sink));
    expect(error).toMatchObject({ code: 'ERR_REGISTRY_INVALID' });
    expect(sink.offset).toBeLessThanOrEqual(bytes.length);
  });

  test('what the sink throws is what is told, once', async () => {
    const server = await recorder(open(ranged));
    const sink = new MemorySink();
    const full = Object.assign(new Error('full'), { code: 'ENOSPC' });
    sink.write = () => Promise.reject(full);
    expect(await failure(registries().client(server.host).fetchBlob('a', blob, sink))).toBe(full);
    expect(server.log().filter((line) => line.includes('blobs'))).toHaveLength(1);
  });

  test('an abort ends it at once, and what has come stays', async () => {
    const server = await recorder(
      open((_request, response) => {
        response.writeHead(200, { 'content-length': bytes.length });
        response.write(bytes.subarray(0, 20_000));
      }),
    );
    const sink = new MemorySink();
    const stop = new AbortController();
    const call = registries()
      .client(server.host)
      .fetchBlob('a', blob, sink, {
        signal: stop.signal,
        onBytes: (total) => {
          if (total === 20_000) stop.abort(new Error('enough'));
        },
      });
    expect(await failure(call)).toMatchObject({ name: 'AbortError', cause: new Error('enough') });
    expect(sink.bytes().equals(bytes.subarray(0, 20_000))).toBe(true);
  });
});

test('many at once: over six connections, no more', async () => {
  let [now, most] = [0, 0];
  const server = await recorder(
    open(async (request, response, raw) => {
      most = Math.max(most, (now += 1));
      await new Promise((resolve) => setTimeout(resolve, 20));
      now -= 1;
      await manifestOf()(request, response, raw);
    }),
  );
  const client = registries().client(server.host);
  await Promise.all(
    Array.from({ length: 30 }, async (_, i) => await client.manifest('a', `t${i}`)),
  );
  expect(most).toBe(6);
});

describe('patience', () => {
  test.each([429, 500, 502, 503, 504])('%s is tried again', async (status) => {
    let answers = 0;
    const server = await recorder(
      open((request, response, raw) => {
        if (++answers < 4) {
          json(response, status, {});
          return;
        }
        return manifestOf()(request, response, raw);
      }),
    );
    await registries().client(server.host).manifest('a', 'b');
    expect(answers).toBe(4);
  });

  test('it stays: the last answer is what is told', async () => {
    const server = await recorder(
      open((_request, response) =>
        json(response, 503, { errors: [{ code: 'X', message: 'busy' }] }),
      ),
    );
    const error = await failure(registries().client(server.host).manifest('a', 'b'));
    expect(error).toMatchObject({
      code: 'ERR_REGISTRY_FAILED',
      status: 503,
      errors: [{ message: 'busy' }],
    });
    expect(server.requests).toHaveLength(1 + 5);
  });

  test('Retry-After is waited for; longer than a limit it is a refusal', async () => {
    let answers = 0;
    const server = await recorder(
      open((request, response, raw) => {
        if (++answers > 1) return manifestOf()(request, response, raw);
        json(response, 429, {}, { 'retry-after': '1' });
      }),
    );
    const client = registries().client(server.host);
    const began = performance.now();
    await client.manifest('a', 'b');
    expect(performance.now() - began).toBeGreaterThan(900);
    server.handler = open((_request, response) =>
      json(response, 429, {}, { 'retry-after': '3600' }),
    );
    expect(await failure(client.manifest('a', 'b'))).toMatchObject({ status: 429 });
    expect(server.requests).toHaveLength(1 + 2 + 1);
  });

  test('an abort while waiting', async () => {
    const server = await recorder(
      open((_request, response) => json(response, 429, {}, { 'retry-after': '1' })),
    );
    const began = performance.now();
    const signal = AbortSignal.timeout(50);
    const error = await failure(registries().client(server.host).manifest('a', 'b', { signal }));
    expect(error).toMatchObject({ name: 'AbortError' });
    expect(performance.now() - began).toBeLessThan(800);
  });

  test('nobody there', async () => {
    const server = await recorder();
    const { host } = server;
    const [, port] = host.split(':');
    // A port of loopback where nothing listens: the neighbour address of the recorder's.
    const client = registries().client(`127.0.0.9:${port}`);
    expect(await failure(client.manifest('a', 'b'))).toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
    });
  });
});

describe('mirrors', () => {
  test('are asked first; the registry itself when they fail', async () => {
    const origin = await recorder(open(manifestOf()));
    const broken = await recorder((_request, response) => void response.destroy());
    const empty = await recorder(open(() => undefined));
    const good = await recorder(open(manifestOf()));
    const all = registries({
      host: origin.host,
      mirrors: [broken.host, `${empty.host}/hub`, good.host],
    });
    await all.client(origin.host).manifest('a', 'b');
    expect(empty.log()).toEqual(['GET /v2/', 'GET /v2/hub/a/manifests/b']);
    expect(good.log()).toEqual(['GET /v2/', 'GET /v2/a/manifests/b']);
    expect(origin.log()).toEqual([]);

    good.handler = open(() => undefined);
    await all.client(origin.host).manifest('a', 'b');
    expect(origin.log()).toEqual(['GET /v2/', 'GET /v2/a/manifests/b']);
  });

  test('a blob that a mirror began is ended by the registry', async () => {
    const bytes = randomBytes(50_000);
    const origin = await recorder(
      open(({ headers }, response) => {
        expect(headers['range']).toBe('bytes=20000-');
        response.writeHead(206, { 'content-range': 'bytes 20000-49999/50000' });
        response.end(bytes.subarray(20_000));
      }),
    );
    let answers = 0;
    const mirror = await recorder(
      open((_request, response) => {
        if (++answers > 1) return void response.writeHead(403).end();
        response.writeHead(200, { 'content-length': bytes.length });
        response.write(bytes.subarray(0, 20_000), () => response.destroy());
      }),
    );
    const sink = new MemorySink();
    const all = registries({ host: origin.host, mirrors: [mirror.host] });
    await all.client(origin.host).fetchBlob('a', blobOf(bytes), sink);
    expect(sink.bytes().equals(bytes)).toBe(true);
  });
});

describe('redirects', () => {
  test('of a blob to another host, and no further than five', async () => {
    const bytes = randomBytes(1000);
    const storage = await recorder((_request, response) => void response.writeHead(200).end(bytes));
    const server = await recorder(
      open((_request, response) => {
        response.writeHead(307, { location: `${storage.url}/bucket?signature=x` }).end();
      }),
    );
    const client = registries().client(server.host);
    const sink = new MemorySink();
    await client.fetchBlob('a', blobOf(bytes), sink);
    expect(sink.bytes().equals(bytes)).toBe(true);
    expect(storage.log()).toEqual(['GET /bucket?signature=x']);

    server.handler = open(
      ({ url }, response) => void response.writeHead(302, { location: url }).end(),
    );
    expect(await failure(client.manifest('a', 'b'))).toMatchObject({
      code: 'ERR_REGISTRY_INVALID',
    });
  });

  test.each(['', 'http://', 'ftp://x/', 'file:///etc/passwd', 'javascript:1'])(
    'to %j: refused',
    async (location) => {
      const server = await recorder(
        open((_request, response) => void response.writeHead(302, { location }).end()),
      );
      const error = await failure(registries().client(server.host).manifest('a', 'b'));
      // An empty one is the same page: a loop.
      expect(error).toMatchObject({ code: 'ERR_REGISTRY_INVALID' });
    },
  );
});
