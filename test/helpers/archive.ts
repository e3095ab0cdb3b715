// Archives of images, made by hand: also those that no tool would make.
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import type { StreamedBlob, TakeBlob } from '../../lib/archive/members.js';

export interface Part {
  readonly name: string;
  readonly data?: string | Uint8Array;
  /** Type flag; default `'0'`. */
  readonly type?: string;
  readonly linkName?: string;
  readonly mode?: number;
  /** Of user and group. @defaultValue 1000 */
  readonly id?: number;
  /** Instead of the length of `data`; text stands in the field as it is. */
  readonly size?: number | string | Buffer;
  /** `'gnu'` and `'old'` have no prefix. */
  readonly magic?: 'posix' | 'gnu' | 'old';
  readonly prefix?: string;
  /** As some old writers had it. */
  readonly signedSum?: boolean;
  readonly badSum?: boolean;
}

const bytesOf = (data: string | Uint8Array): Buffer => Buffer.from(data as Uint8Array);
const fill = (length: number): Buffer => Buffer.alloc((512 - (length % 512)) % 512);

/** A tar archive, by another implementation than that of lib/. */
export function tarOf(parts: readonly Part[], end = Buffer.alloc(1024)): Buffer {
  return Buffer.concat([
    ...parts.flatMap((part) => {
      const data = bytesOf(part.data ?? '');
      return [headerOf(part, data.length), data, fill(data.length)];
    }),
    end,
  ]);
}

function headerOf(part: Part, length: number): Buffer {
  const { name, type = '0', linkName = '', magic = 'posix', prefix = '', size = length } = part;
  const block = Buffer.alloc(512);
  block.write(name, 0, 100);
  block.write((part.mode ?? 0o644).toString(8).padStart(7, '0'), 100);
  const id = `${(part.id ?? 1000).toString(8).padStart(7, '0')}\0`;
  block.write(id + id, 108);
  if (Buffer.isBuffer(size)) size.copy(block, 124);
  else block.write(typeof size === 'string' ? size : size.toString(8).padStart(11, '0'), 124, 12);
  block.write('14000000000\0', 136);
  block.write('        ', 148);
  block.write(type, 156);
  block.write(linkName, 157, 100);
  if (magic !== 'old') block.write(magic === 'posix' ? 'ustar\x0000' : 'ustar  \0', 257);
  block.write(prefix, 345, 155);
  const sum = block.reduce((all, byte) => {
    const value = part.signedSum === true && byte > 127 ? byte - 256 : byte;
    return all + value;
  }, 0);
  block.write((sum + (part.badSum === true ? 1 : 0)).toString(8).padStart(6, '0') + '\0 ', 148);
  return block;
}

/** A header that a long name or other data comes in. */
export const meta = (type: string, data: string | Uint8Array): Part => ({
  name: 'meta',
  type,
  data,
});

export function paxOf(records: Readonly<Record<string, string>>): string {
  const line = (key: string, value: string): string => {
    const rest = ` ${key}=${value}\n`;
    let length = Buffer.byteLength(rest) + 1;
    while (length !== Buffer.byteLength(rest) + String(length).length) length += 1;
    return `${length}${rest}`;
  };
  return Object.entries(records).map(([key, value]) => line(key, value)).join(''); // prettier-ignore
}

// ---- images ---------------------------------------------------------------------------------------

export type Files = Map<string, Buffer>;

export const sha256 = (bytes: Uint8Array): `sha256:${string}` =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

export const OCI_TYPES = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
} as const;

export interface Described {
  mediaType: string;
  digest: `sha256:${string}`;
  size: number;
  annotations?: Record<string, string>;
  platform?: object;
}

/** An OCI layout that grows. */
export class Layout {
  readonly files: Files = new Map();

  constructor() {
    this.files.set('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  }

  blob(data: string | Uint8Array, mediaType: string): Described {
    const bytes = bytesOf(data);
    const digest = sha256(bytes);
    this.files.set(`blobs/sha256/${digest.slice(7)}`, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  json(value: unknown, mediaType: string): Described {
    return this.blob(JSON.stringify(value), mediaType);
  }

  /** A manifest with all that it names. `change` alters it before it is written. */
  image(
    layers: readonly (string | Uint8Array)[],
    platform: object = { os: 'linux', architecture: 'amd64' },
    change: (manifest: Record<string, unknown>) => object = (manifest) => manifest,
  ): Described {
    const config = { ...platform, rootfs: { type: 'layers', diff_ids: layers.map((one) => sha256(bytesOf(one))) } }; // prettier-ignore
    const manifest = {
      schemaVersion: 2,
      mediaType: OCI_TYPES.manifest,
      config: this.json(config, OCI_TYPES.config),
      layers: layers.map((one) => this.blob(one, OCI_TYPES.layer)),
    };
    return this.json(change(manifest), OCI_TYPES.manifest);
  }

  index(manifests: readonly Described[]): Described {
    return this.json({ schemaVersion: 2, mediaType: OCI_TYPES.index, manifests }, OCI_TYPES.index);
  }

  /** Writes index.json. */
  list(manifests: readonly unknown[], more: object = {}): this {
    const index = { schemaVersion: 2, mediaType: OCI_TYPES.index, manifests, ...more };
    this.files.set('index.json', Buffer.from(JSON.stringify(index)));
    return this;
  }
}

export const named = (descriptor: Described, name: string): Described => ({
  ...descriptor,
  annotations: { 'org.opencontainers.image.ref.name': name },
});

/** What docker-archives have in common: entries, and their files. */
export function dockerFiles(entries: unknown, files: Readonly<Record<string, string>>): Files {
  return new Map([
    ...Object.entries(files).map(([name, text]) => [name, Buffer.from(text)] as const),
    ['manifest.json', Buffer.from(JSON.stringify(entries))] as const,
  ]);
}

export const configText = (layers: readonly string[]): string =>
  JSON.stringify({
    os: 'linux',
    architecture: 'amd64',
    rootfs: { type: 'layers', diff_ids: layers.map((one) => sha256(Buffer.from(one))) },
  });

export const tarOfFiles = (files: Files): Buffer =>
  tarOf([...files].map(([name, data]) => ({ name, data })));

export async function writeFiles(folder: string, files: Files): Promise<string> {
  for (const [name, data] of files) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), data);
  }
  return folder;
}

/** Keeps what it is given as files of a folder, in the order it came. */
export function keeper(folder: string): { takeBlob: TakeBlob; taken: StreamedBlob[] } {
  const taken: StreamedBlob[] = [];
  return {
    taken,
    async takeBlob(blob, bytes) {
      const path = join(folder, `blob-${taken.push(blob)}`);
      await writeFile(path, bytes);
      return { path, offset: 0, size: blob.size };
    },
  };
}
