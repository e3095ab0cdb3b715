import { describe, expect, test } from 'vitest';
import { Registry } from '../../../lib/registry/registry.js';
import { MEDIA_TYPES, type Descriptor, type Platform } from '../../../lib/store/images.js';
import { Registries } from '../../../lib/registry/registries.js';
import { chooseEntry, resolveManifest } from '../../../lib/registry/resolve.js';
import { atEnd } from '../../helpers/at-end.js';
import { documentOf, imageParts } from '../../helpers/image-parts.js';
import { json, recorder, type Handler } from '../../helpers/recorder.js';
import { ownDockerConfig } from './setup.js';

ownDockerConfig();

function registry(host: string): Registry {
  const made = new Registry(host);
  atEnd(async () => await made.close());
  return made;
}

const open =
  (rest: Handler): Handler =>
  async (request, response, raw) => {
    if (request.url === '/v2/') json(response, 200, {});
    else await rest(request, response, raw);
  };

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

const refusal = async (call: () => unknown): Promise<unknown> => {
  try {
    await call();
  } catch (error) {
    const { code, details } = error as { code: string; details: { option: string } };
    return code === 'ERR_INVALID_ARGUMENT' ? details.option : error;
  }
  return 'taken';
};

describe('asking', () => {
  const made = new Registry('r.example');
  const DIGEST = `sha256:${'0'.repeat(64)}`;

  test.each<[string, () => unknown, string]>([
    ['no host', () => new Registry(''), 'host'],
    ['a URL', () => new Registry('https://r.example'), 'host'],
    ['an image', () => new Registry('r.example/app'), 'host'],
    ['a misspelt option', () => new Registry('r', { insecur: true } as object), 'insecur'],
    ['a host among the options', () => new Registry('r', { host: 'x' } as object), 'host'],
    ['mirrors', () => new Registry('r', { mirrors: [] } as object), 'mirrors'],
    [
      'a Runtime and more',
      () => new Registry('r', { runtime: {} as never, insecure: true }),
      'insecure',
    ],
    ['no Runtime', async () => await new Registry('r', { runtime: {} as never }).ping(), 'runtime'],
    ['a name with a path out', async () => await made.manifest('../v1/x'), 'name'],
    ['a name with a query', async () => await made.manifest('app?x=1'), 'name'],
    ['a tag with a path', async () => await made.manifest('app:a/b'), 'name'],
    ['half a digest', async () => await made.manifest('app@sha256:00'), 'name'],
    ['a repository with a tag', async () => await all(made.tags('app:1')), 'repository'],
    [
      'a platform that is none',
      async () => await made.config('a', { platform: 'a/b/c/d' }),
      'platform',
    ],
    ['deleting without saying what', async () => await made.delete('app'), 'name'],
    ['a digest that is a tag', async () => await all(made.referrers('a', 'latest')), 'digest'],
    ['too many results', async () => await made.search('x', { limit: 1000 }), 'limit'],
    ['no word', async () => await made.search(''), 'term'],
    ['a token to keep', async () => await made.login({ token: 't' }), 'auth'],
    ['no credentials', async () => await made.login({} as never), 'auth'],
    [
      'an unknown option of a call',
      async () => await made.ping({ timeout: 1 } as object),
      'timeout',
    ],
    ['a digest with a line', async () => await made.manifest(`a@${DIGEST}\n`), 'name'],
  ])('%s is refused, before anything is asked', async (_name, call, option) => {
    expect(await refusal(call)).toBe(option);
  });

  test('an abort, before anything is asked', async () => {
    const signal = AbortSignal.abort();
    await expect(made.ping({ signal })).rejects.toMatchObject({ name: 'AbortError' });
    await expect(all(made.tags('a', { signal }))).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('lists', () => {
  test('pages, and what is no tag', async () => {
    const server = await recorder(
      open(({ url }, response) => {
        const last = new URL(url, 'http://x').searchParams.get('last');
        if (last === null) {
          json(
            response,
            200,
            { tags: ['a', 'sha256:00', null, 7, 'b'] },
            {
              link: '</v2/app/tags/list?last=b&n=2>; rel="next"',
            },
          );
        } else if (last === 'b') {
          json(response, 200, { tags: null }, { link: `<tags/list?last=c>; rel=next` });
          // Relative to the page itself: /v2/app/tags/tags/list is not there.
        } else json(response, 200, { tags: ['c'] });
      }),
    );
    const made = registry(server.host);
    expect(await all(made.tags('app'))).toEqual(['a', 'b', 'c']);
    expect(server.log().slice(1)).toEqual([
      'GET /v2/app/tags/list?n=1000',
      'GET /v2/app/tags/list?last=b&n=2',
      'GET /v2/app/tags/tags/list?last=c',
    ]);
  });

  test('are asked for as they are read', async () => {
    const server = await recorder(
      open(({ url }, response) =>
        json(response, 200, { tags: ['a', 'b'] }, { link: `<${url}x>; rel="next"` }),
      ),
    );
    for await (const tag of registry(server.host).tags('app')) {
      expect(tag).toBe('a');
      break;
    }
    expect(server.requests).toHaveLength(2);
  });

  test('a page size that is refused', async () => {
    const server = await recorder(
      open(({ url }, response) => {
        if (url.includes('n='))
          json(response, 400, { errors: [{ code: 'PAGINATION_NUMBER_INVALID' }] });
        else json(response, 200, { repositories: ['a/b', 'Not one', 'c'] });
      }),
    );
    expect(await all(registry(server.host).catalog())).toEqual(['a/b', 'c']);
  });

  test.each([
    ['elsewhere', '<http://127.0.0.9/v2/app/tags/list>; rel="next"'],
    ['the same again', '</v2/app/tags/list?n=1000>; rel="next"'],
    ['a file', '<file:///etc/passwd>; rel="next"'],
  ])('a next page that is %s is refused', async (_name, link) => {
    const server = await recorder(
      open((_request, response) => json(response, 200, { tags: [] }, { link })),
    );
    await expect(all(registry(server.host).tags('app'))).rejects.toMatchObject({
      code: 'ERR_REGISTRY_INVALID',
    });
    expect(server.requests).toHaveLength(2);
  });

  test.each<[string, unknown]>([
    ['no list', { tags: 'a' }],
    ['nothing', {}],
    ['a list itself', []],
    ['endless', { tags: ['x'.repeat(9 << 20)] }],
  ])('%s is refused', async (_name, value) => {
    const server = await recorder(open((_request, response) => json(response, 200, value)));
    await expect(all(registry(server.host).tags('app'))).rejects.toMatchObject({
      code: 'ERR_REGISTRY_INVALID',
    });
  });

  test('what refers to a manifest, by the API of 1.1', async () => {
    const { manifest } = imageParts(undefined, [1]);
    const { bytes: _bytes, ...there } = manifest;
    const server = await recorder(
      open((_request, response) =>
        json(
          response,
          200,
          {
            schemaVersion: 2,
            mediaType: MEDIA_TYPES.index,
            manifests: [
              { ...there, artifactType: 'a/b', annotations: { x: 'y' } },
              { ...there, artifactType: 'c/d' },
            ],
          },
          { 'content-type': MEDIA_TYPES.index },
        ),
      ),
    );
    const made = registry(server.host);
    // This one does not look at the filter.
    expect(await all(made.referrers('app', there.digest, { artifactType: 'a/b' }))).toEqual([
      { ...there, artifactType: 'a/b', annotations: { x: 'y' } },
    ]);
    expect(server.log().at(-1)).toBe(`GET /v2/app/referrers/${there.digest}?artifactType=a%2Fb`);
  });
});

test('search', async () => {
  const server = await recorder(
    open((_request, response) =>
      json(response, 200, {
        num_results: 3,
        results: [
          { name: 'nginx', description: 'web\u001b[31m', star_count: 7, is_official: true },
          { name: 'x/nginx' },
          { description: 'no name' },
        ],
      }),
    ),
  );
  expect(await registry(server.host).search('ngi nx', { limit: 5 })).toEqual([
    { name: 'nginx', description: 'web\u001b[31m', stars: 7, isOfficial: true },
    { name: 'x/nginx', description: '', stars: 0, isOfficial: false },
  ]);
  expect(server.log().at(-1)).toBe('GET /v1/search?q=ngi+nx&n=5');
});

describe('one of an index', () => {
  const entry = (platform?: Platform): Descriptor => ({
    mediaType: MEDIA_TYPES.manifest,
    digest: `sha256:${'0'.repeat(64)}`,
    size: 1,
    ...(platform !== undefined && { platform }),
  });
  const amd64 = { os: 'linux', architecture: 'amd64' };
  const choose = (...manifests: Descriptor[]): Descriptor =>
    chooseEntry({ kind: 'index', mediaType: MEDIA_TYPES.index, manifests }, amd64, 'a');

  test('the one for the platform; the only one, where that says nothing', () => {
    const wanted = entry(amd64);
    expect(choose(entry(), entry({ os: 'linux', architecture: 'arm64' }), wanted)).toBe(wanted);
    const only = entry();
    expect(choose(only)).toBe(only);
  });

  test.each<[string, Descriptor[], string[]]>([
    ['none at all', [], []],
    ['two that say nothing', [entry(), entry()], []],
    ['attestations alone', [entry({ os: 'unknown', architecture: 'unknown' })], []],
    [
      'others',
      [
        entry({ os: 'linux', architecture: 'arm64' }),
        entry({ os: 'windows', architecture: 'amd64' }),
      ],
      ['linux/arm64', 'windows/amd64'],
    ],
  ])('%s: an error that says what there is', (_name, manifests, available) => {
    expect(() => choose(...manifests)).toThrow(
      expect.objectContaining({
        code: 'ERR_PLATFORM_NOT_FOUND',
        details: { reference: 'a', platform: 'linux/amd64', available },
      }),
    );
  });

  test.each([
    [3, 'success'],
    [9, 'ERR_IMAGE_INVALID'],
  ])('%i indexes, each in the next: %s', async (depth, outcome) => {
    const { manifest, config } = imageParts(undefined, [1]);
    const configBytes = Buffer.concat(await config.open(0, config.size).toArray());
    const documents = [manifest];
    for (let i = 0; i < depth; i++) {
      const { mediaType, digest, size } = documents[0] ?? manifest;
      const platform = { os: 'linux', architecture: 'amd64' };
      const manifests = [{ mediaType, digest, size, platform }];
      documents.unshift(documentOf(MEDIA_TYPES.index, { schemaVersion: 2, manifests }));
    }
    const server = await recorder(
      open(({ url }, response) => {
        const name = url.slice(url.lastIndexOf('/') + 1);
        if (name === config.digest) return void response.writeHead(200).end(configBytes);
        const found = documents.find(
          ({ digest }, i) => name === digest || (name === 'b' && i === 0),
        );
        response.writeHead(200, { 'content-type': found?.mediaType }).end(found?.bytes);
      }),
    );
    const call = registry(server.host).config('a:b', { platform: 'linux/amd64' });
    const found = call.then(
      () => 'success',
      (error: unknown) => (error as { code: string }).code,
    );
    expect(await found).toBe(outcome);
  });

  test('in indexes of an index, with and without platforms of their own', async () => {
    const arm64 = { os: 'linux', architecture: 'arm64' };
    const documents = new Map<string, Descriptor & { readonly bytes: Buffer }>();
    const there = <T extends Descriptor & { readonly bytes: Buffer }>(one: T): T => {
      documents.set(one.digest, one);
      return one;
    };
    const indexOf = (...entries: Descriptor[]): Descriptor & { readonly bytes: Buffer } => {
      const manifests = entries.map(({ mediaType, digest, size, platform }) => ({ mediaType, digest, size, platform })); // prettier-ignore
      const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests };
      return there(documentOf(MEDIA_TYPES.index, index));
    };
    const image = (platform: Platform): Descriptor => ({
      ...there(imageParts(platform, [1]).manifest),
      platform,
    });
    const mine = image(amd64);
    const other = image(arm64);
    const server = await recorder();
    server.handler = open((request, response) => {
      const found = documents.get(/[^/]*$/.exec(request.url)?.[0] ?? '');
      if (found === undefined) json(response, 404, {});
      else response.writeHead(200, { 'content-type': found.mediaType }).end(found.bytes);
    });
    const all = new Registries([]);
    atEnd(async () => await all.close());
    const client = all.client(server.host);
    const resolve = async (top: Descriptor, platform: Platform): Promise<string> =>
      (await resolveManifest(client, 'a', top.digest, platform)).manifest.digest;

    const nested = indexOf(indexOf(other), indexOf(indexOf(mine)));
    expect(await resolve(nested, amd64)).toBe(mine.digest);
    expect(await resolve(nested, arm64)).toBe(other.digest);
    const said = indexOf({ ...indexOf(other), platform: arm64 }, { ...indexOf(mine), platform: amd64 }); // prettier-ignore
    expect(await resolve(said, amd64)).toBe(mine.digest);
    await expect(resolve(nested, { os: 'linux', architecture: 's390x' })).rejects.toMatchObject({
      code: 'ERR_PLATFORM_NOT_FOUND',
    });
    const deep = indexOf(indexOf(indexOf(indexOf(indexOf(mine)))));
    await expect(resolve(deep, amd64)).rejects.toMatchObject({ code: 'ERR_IMAGE_INVALID' });
    const wide = indexOf(...Array.from({ length: 40 }, (_, i) => indexOf(...Array(i + 1).fill(other)))); // prettier-ignore
    await expect(resolve(wide, amd64)).rejects.toMatchObject({ code: 'ERR_IMAGE_INVALID' });
  });
});
