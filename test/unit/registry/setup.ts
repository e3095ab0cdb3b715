import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { digestOf } from '../../../lib/store/digest.js';
import { Registries } from '../../../lib/registry/registries.js';
import { atEnd, undoAtEnd } from '../../helpers/at-end.js';
import { TEMP_PREFIX } from '../../helpers/temp.js';
import type { RegistryConfig } from '../../../lib/runtime/options.js';
import { parseRegistries } from '../../../lib/runtime/registries-request.js';
import type { BlobSink } from '../../../lib/store/blobs.js';
import { MEDIA_TYPES, type Descriptor } from '../../../lib/store/images.js';

/** Fast, and as often as the real one. */
export const HASTY = { attempts: 5, firstDelayMs: 1, longestDelayMs: 4, longestWaitMs: 1_500 };

export function registries(...configs: RegistryConfig[]): Registries {
  const made = new Registries(parseRegistries(configs, 'registries'), HASTY);
  atEnd(async () => await made.close());
  return made;
}

/** An empty folder of Docker's for each test: nobody's own credentials are sent anywhere. */
export function ownDockerConfig(): { readonly folder: string } {
  undoAtEnd();
  const made = { folder: '' };
  const before = process.env['DOCKER_CONFIG'];
  beforeEach(() => {
    made.folder = mkdtempSync(join(tmpdir(), `${TEMP_PREFIX}docker-`));
    process.env['DOCKER_CONFIG'] = made.folder;
  });
  afterEach(() => {
    rmSync(made.folder, { recursive: true, force: true });
    if (before === undefined) delete process.env['DOCKER_CONFIG'];
    else process.env['DOCKER_CONFIG'] = before;
  });
  return made;
}

export class MemorySink implements BlobSink {
  readonly chunks: Buffer[] = [];
  restarts = 0;
  offset: number;

  constructor(start: Uint8Array = new Uint8Array()) {
    this.chunks.push(Buffer.from(start));
    this.offset = start.length;
  }

  async write(chunk: Uint8Array): Promise<void> {
    await Promise.resolve();
    this.chunks.push(Buffer.from(chunk));
    this.offset += chunk.length;
  }

  async restart(): Promise<void> {
    await Promise.resolve();
    this.restarts += 1;
    this.chunks.length = 0;
    this.offset = 0;
  }

  bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }
}

export function blobOf(bytes: Uint8Array, mediaType = 'application/octet-stream'): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

export const MANIFEST = Buffer.from(
  JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, layers: [] }),
);
