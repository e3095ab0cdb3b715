import { describe, expect, test } from 'vitest';
import { parseImageDocument, parseImageManifest } from '../../../lib/image/documents.js';

const OCI = 'application/vnd.oci.image.manifest.v1+json';
const DOCKER = 'application/vnd.docker.distribution.manifest.v2+json';
const digest = (letter: string): string => `sha256:${letter.repeat(64)}`;
const config = {
  mediaType: 'application/vnd.oci.image.config.v1+json',
  digest: digest('a'),
  size: 2,
};
const layer = {
  mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
  digest: digest('b'),
  size: 9,
};
const manifest = { schemaVersion: 2, mediaType: OCI, config, layers: [layer] };

const parse = (value: unknown, mediaType = OCI): unknown =>
  parseImageManifest({ mediaType, bytes: Buffer.from(JSON.stringify(value)) }, 'x');
const codeOf = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return (error as { code: unknown }).code;
  }
};

describe('a manifest', () => {
  test('of OCI and of Docker', () => {
    expect(parse(manifest)).toMatchObject({ config, layers: [layer] });
    const docker = {
      ...manifest,
      mediaType: DOCKER,
      config: { ...config, mediaType: 'application/vnd.docker.container.image.v1+json' },
      layers: [{ ...layer, mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip' }],
    };
    expect(parse(docker, DOCKER)).toMatchObject({ layers: [{ digest: layer.digest }] });
    // Where it may be left out, it is.
    expect(parse({ ...manifest, mediaType: undefined })).toMatchObject({ layers: [layer] });
  });

  test.each<[string, unknown, string]>([
    ['that is two things', { ...manifest, manifests: [] }, OCI],
    ['that says it is another', manifest, DOCKER],
    ['without layers', { ...manifest, layers: {} }, OCI],
    [
      'with a digest of another kind',
      { ...manifest, config: { ...config, digest: 'md5:aa' } },
      OCI,
    ],
    [
      'with a digest that is a path',
      { ...manifest, config: { ...config, digest: 'sha256:../../x' } },
      OCI,
    ],
    ['with a negative size', { ...manifest, layers: [{ ...layer, size: -1 }] }, OCI],
    ['with a size that is text', { ...manifest, layers: [{ ...layer, size: '9' }] }, OCI],
    ['that is a list', [], OCI],
    ['that is nothing', null, OCI],
  ])('%s is not valid', (_name, value, mediaType) => {
    expect(codeOf(() => parse(value, mediaType))).toBe('ERR_IMAGE_INVALID');
  });

  test('that is no UTF-8, or no JSON', () => {
    for (const text of [Buffer.from([0x7b, 0xff, 0x7d]), Buffer.from('{')]) {
      expect(codeOf(() => parseImageManifest({ mediaType: OCI, bytes: text }, 'x'))).toBe(
        'ERR_IMAGE_INVALID',
      );
    }
  });

  test.each<[string, unknown, string]>([
    ['an index', { schemaVersion: 2, manifests: [] }, 'application/vnd.oci.image.index.v1+json'],
    ['schema 1', { ...manifest, schemaVersion: 1 }, OCI],
    ['an artifact', { ...manifest, artifactType: 'application/x' }, OCI],
    [
      'a chart',
      { ...manifest, config: { ...config, mediaType: 'application/vnd.cncf.helm.config.v1+json' } },
      OCI,
    ],
    ['a layer of an unknown kind', { ...manifest, layers: [{ ...layer, mediaType: 'x/y' }] }, OCI],
  ])('of %s is not supported', (_name, value, mediaType) => {
    expect(codeOf(() => parse(value, mediaType))).toBe('ERR_UNSUPPORTED');
  });
});

describe('a configuration', () => {
  const read = (value: unknown, layers = 1): ReturnType<typeof parseImageDocument> =>
    parseImageDocument(Buffer.from(JSON.stringify(value)), layers, 'x');
  const rootfs = { type: 'layers', diff_ids: [digest('c')] };

  test('as others write it: what is of a wrong kind is not there', () => {
    const document = read({
      architecture: 'arm64',
      os: 'linux',
      variant: 'v8',
      rootfs,
      config: {
        User: 'app',
        Env: ['A=b', 'novalue', 7, 'B=c\0d'],
        Cmd: null,
        Entrypoint: ['/x', ''],
        WorkingDir: 'app',
        Labels: { a: 'b', 'dev.caisson.x': 'y', n: 1 },
        Volumes: { '/data': {} },
        ArgsEscaped: true,
      },
      history: [
        { created_by: 'ADD x', empty_layer: false },
        null,
        { comment: 'c', empty_layer: true },
      ],
    });
    expect(document).toMatchObject({
      platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
      diffIds: [digest('c')],
      history: [
        { createdBy: 'ADD x', emptyLayer: false },
        { comment: 'c', emptyLayer: true },
      ],
    });
    expect(document.config).toEqual({
      User: 'app',
      Env: ['A=b'],
      Entrypoint: ['/x', ''],
      WorkingDir: '/app',
      Labels: { a: 'b' },
      Volumes: { '/data': {} },
    });
    expect(read({ rootfs, config: null }).config).toEqual({});
  });

  test.each<[string, unknown, number]>([
    ['without diff_ids', { rootfs: {} }, 1],
    ['with more layers than diff_ids', { rootfs }, 2],
    ['with a diff_id that is a path', { rootfs: { diff_ids: ['sha256:../x'] } }, 1],
  ])('%s is not valid', (_name, value, layers) => {
    expect(codeOf(() => read(value, layers))).toBe('ERR_IMAGE_INVALID');
  });
});
