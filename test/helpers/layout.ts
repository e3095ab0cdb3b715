// OCI layouts made by hand, of layers that no tool would make.
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

interface Described {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

export interface LayoutImage {
  /** Tar archives, lowest first. */
  readonly layers: readonly Buffer[];
  readonly config?: object;
  readonly history?: readonly object[];
  readonly architecture?: string;
  readonly variant?: string;
  /** Instead of the digests of the archives. */
  readonly diffIds?: readonly string[];
  readonly compress?: (tar: Buffer) => Buffer;
  readonly layerType?: string;
}

const OCI = 'application/vnd.oci.image';
const digestOf = (bytes: Buffer): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** An OCI layout with one image called `base`; of several images an index of that name. */
export async function writeLayout(folder: string, ...images: LayoutImage[]): Promise<string> {
  const blobs = join(folder, 'blobs/sha256');
  await mkdir(blobs, { recursive: true });
  const put = async (mediaType: string, bytes: Buffer): Promise<Described> => {
    const digest = digestOf(bytes);
    await writeFile(join(blobs, digest.slice(7)), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const json = (type: string, value: object): Promise<Described> =>
    put(`${OCI}.${type}.v1+json`, Buffer.from(JSON.stringify(value)));
  const manifests = [];
  for (const image of images) {
    const { architecture = 'amd64', variant, compress = gzipSync } = image;
    const layers = [];
    for (const tar of image.layers) {
      layers.push(await put(image.layerType ?? `${OCI}.layer.v1.tar+gzip`, compress(tar)));
    }
    const config = await json('config', {
      architecture,
      ...(variant === undefined ? {} : { variant }),
      os: 'linux',
      config: image.config ?? {},
      rootfs: { type: 'layers', diff_ids: image.diffIds ?? image.layers.map(digestOf) },
      history: image.history ?? [],
    });
    const manifest = await json('manifest', {
      schemaVersion: 2,
      mediaType: `${OCI}.manifest.v1+json`,
      config,
      layers,
    });
    const platform = { os: 'linux', architecture, ...(variant === undefined ? {} : { variant }) };
    manifests.push({ ...manifest, platform });
  }
  const index = { schemaVersion: 2, mediaType: `${OCI}.index.v1+json` };
  const top = manifests.length === 1 ? manifests[0] : await json('index', { ...index, manifests });
  const named = { ...top, annotations: { 'org.opencontainers.image.ref.name': 'base' } };
  await writeFile(join(folder, 'index.json'), JSON.stringify({ ...index, manifests: [named] }));
  await writeFile(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  return folder;
}
