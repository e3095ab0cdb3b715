import { createReadStream } from 'node:fs';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import * as zlib from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ArchivedReference } from '../../../lib/archive/image.js';
import { readArchive } from '../../../lib/archive/read.js';
import {
  configText,
  dockerFiles,
  keeper,
  Layout,
  meta,
  named,
  OCI_TYPES,
  paxOf,
  sha256,
  tarOf,
  tarOfFiles,
  writeFiles,
  type Described,
  type Files,
} from '../../helpers/archive.js';
import { rejection } from '../../helpers/runtime.js';
import { tempFolder, type TempFolder } from '../../helpers/temp.js';

/** A regular expression by itself matches everything there. */
const said = (text: RegExp): unknown => expect.stringMatching(text);

let folder: TempFolder;
beforeEach(async () => {
  folder = await tempFolder();
});
afterEach(() => folder.remove());

/** What was read, with the layers' bytes in place of their places. */
async function shown(references: readonly ArchivedReference[]): Promise<unknown> {
  const image = async ({ platform, manifest, config, layers }: ArchivedReference['images'][0]) => ({
    platform: Object.values(platform).join('/'),
    manifest: manifest?.digest,
    config: config.digest,
    layers: await Promise.all(
      layers.map(async ({ mediaType, digest, diffId, blob: { path, offset, size } }) => {
        const bytes = (await readFile(path)).subarray(offset, offset + size);
        expect(bytes.length).toBe(size);
        if (digest !== undefined) expect(sha256(bytes)).toBe(digest);
        const known = digest === undefined ? 'unknown' : digest === diffId ? 'plain' : 'other';
        return [bytes.toString('latin1', 0, 40), mediaType.replace(/.*\.v1\./, ''), known];
      }),
    ),
  });
  return await Promise.all(
    references.map(async ({ names, images }) => ({
      names,
      images: await Promise.all(images.map(image)),
    })),
  );
}

async function* inPieces(bytes: Buffer, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) {
    yield await Promise.resolve(bytes.subarray(at, at + length));
  }
}

/** Reads the same in each way there is: all must say the same. */
async function read(files: Files): Promise<unknown> {
  const archive = tarOfFiles(files);
  const reversed = tarOfFiles(new Map([...files].reverse()));
  const path = join(folder.path, 'archive.tar');
  const compressed = join(folder.path, 'archive.tar.gz');
  await writeFile(path, archive);
  await writeFile(compressed, zlib.gzipSync(archive));
  const none = () => expect.unreachable('read in place');
  const { takeBlob } = keeper(folder.path);

  const file = await shown(await readArchive(path, { takeBlob: none }));
  const ways: [string, string | Readable][] = [
    ['folder', await writeFiles(join(folder.path, 'unpacked'), files)],
    ['compressed file', compressed],
    ['stream', createReadStream(path)],
    ['stream in small pieces', Readable.from(inPieces(archive, 100))],
    ['the other way round', Readable.from([reversed])],
    ['compressed stream', Readable.from(inPieces(zlib.gzipSync(reversed), 1000))],
    ['as folders are packed', Readable.from([tarOf([...files].map(([name, data]) => ({ name: `./${name}`, data })))])],
  ]; // prettier-ignore
  for (const [way, source] of ways) {
    expect(await shown(await readArchive(source, { takeBlob })), way).toEqual(file);
  }
  return file;
}

const image = (config: string, manifest: unknown, ...layers: string[]) => ({
  platform: 'linux/amd64',
  manifest,
  config,
  layers: layers.map((text) => [text, 'tar', 'plain']),
});

