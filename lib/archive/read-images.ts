import { digestOf } from '../store/digest.js';
import { bagOf, parseJson } from '../store/documents.js';
import type { ArchivedImage, ArchivedReference } from './image.js';
import { invalidArchive } from './invalid.js';
import type { Members } from './members.js';
import { parseDockerManifest, readDockerImage } from './read-docker.js';
import { readLayout, type LayoutEntry } from './read-layout.js';

interface Reference {
  readonly names: Set<string>;
  readonly images: ArchivedImage[];
}

/**
 * The images of an archive or a layout, whichever it is. Docker writes both into one file, since version 25: what its
 * `manifest.json` says comes after the layout, which keeps the bytes of manifests.
 *
 * @throws {@link CaissonError} `ERR_IMAGE_ARCHIVE_INVALID`
 */
export async function readImages(members: Members): Promise<ArchivedReference[]> {
  const index = await indexOf(members);
  const docker = await members.document('manifest.json');
  if (index === undefined && docker === undefined) throw await unknown(members);

  const references = index === undefined ? [] : byName(await readLayout(members, index), docker);
  if (docker !== undefined) await addDocker(references, members, docker);
  return references.flatMap(({ names, images: [first, ...more] }) =>
    first === undefined ? [] : [{ names: [...names], images: [first, ...more] }],
  );
}

async function indexOf(members: Members): Promise<Buffer | undefined> {
  const layout = await members.document('oci-layout');
  if (layout === undefined) return undefined;
  const refuse = (reason: string): Error => invalidArchive(reason, 'oci-layout');
  const { imageLayoutVersion } = bagOf(parseJson(layout, refuse), 'it', refuse);
  if (typeof imageLayoutVersion !== 'string' || !/^1\./.test(imageLayoutVersion)) {
    throw refuse('its imageLayoutVersion is not 1');
  }
  const index = await members.document('index.json');
  if (index === undefined) throw invalidArchive('it is not there', 'index.json');
  return index;
}

async function unknown(members: Members): Promise<Error> {
  const old = (await members.document('repositories')) !== undefined;
  return invalidArchive(
    old
      ? 'it was saved by a Docker before 1.10'
      : 'it has neither a manifest.json (docker save) nor an oci-layout',
  );
}

/** One reference for each image, with all its names; and one for images of several platforms that share a name. */
function byName(entries: readonly LayoutEntry[], docker: Buffer | undefined): Reference[] {
  const references = new Map<string, Reference>();
  for (const { descriptor, name, found } of entries) {
    if (found.images.length === 0) {
      if (found.isOther === true || docker !== undefined) continue;
      throw invalidArchive(found.lack ?? '', 'index.json');
    }
    const known = references.get(descriptor.digest);
    const named = [...references.values()].find(
      (one) => name !== undefined && one.names.has(name) && noneShared(one.images, found.images),
    );
    if (known === undefined) named?.images.push(...found.images);
    const reference = known ?? named ?? { names: new Set(), images: [...found.images] };
    if (name !== undefined) reference.names.add(name);
    references.set(descriptor.digest, reference);
  }
  if (references.size === 0 && docker === undefined) {
    throw invalidArchive(entries[0]?.found.lack ?? 'it lists no image', 'index.json');
  }
  return [...new Set(references.values())];
}

function noneShared(a: readonly ArchivedImage[], b: readonly ArchivedImage[]): boolean {
  const platforms = new Set(a.map(platformText));
  return !b.some((image) => platforms.has(platformText(image)));
}

const platformText = ({ platform: { os, architecture, variant = '' } }: ArchivedImage): string =>
  `${os}/${architecture}/${variant}`;

async function addDocker(
  references: Reference[],
  members: Members,
  manifest: Buffer,
): Promise<void> {
  for (const entry of parseDockerManifest(manifest)) {
    const config = await members.document(entry.config);
    const digest = config === undefined ? undefined : digestOf(config);
    let reference = references.find(({ images }) =>
      images.some((image) => image.config.digest === digest),
    );
    if (reference === undefined) {
      reference = { names: new Set(), images: [await readDockerImage(members, entry)] };
      references.push(reference);
    }
    for (const name of entry.names) reference.names.add(name);
  }
}
