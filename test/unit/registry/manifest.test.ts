import { describe, expect, test } from 'vitest';
import { parseManifest } from '../../../lib/registry/manifest.js';
import {
  choosePlatform,
  formatPlatform,
  hostPlatform,
  parsePlatform,
} from '../../../lib/registry/platform.js';
import { DOCKER_MEDIA_TYPES as DOCKER, MEDIA_TYPES as OCI } from '../../../lib/store/images.js';

const digest = `sha256:${'0'.repeat(64)}` as const;
const blob = (mediaType: string, more: object = {}): object => ({
  mediaType,
  digest,
  size: 7,
  ...more,
});
const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';
const image = { schemaVersion: 2, config: blob(OCI.config), layers: [blob(LAYER)] };
const index = { schemaVersion: 2, manifests: [blob(OCI.manifest)] };

const read = (document: unknown, mediaType = ''): unknown =>
  parseManifest(
    {
      mediaType,
      bytes: Buffer.from(typeof document === 'string' ? document : JSON.stringify(document)),
    },
    'r.example/a:1',
  );
const codeOf = (document: unknown, mediaType = ''): unknown => {
  try {
    return read(document, mediaType);
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe('what is an image', () => {
  test.each<[object, string, string, string]>([
    [image, OCI.manifest, 'image', OCI.manifest],
    [image, '', 'image', OCI.manifest],
    [image, 'application/json; charset=utf-8', 'image', OCI.manifest],
    [{ ...image, mediaType: OCI.manifest }, 'text/plain', 'image', OCI.manifest],
    [{ ...image, mediaType: DOCKER.manifest }, DOCKER.manifest, 'image', DOCKER.manifest],
    [{ ...image, artifactType: '' }, OCI.manifest, 'image', OCI.manifest],
    [index, '', 'index', OCI.index],
    [
      { ...index, mediaType: DOCKER.index },
      `${DOCKER.index}; charset=utf-8`,
      'index',
      DOCKER.index,
    ],
  ])('%#', (document, header, kind, mediaType) => {
    expect(read(document, header)).toMatchObject({ kind, mediaType });
  });

  test('of an index: platforms, where they are said', () => {
    const manifests = [
      blob(OCI.manifest, { platform: { os: 'linux', architecture: 'arm', variant: 'v7', x: 1 } }),
      blob(OCI.manifest, { platform: null }),
      blob(OCI.manifest, { platform: { os: 1 }, annotations: { a: 'b', c: 1 } }),
    ];
    expect(read({ ...index, manifests })).toEqual({
      kind: 'index',
      mediaType: OCI.index,
      manifests: [
        blob(OCI.manifest, { platform: { os: 'linux', architecture: 'arm', variant: 'v7' } }),
        blob(OCI.manifest),
        blob(OCI.manifest, { annotations: { a: 'b' } }),
      ],
    });
  });
});

describe('what is not valid', () => {
  test.each<[string, unknown, string?]>([
    ['no JSON', '{'],
    ['a list', []],
    ['null', 'null'],
    ['both kinds', { ...image, ...index }],
    ['both kinds, one of them old', { ...index, fsLayers: [] }],
    ['another type inside', { ...image, mediaType: DOCKER.manifest }, OCI.manifest],
    ['an image called an index', image, OCI.index],
    ['an index called an image', { ...index, mediaType: OCI.manifest }, OCI.manifest],
    ['a mediaType that is a number', { ...image, mediaType: 7 }],
    ['no version', { ...image, schemaVersion: undefined }],
    ['no layers', { ...image, layers: undefined }, OCI.manifest],
    ['too many layers', { ...image, layers: Array(2000).fill(blob(LAYER)) }],
    ['no config', { ...image, config: undefined }],
    [
      'a digest that is a path',
      { ...image, config: blob(OCI.config, { digest: 'sha256:../../etc' }) },
    ],
    [
      'a digest in capitals',
      { ...image, config: blob(OCI.config, { digest: digest.toUpperCase() }) },
    ],
    ['a digest with an end', { ...image, config: blob(OCI.config, { digest: `${digest}\n` }) }],
    ['a negative size', { ...image, layers: [blob(LAYER, { size: -1 })] }],
    ['half a byte', { ...image, layers: [blob(LAYER, { size: 0.5 })] }],
    ['a size as text', { ...image, layers: [blob(LAYER, { size: '7' })] }],
    ['a size beyond all', { ...image, layers: [blob(LAYER, { size: 1e300 })] }],
    ['a layer that is null', { ...image, layers: [null] }],
    ['a layer without type', { ...image, layers: [blob(LAYER, { mediaType: null })] }],
  ])('%s', (_name, document, header) => {
    expect(codeOf(document, header)).toBe('ERR_IMAGE_INVALID');
  });
});

describe('what is no image is refused politely', () => {
  test.each<[string, unknown, string?]>([
    ['a chart', { ...image, config: blob('application/vnd.cncf.helm.config.v1+json') }],
    ['an artifact', { ...image, artifactType: 'application/x' }],
    ['an empty config', { ...image, config: blob('application/vnd.oci.empty.v1+json') }],
    ['a layer of something else', { ...image, layers: [blob('application/wasm')] }],
    ['schema 1', { schemaVersion: 1, fsLayers: [] }],
    [
      'schema 1, signed',
      { schemaVersion: 1 },
      'application/vnd.docker.distribution.manifest.v1+prettyjws',
    ],
    ['anything', { schemaVersion: 2 }, 'application/vnd.example'],
    ['sha512', { ...image, config: blob(OCI.config, { digest: `sha512:${'0'.repeat(128)}` }) }],
  ])('%s', (_name, document, header) => {
    expect(codeOf(document, header)).toBe('ERR_UNSUPPORTED');
  });
});

describe('platforms', () => {
  test.each([
    ['linux/amd64', 'linux/amd64'],
    ['amd64', 'linux/amd64'],
    ['x86_64', 'linux/amd64'],
    ['linux/arm64/v8', 'linux/arm64'],
    ['linux/arm64', 'linux/arm64'],
    ['linux/arm64/8', 'linux/arm64'],
    ['aarch64', 'linux/arm64'],
    ['linux/arm', 'linux/arm/v7'],
    ['linux/arm/v6', 'linux/arm/v6'],
    ['armhf', 'linux/arm/v7'],
    ['armel', 'linux/arm/v6'],
    ['linux/amd64/v3', 'linux/amd64/v3'],
    ['Linux/AMD64', 'linux/amd64'],
    ['windows/amd64', 'windows/amd64'],
    ['linux/riscv64', 'linux/riscv64'],
  ])('%s is %s', (text, platform) => {
    expect(formatPlatform(parsePlatform(text))).toBe(platform);
  });

  test.each(['', '/', 'linux/', 'linux//v8', 'a/b/c/d', 'linux/a b', '../x'])(
    '%j is refused',
    (text) => {
      expect(() => parsePlatform(text)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
      );
    },
  );

  const entries = (
    ...all: string[]
  ): { platform: ReturnType<typeof parsePlatform>; name: string }[] =>
    all.map((name) => {
      const [os = '', architecture = '', variant] = name.split('/');
      return { name, platform: { os, architecture, ...(variant !== undefined && { variant }) } };
    });

  test.each<[string, string[], string | undefined]>([
    ['linux/amd64', ['linux/386', 'linux/amd64', 'windows/amd64'], 'linux/amd64'],
    ['linux/arm64', ['linux/arm64/v8'], 'linux/arm64/v8'],
    ['linux/arm64/v8', ['linux/arm64'], 'linux/arm64'],
    ['linux/arm/v7', ['linux/arm/v5', 'linux/arm/v6', 'linux/arm/v8'], 'linux/arm/v6'],
    ['linux/arm/v6', ['linux/arm/v7'], undefined],
    ['linux/arm', ['linux/arm/v6', 'linux/arm/v7'], 'linux/arm/v7'],
    ['linux/amd64', ['linux/amd64', 'linux/amd64/v3'], 'linux/amd64'],
    ['linux/amd64/v3', ['linux/amd64', 'linux/amd64/v2', 'linux/amd64/v4'], 'linux/amd64/v2'],
    ['linux/amd64', ['linux/arm64', 'unknown/unknown'], undefined],
    ['linux/amd64', [], undefined],
  ])('%s of %j: %s', (wanted, all, chosen) => {
    expect(choosePlatform(entries(...all), parsePlatform(wanted))?.name).toBe(chosen);
  });

  test('this machine has one', () => {
    expect(formatPlatform(hostPlatform())).toMatch(/^linux\/[a-z0-9]+/);
  });
});