describe('OCI layouts', () => {
  test('images with their names', async () => {
    const layout = new Layout();
    const one = layout.image(['first', 'second']);
    const two = layout.image(['first', '{"looks": "like a document"}']);
    layout.list([
      named(one, 'example.com/a:1'),
      named(two, 'latest'),
      named(one, 'b:2'),
      { ...two, annotations: { 'io.containerd.image.name': 'docker.io/library/c:3', 'org.opencontainers.image.ref.name': '3' } },
    ]); // prettier-ignore
    expect(await read(layout.files)).toEqual([
      { names: ['example.com/a:1', 'b:2'], images: [expect.objectContaining({ manifest: one.digest, layers: [['first', 'tar', 'plain'], ['second', 'tar', 'plain']] })] },
      { names: ['docker.io/library/c:3'], images: [expect.objectContaining({ manifest: two.digest })] },
    ]); // prettier-ignore
  });

  test('an index: a platform each, what is not there and what is no image left out', async () => {
    const layout = new Layout();
    const amd = layout.image(['amd']);
    const arm = layout.image(['arm'], { os: 'linux', architecture: 'arm64', variant: 'v8' });
    const absent = layout.image(['absent'], { os: 'linux', architecture: 's390x' });
    layout.files.delete(`blobs/sha256/${absent.digest.slice(7)}`);
    const layerless = layout.image(['without'], { os: 'linux', architecture: 'riscv64' });
    layout.files.delete(`blobs/sha256/${sha256(Buffer.from('without')).slice(7)}`);
    const attestation = {
      ...layout.image(['in-toto']),
      platform: { os: 'unknown', architecture: 'unknown' },
    };
    const artifact = layout.image(['chart'], undefined, (manifest) => ({
      ...manifest,
      config: layout.blob('{}', 'application/vnd.cncf.helm.config.v1+json'),
    }));
    const nested = layout.index([
      amd,
      absent,
      layerless,
      attestation,
      layout.index([arm, artifact]),
    ]);
    layout.list([named(nested, 'a:1')]);
    expect(await read(layout.files)).toMatchObject([
      {
        names: ['a:1'],
        images: [
          { platform: 'linux/amd64', manifest: amd.digest },
          { platform: 'linux/arm64/v8', manifest: arm.digest },
        ],
      },
    ]);
  });

  test('platforms that share a name without an index', async () => {
    const layout = new Layout();
    const amd = named(layout.image(['amd']), 'a:1');
    const arm = named(layout.image(['arm'], { os: 'linux', architecture: 'arm64' }), 'a:1');
    const again = named(layout.image(['amd2']), 'a:1');
    layout.list([amd, arm, again]);
    expect(await read(layout.files)).toMatchObject([
      { names: ['a:1'], images: [{ manifest: amd.digest }, { manifest: arm.digest }] },
      { names: ['a:1'], images: [{ manifest: again.digest }] },
    ]);
  });

  test("Docker's types", async () => {
    const layout = new Layout();
    const type = 'application/vnd.docker.distribution.manifest.v2+json';
    const { digest } = layout.image(['layer'], undefined, (manifest) => ({
      ...manifest,
      mediaType: type,
      config: { ...(manifest['config'] as object), mediaType: 'application/vnd.docker.container.image.v1+json' },
      layers: [{ ...(manifest['layers'] as object[])[0], mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip' }],
    })); // prettier-ignore
    const bytes = layout.files.get(`blobs/sha256/${digest.slice(7)}`) as Buffer;
    const list = layout.json(
      { schemaVersion: 2, mediaType: 'application/vnd.docker.distribution.manifest.list.v2+json', manifests: [{ mediaType: type, digest, size: bytes.length }] },
      'application/vnd.docker.distribution.manifest.list.v2+json',
    ); // prettier-ignore
    layout.list([list]);
    expect(await read(layout.files)).toMatchObject([{ names: [], images: [{ manifest: digest }] }]);
  });

  test('an image without layers, as Go writes it', async () => {
    const layout = new Layout();
    const { digest } = layout.image([], undefined, (manifest) => ({ ...manifest, layers: null }));
    const bytes = layout.files.get(`blobs/sha256/${digest.slice(7)}`) as Buffer;
    layout.list([{ mediaType: OCI_TYPES.manifest, digest, size: bytes.length, platform: null, annotations: null }]); // prettier-ignore
    expect(await read(layout.files)).toMatchObject([{ images: [{ layers: [] }] }]);
  });
});

describe('docker-archives', () => {
  test('images with their names, layers plain and compressed', async () => {
    const config = configText(['first', 'second']);
    const gzipped = zlib.gzipSync('second').toString('latin1');
    const files = dockerFiles(
      [
        { Config: 'c.json', RepoTags: ['a:1', 'b:2'], Layers: ['l1/layer.tar', 'l2.tar.gz'] },
        { Config: 'd.json', RepoTags: null, Layers: ['l1/layer.tar'] },
      ],
      { 'c.json': config, 'd.json': configText(['first']), 'l1/layer.tar': 'first', repositories: '{}' },
    ); // prettier-ignore
    files.set('l2.tar.gz', Buffer.from(gzipped, 'latin1'));
    const second = [gzipped.slice(0, 40), 'tar+gzip', 'unknown'];
    const first = image(sha256(Buffer.from(config)), undefined, 'first');
    expect(await read(files)).toEqual([
      { names: ['a:1', 'b:2'], images: [{ ...first, layers: [...first.layers, second] }] },
      { names: [], images: [image(sha256(Buffer.from(configText(['first']))), undefined, 'first')] },
    ]); // prettier-ignore
  });

  test('links of old, and nothing of what lies beside', async () => {
    const id = 'a'.repeat(64);
    const { takeBlob, taken } = keeper(folder.path);
    const archive = tarOf([
      { name: `${id}/`, type: '5' },
      { name: `${id}/VERSION`, data: '1.0' },
      { name: `${id}/json`, data: '{}' },
      { name: `${id}/layer.tar`, type: '2', linkName: '../b/layer.tar' },
      { name: 'h/layer.tar', type: '1', linkName: 'b/layer.tar' },
      { name: 'b/layer.tar', data: 'layer' },
      { name: 'c.json', data: configText(['layer', 'layer']) },
      {
        name: 'manifest.json',
        data: JSON.stringify([{ Config: 'c.json', Layers: [`${id}/layer.tar`, 'h/layer.tar'] }]),
      },
    ]);
    const references = await readArchive(Readable.from([archive]), { takeBlob });
    expect(await shown(references)).toMatchObject([
      { images: [{ layers: [['layer', 'tar', 'plain'], ['layer', 'tar', 'plain']] }] },
    ]); // prettier-ignore
    expect(taken).toEqual([{ name: 'b/layer.tar', digest: undefined, size: 5 }]);
  });

  test.each(['xz', 'bzip2'])(
    'a layer compressed with %s is said not to be supported',
    async (how) => {
      const data = { xz: '\xfd7zXZ\0…', bzip2: 'BZh91AY' }[how] ?? '';
      const files = dockerFiles([{ Config: 'c.json', Layers: ['l'] }], {
        'c.json': configText(['x']),
      });
      files.set('l', Buffer.from(data, 'latin1'));
      expect(await rejection(read(files))).toMatchObject({ code: 'ERR_UNSUPPORTED' });
    },
  );
});

describe('both in one', () => {
  const hybrid = (change?: (manifest: Record<string, unknown>) => object) => {
    const layout = new Layout();
    const one = layout.image(['layer'], undefined, change);
    const config = sha256(Buffer.from(configText(['layer'])));
    layout.list([{ ...one, annotations: { 'io.containerd.image.name': 'docker.io/library/a:1' } }]);
    const blob = (digest: string) => `blobs/sha256/${digest.slice(7)}`;
    const entries = [
      { Config: blob(config), RepoTags: ['a:1', 'b:1'], Layers: [blob(sha256(Buffer.from('layer')))] },
    ]; // prettier-ignore
    layout.files.set('manifest.json', Buffer.from(JSON.stringify(entries)));
    return { layout, one, config };
  };

  test('the manifest of the layout, the names of both', async () => {
    const { layout, one, config } = hybrid();
    expect(await read(layout.files)).toEqual([
      { names: ['docker.io/library/a:1', 'a:1', 'b:1'], images: [image(config, one.digest, 'layer')] },
    ]); // prettier-ignore
  });

  test('a manifest without layers, as of Docker 25.0, is left out', async () => {
    const { layout, config } = hybrid((manifest) => ({ ...manifest, layers: null }));
    expect(await read(layout.files)).toEqual([
      { names: ['a:1', 'b:1'], images: [image(config, undefined, 'layer')] },
    ]);
  });
});

/** A layout of one image, changed. */
const oci = (change: (layout: Layout, image: Described) => unknown): Files => {
  const layout = new Layout();
  const one = layout.image(['layer']);
  layout.list([one]);
  change(layout, one);
  return layout.files;
};
const docker = (entry: object, files: Record<string, string> = {}): Files =>
  dockerFiles([{ Config: 'c.json', RepoTags: [], Layers: ['l'], ...entry }], {
    'c.json': configText(['layer']),
    l: 'layer',
    ...files,
  });
const at = ({ digest }: Described): string => `blobs/sha256/${digest.slice(7)}`;
const changed = (change: (manifest: Record<string, unknown>) => object): Files =>
  oci((layout) => layout.list([layout.image(['layer'], undefined, change)]));
const withConfig = (text: string): Files =>
  changed((manifest) => ({ ...manifest, config: new Layout().blob(text, OCI_TYPES.config) }));

describe('refused', () => {
  test.each<[string, Files, string | undefined, RegExp]>([
    ['something else', new Map([['etc/passwd', Buffer.from('root')]]), undefined, /neither/],
    ['from before 1.10', new Map([['repositories', Buffer.from('{}')]]), undefined, /1\.10/],
    ['another layout', oci((l) => l.files.set('oci-layout', Buffer.from('{"imageLayoutVersion":"2.0"}'))), 'oci-layout', /not 1/],
    ['no index', oci((l) => l.files.delete('index.json')), 'index.json', /not there/],
    ['an empty index', oci((l) => l.list([])), 'index.json', /no image/],
    ['an index that is no JSON', oci((l) => l.files.set('index.json', Buffer.from('{'))), 'index.json', /JSON/],
    ['one that is not UTF-8', oci((l) => l.files.set('index.json', Buffer.from('{"\xff":1}', 'latin1'))), 'index.json', /JSON/],
    ['one that is a list', oci((l) => l.files.set('index.json', Buffer.from('[]'))), 'index.json', /not an object/],
    ['one that is a manifest too', oci((l, i) => l.list([i], { layers: [] })), 'index.json', /an image as well/],
    ['one of another type', oci((l, i) => l.list([i], { mediaType: OCI_TYPES.manifest })), 'index.json', /says that it is/],
    ['of schema 1', oci((l, i) => l.list([i], { schemaVersion: 1 })), 'index.json', /schema 1/],
    ['manifests that are no list', oci((l) => l.list([], { manifests: {} })), 'index.json', /not a list/],
    ['too many', oci((l, i) => l.list(Array(4097).fill(i))), 'index.json', /more than 4096/],
    ['a digest that is a path', oci((l, i) => l.list([{ ...i, digest: 'sha256:../../../etc/passwd' }])), 'index.json', /no digest/],
    ['a digest in capitals', oci((l, i) => l.list([{ ...i, digest: i.digest.toUpperCase() }])), 'index.json', /no digest/],
    ['a digest and a newline', oci((l, i) => l.list([{ ...i, digest: `${i.digest}\n` }])), 'index.json', /no digest/],
    ['another algorithm', oci((l, i) => l.list([{ ...i, digest: `sha512:${'0'.repeat(128)}` }])), 'index.json', /sha512/],
    ['a negative size', oci((l, i) => l.list([{ ...i, size: -1 }])), 'index.json', /size/],
    ['half a byte', oci((l, i) => l.list([{ ...i, size: 1.5 }])), 'index.json', /size/],
    ['nothing but an artifact', oci((l, i) => l.list([{ ...i, mediaType: 'application/x' }])), 'index.json', /application\/x/],
    ['nothing but attestations', oci((l, i) => l.list([{ ...i, annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } }])), 'index.json', /attestations/],
    ['a manifest that is not there', oci((l, i) => l.files.delete(at(i))), 'index.json', /is not there/],
    ['a manifest of another digest', oci((l, i) => l.files.set(at(i), Buffer.from(' '.repeat(i.size)))), 'blobs/', /another digest/],
    ['a manifest of another size', oci((l, i) => l.list([{ ...i, size: i.size + 1 }])), 'blobs/', /another digest or size/],
    ['a manifest of 5 MiB', oci((l, i) => l.list([{ ...i, size: 5 << 20 }])), 'blobs/', /no document/],
    ['a manifest that is an index too', changed((m) => ({ ...m, manifests: [] })), 'blobs/', /an index and an image/],
    ['a manifest of schema 1', changed((m) => ({ ...m, fsLayers: [] })), 'blobs/', /fsLayers/],
    ['a manifest without a config', changed(({ config: _, ...m }) => m), 'blobs/', /config has no digest/],
    ['a config that is not there', withConfig('{}'), 'index.json', /is not there/],
    ['another number of layers', changed((m) => ({ ...m, layers: [] })), 'index.json', /has 1 layers/],
    ['layers nobody can unpack', changed((m) => ({ ...m, layers: [{ ...(m['layers'] as object[])[0], mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip+encrypted' }] })), 'index.json', /encrypted/],
    ['a layer of another size', changed((m) => ({ ...m, layers: [{ ...(m['layers'] as object[])[0], size: 6 }] })), 'blobs/', /5 bytes and should have 6/],
    ['a layer that is not there', oci((l) => l.files.delete(`blobs/sha256/${sha256(Buffer.from('layer')).slice(7)}`)), 'index.json', /is not there/],
    ['an index of nothing', oci((l) => l.list([l.index([])])), 'index.json', /empty index/],
    ['an index in too many', oci((l, i) => l.list([Array(6).fill(0).reduce((inner: Described) => l.index([inner]), i)])), 'blobs/', /too many/],
    ['a manifest.json that is none', docker({}).set('manifest.json', Buffer.from('{}')), 'manifest.json', /not a list/],
    ['an entry that is none', docker({}).set('manifest.json', Buffer.from('[1]')), 'manifest.json', /not an object/],
    ['no config', docker({ Config: undefined }), 'manifest.json', /Config is not text/],
    ['a config outside', docker({ Config: '../c.json' }), '../c.json', /leads out/],
    ['a layer outside', docker({ Layers: ['/etc/passwd'] }), '/etc/passwd', /absolute/],
    ['a config that is not there', docker({ Config: 'd.json' }), 'manifest.json', /is not there/],
    ['a layer that is not there', docker({ Layers: ['m'] }), 'manifest.json', /is not there/],
    ['fewer layers', docker({ Layers: [] }), 'manifest.json', /0 layers/],
    ['tags that are none', docker({ RepoTags: [1] }), 'manifest.json', /not text/],
    ['a config of no layers', docker({}, { 'c.json': '{"rootfs":{"type":"layers+base"}}' }), 'c.json', /made of layers/],
    ['a config without a root', docker({}, { 'c.json': '{}' }), 'c.json', /rootfs/],
    ['diff_ids that are none', docker({}, { 'c.json': '{"rootfs":{"type":"layers","diff_ids":["sha256:../x"]}}' }), 'c.json', /diff_id/],
    ['a config for nothing', docker({}, { 'c.json': '{"rootfs":{"type":"layers"},"os":1}' }), 'c.json', /os and arch/],
  ])('%s', async (_, files, member, reason) => {
    const archive = tarOfFiles(files);
    const path = join(folder.path, 'archive.tar');
    await writeFile(path, archive);
    const { takeBlob } = keeper(folder.path);
    const unpacked = await writeFiles(join(folder.path, 'unpacked'), files);
    for (const source of [path, Readable.from([archive]), unpacked]) {
      expect(await rejection(readArchive(source, { takeBlob }))).toMatchObject({
        code: 'ERR_IMAGE_ARCHIVE_INVALID',
        details: {
          reason: said(reason),
          ...(member !== undefined && { member: expect.stringMatching(new RegExp(`^${member}`)) }),
        },
      });
    }
  }); // prettier-ignore

  test.each<[string, Parameters<typeof tarOf>[0], RegExp]>([
    ['the same name twice', [{ name: 'a', data: 'x' }, { name: './a', data: 'y' }], /twice/],
    ['a link of the same name', [{ name: 'a', data: 'x' }, { name: 'a', type: '2', linkName: 'b' }], /twice/],
    ['a name outside', [{ name: '../a' }], /leads out/],
    ['an absolute one', [{ name: '/a' }], /absolute/],
    ['a long one outside', [meta('L', `${'a/'.repeat(60)}../x\0`), { name: 'a' }], /leads out/],
    ['no name', [meta('x', paxOf({ path: '' })), { name: 'a' }], /no name/],
    ['links in a circle', [{ name: 'manifest.json', type: '2', linkName: 'a' }, { name: 'a', type: '2', linkName: 'manifest.json' }], /links/],
    ['a link outside', [{ name: 'manifest.json', type: '2', linkName: '../x' }], /outside/],
    ['a link to the host', [{ name: 'manifest.json', type: '2', linkName: '/etc/passwd' }], /absolute/],
    ['a hard link outside', [{ name: 'manifest.json', type: '1', linkName: '../x' }], /leads out/],
    ['a document of 5 MiB', [{ name: 'manifest.json', data: Buffer.alloc(5 << 20, '[') }], /too large/],
  ])('%s', async (_, parts, reason) => {
    const archive = tarOf(parts);
    const path = join(folder.path, 'archive.tar');
    await writeFile(path, archive);
    const { takeBlob } = keeper(folder.path);
    for (const source of [path, Readable.from([archive])]) {
      expect(await rejection(readArchive(source, { takeBlob }))).toMatchObject({
        code: 'ERR_IMAGE_ARCHIVE_INVALID',
        details: { reason: said(reason) },
      });
    }
  }); // prettier-ignore

  test('documents without end, and blobs', async () => {
    const { takeBlob } = keeper(folder.path);
    const document = Buffer.alloc(4 << 20, '[');
    const flood = async function* (data: Buffer): AsyncGenerator<Buffer> {
      for (let i = 0; ; i++) yield await Promise.resolve(tarOf([{ name: `${i}`, data }], Buffer.alloc(0))); // prettier-ignore
    };
    const read = (data: Buffer): Promise<unknown> =>
      rejection(readArchive(Readable.from(flood(data)), { takeBlob: data === document ? takeBlob : () => Promise.resolve({ path: '', offset: 0, size: 1 }) })); // prettier-ignore
    expect(await read(document)).toMatchObject({ details: { reason: said(/documents are more/) } });
    expect(await read(Buffer.from('x'))).toMatchObject({
      details: { reason: said(/10000 blobs/) },
    });
  });

  test('an index that grows when it is followed', async () => {
    const layout = new Layout();
    let one = layout.image(['layer']);
    for (let i = 0; i < 3; i++) one = layout.index(Array(900).fill(one) as Described[]);
    layout.list([one]);
    const call = readArchive(Readable.from([tarOfFiles(layout.files)]), keeper(folder.path));
    expect(await rejection(call)).toMatchObject({ details: { reason: said(/4096 documents/) } });
  });
});

describe('streams', () => {
  const layout = new Layout();
  layout.list([named(layout.image(['layer']), 'a:1')]);
  const archive = tarOfFiles(layout.files);
  const names = async (source: string | Readable): Promise<unknown> => {
    const references = await readArchive(source, keeper(folder.path));
    return references.map((one) => one.names);
  };

  test('gzip in several members, with zeros behind', async () => {
    const parts = [archive.subarray(0, 1000), archive.subarray(1000)].map((part) => zlib.gzipSync(part)); // prettier-ignore
    expect(await names(Readable.from([...parts, Buffer.alloc(512)]))).toEqual([['a:1']]);
  });

  test('zstd, where Node has it', async () => {
    const { zstdCompressSync } = zlib as { zstdCompressSync?: (data: Buffer) => Buffer };
    const compressed = zstdCompressSync?.(archive) ?? Buffer.from('28b52ffd00000000', 'hex');
    const call = names(Readable.from([compressed]));
    if (zstdCompressSync !== undefined) expect(await call).toEqual([['a:1']]);
    else
      expect(await rejection(call)).toMatchObject({
        code: 'ERR_UNSUPPORTED',
        hint: said(/stream/),
      });
  });

  test.each<[string, Buffer, object]>([
    ['nothing', Buffer.alloc(0), { code: 'ERR_IMAGE_ARCHIVE_INVALID', details: { reason: 'it is empty' } }],
    ['zeros', Buffer.alloc(10_240), { code: 'ERR_IMAGE_ARCHIVE_INVALID', details: { reason: said(/neither/) } }],
    ['xz', Buffer.from('fd377a585a000000', 'hex'), { code: 'ERR_UNSUPPORTED', details: { what: said(/xz/) } }],
    ['bzip2', Buffer.from('BZh91AY'), { code: 'ERR_UNSUPPORTED', details: { what: said(/bzip2/) } }],
    ['half of a gzip', zlib.gzipSync(archive).subarray(0, 200), { code: 'ERR_IMAGE_ARCHIVE_INVALID', details: { reason: said(/gzip/) } }],
    ['a gzip with a wrong sum', Buffer.concat([zlib.gzipSync(archive).subarray(0, -8), Buffer.alloc(8)]), { code: 'ERR_IMAGE_ARCHIVE_INVALID', details: { reason: said(/gzip/) } }],
    ['half of an archive', archive.subarray(0, 1200), { code: 'ERR_IMAGE_ARCHIVE_INVALID', details: { reason: said(/cut off/) } }],
  ])('%s', async (_, bytes, error) => {
    expect(await rejection(names(Readable.from(bytes.length === 0 ? [] : [bytes])))).toMatchObject(error);
    const path = join(folder.path, 'archive');
    await writeFile(path, bytes);
    expect(await rejection(names(path))).toMatchObject(error);
  }); // prettier-ignore

  test('an error of the stream is the error', async () => {
    for (const compress of [(bytes: Buffer) => bytes, zlib.gzipSync]) {
      const stream = new PassThrough();
      const call = rejection(names(stream));
      stream.write(compress(archive).subarray(0, 300));
      const error = new Error('unplugged');
      stream.destroy(error);
      expect(await call).toBe(error);
    }
  });

  test('an abort ends it, while nothing comes', async () => {
    for (const compress of [(bytes: Buffer) => bytes, zlib.gzipSync]) {
      const stream = new PassThrough();
      stream.write(compress(archive).subarray(0, 300));
      const controller = new AbortController();
      const call = readArchive(stream, { ...keeper(folder.path), signal: controller.signal });
      setImmediate(() => controller.abort(new Error('enough')));
      expect(await rejection(call)).toMatchObject({
        name: 'AbortError',
        cause: { message: 'enough' },
      });
      expect(stream.destroyed).toBe(true);
    }
    const aborted = AbortSignal.abort();
    const untouched = new PassThrough();
    const call = readArchive(untouched, { ...keeper(folder.path), signal: aborted });
    expect(await rejection(call)).toMatchObject({ name: 'AbortError' });
  });

  test('an error of takeBlob is the error, and the stream is let go', async () => {
    for (const compress of [(bytes: Buffer) => bytes, zlib.gzipSync]) {
      const stream = new PassThrough();
      stream.write(compress(Buffer.concat([archive, Buffer.alloc(4 << 20)])));
      const full = new Error('full');
      const call = readArchive(stream, { takeBlob: () => Promise.reject(full) });
      expect(await rejection(call)).toBe(full);
      expect(stream.destroyed).toBe(true);
    }
  });

  test('text is not bytes', async () => {
    const stream = Readable.from([archive.toString('latin1')]);
    expect(await rejection(names(stream))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });

  test('no such file', async () => {
    const call = names(join(folder.path, 'none'));
    expect(await rejection(call)).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });

  test('memory does not grow with blobs, which come when there is room', async () => {
    let produced = 0;
    const chunk = Buffer.alloc(1 << 16);
    const big = 64 << 20;
    const endless = async function* (): AsyncGenerator<Buffer> {
      yield tarOf([{ name: 'a', size: big }], Buffer.alloc(0));
      for (; produced < big; produced += chunk.length) yield await Promise.resolve(chunk);
    };
    let ahead = 0;
    const call = readArchive(Readable.from(endless()), {
      async takeBlob({ size }, bytes) {
        let seen = 0;
        for await (const { length } of bytes) {
          seen += length;
          ahead = Math.max(ahead, produced - seen);
          if (seen % (1 << 20) === 0) await new Promise(setImmediate);
        }
        return { path: '', offset: 0, size };
      },
    });
    expect(await rejection(call)).toMatchObject({ details: { reason: said(/neither/) } });
    expect(produced).toBe(big);
    expect(ahead).toBeLessThan(2 << 20);
  });
});

describe('folders', () => {
  test('links in it are followed, what is no file is refused', async () => {
    const layout = new Layout();
    layout.list([layout.image(['layer'])]);
    const other = await writeFiles(join(folder.path, 'other'), layout.files);
    const linked = join(folder.path, 'linked');
    await writeFiles(linked, new Map([['oci-layout', layout.files.get('oci-layout')!]]));
    await symlink(join(other, 'index.json'), join(linked, 'index.json'));
    await symlink(join(other, 'blobs'), join(linked, 'blobs'));
    const { takeBlob } = keeper(folder.path);
    expect(await readArchive(linked, { takeBlob })).toHaveLength(1);

    const odd = join(folder.path, 'odd');
    await writeFiles(join(odd, 'manifest.json'), new Map([['x', Buffer.alloc(0)]]));
    expect(await rejection(readArchive(odd, { takeBlob }))).toMatchObject({
      details: { reason: said(/regular/) },
    });
  });
});
