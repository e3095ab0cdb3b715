import { readFile, rm, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { jsonDocument, type Document } from '../../../lib/image/documents.js';
import { findByReference, findImage } from '../../../lib/image/find.js';
import { addImage, listImages, tagImage } from '../../../lib/image/records.js';
import { pruneImages, removeImage } from '../../../lib/image/remove.js';
import { checkReference } from '../../../lib/registry/reference.js';
import { digestOf } from '../../../lib/store/digest.js';
import {
  DOCKER_MEDIA_TYPES,
  MEDIA_TYPES,
  type Digest,
  type Store,
} from '../../../lib/store/index.js';
import { rejection } from '../../helpers/runtime.js';
import { tempFolder, type TempFolder } from '../../helpers/temp.js';
import { fakeParts, type FakeParts } from './fake-parts.js';

let folder: TempFolder;
let parts: FakeParts;
let store: Store;

beforeEach(async () => {
  folder = await tempFolder();
  parts = await fakeParts(folder.path);
  store = parts.store;
});
afterEach(async () => {
  await parts.close();
  await folder.remove();
});

const digest = (text: string): Digest => digestOf(Buffer.from(text));

const configOf = (name: string): Document =>
  jsonDocument(MEDIA_TYPES.config, {
    os: 'linux',
    architecture: 'amd64',
    config: { Cmd: [name] },
    rootfs: { type: 'layers', diff_ids: [digest(name)] },
  });

/** An image in OCI's words, or in Docker's with a blob of its own. */
async function add(
  name: string,
  { docker = false, names = [] as readonly string[] } = {},
): Promise<Digest> {
  const config = configOf(name);
  const types = docker ? DOCKER_MEDIA_TYPES : MEDIA_TYPES;
  const layer = docker ? DOCKER_MEDIA_TYPES.layer : `${MEDIA_TYPES.layerTar}+zstd`;
  const manifest = jsonDocument(types.manifest, {
    schemaVersion: 2,
    mediaType: types.manifest,
    config: { mediaType: types.config, digest: config.digest, size: config.bytes.length },
    layers: [{ mediaType: layer, digest: digest(layer + name), size: 1 }],
  });
  const blob = store.images.blobs.path(digest(layer + name));
  const source = `docker.io/library/${name}@${manifest.digest}`;
  const made = { manifest, config, names, source, keys: [digest(name).slice(7)], sizeBytes: 1 };
  await addImage(store, made);
  await writeFile(blob, 'x');
  return manifest.digest;
}
const blobs = async (): Promise<number> => (await store.images.blobs.list()).size;

describe('two manifests with one configuration', () => {
  let oci: Digest;
  let docker: Digest;
  const { digest: id } = configOf('app');

  beforeEach(async () => {
    oci = await add('app', { names: ['docker.io/library/app:1'] });
    docker = await add('app', { docker: true, names: ['docker.io/library/app:2'] });
  });

  test('are one image, by its id, by each name and each digest', async () => {
    const images = await listImages(store);
    expect(images.map((image) => image.id)).toEqual([id]);
    expect(images[0]?.tags).toEqual(['app:1', 'app:2']);
    expect(images[0]?.forms.map(({ manifest }) => manifest.digest)).toEqual([oci, docker]);
    for (const text of ['app:1', 'app:2', id, id.slice(7, 20)]) {
      expect((await findImage(store, text)).id).toBe(id);
    }
    for (const text of [`app@${oci}`, `app@${docker}`]) {
      expect((await findByReference(store, checkReference(text)))?.id).toBe(id);
    }
  });

  test('get a name once, whichever has it', async () => {
    expect(await tagImage(store, id, 'docker.io/library/app:2')).toEqual(['app:1', 'app:2']);
    expect(await tagImage(store, id, 'docker.io/library/new:1')).toEqual(['app:1', 'app:2', 'new:1']); // prettier-ignore
    expect((await findImage(store, 'app:2')).tags).toEqual(['app:1', 'app:2', 'new:1']);
    await add('other', { names: ['docker.io/library/app:2'] });
    expect((await findImage(store, id)).tags).toEqual(['app:1', 'new:1']);
  });

  test('keep the blobs of both while they are listed, and go together', async () => {
    await add('other');
    expect(await blobs()).toBe(8);
    await removeImage(parts, configOf('other').digest, { force: false });
    expect(await blobs()).toBe(5);
    await removeImage(parts, id, { force: false });
    expect(await listImages(store)).toEqual([]);
    expect(await blobs()).toBe(0);
  });

  test('have a name when one of them has', async () => {
    await add('other', { names: ['docker.io/library/app:1'] });
    expect((await findImage(store, id)).tags).toEqual(['app:2']);
    const request = { dangling: true, until: undefined, labels: [] };
    expect(await pruneImages(parts, request)).toEqual([]);
  });
});

describe('an image whose documents are damaged', () => {
  let manifest: Digest;
  const config = configOf('broken').digest;

  beforeEach(async () => {
    await add('whole', { names: ['docker.io/library/whole:1'] });
    manifest = await add('broken', { names: ['docker.io/library/broken:1'] });
    // Nobody has read them yet.
    parts = await fakeParts(folder.path);
    store = parts.store;
  });

  test('is out of the way of the others, and says so itself', async () => {
    for (const document of [manifest, config]) {
      const path = store.images.blobs.path(document);
      const text = await readFile(path, 'utf8');
      for (const damage of [`${text} `, '', undefined]) {
        if (damage === undefined) await rm(path);
        else await writeFile(path, damage);
        expect((await listImages(store)).map(({ tags }) => tags)).toEqual([['whole:1']]);
        expect(await rejection(findImage(store, 'broken:1'))).toMatchObject({
          code: 'ERR_STORE_CORRUPT',
          details: { path },
        });
        expect(await findByReference(store, checkReference('broken:1'))).toBeUndefined();
      }
      await writeFile(path, text);
    }
    expect((await findImage(store, 'broken:1')).id).toBe(config);
  });

  test('may need what nobody else does: nothing goes meanwhile', async () => {
    await rm(store.images.blobs.path(config));
    const before = await blobs();
    await removeImage(parts, configOf('whole').digest, { force: false });
    expect(await listImages(store)).toEqual([]);
    expect(await blobs()).toBe(before);
  });

  test('is whole again when it is added again', async () => {
    await writeFile(store.images.blobs.path(config), '{}');
    await writeFile(store.images.blobs.path(manifest), 'x');
    await add('broken');
    expect((await findImage(store, 'broken:1')).tags).toEqual(['broken:1']);
  });
});
