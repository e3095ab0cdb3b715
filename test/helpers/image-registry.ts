// A registry of images that run, and before it a proxy that breaks when it is told to.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach } from 'vitest';

import {
  startRegistry,
  USER,
  type DockerRegistry,
  type DockerRegistryOptions,
} from './docker-registry.js';
import { startProxy, type Fault, type FaultProxy } from './fault-proxy.js';
import { writeLayout, type LayoutImage } from './layout.js';
import { busybox } from './needs.js';

/** For the tests of a file. Each begins with a proxy that breaks nothing. */
export interface ImageRegistry {
  readonly registry: DockerRegistry;
  readonly proxy: FaultProxy;
  /** Puts an image, or an index of several, into the registry; its name by way of the proxy. */
  publish(...images: LayoutImage[]): Promise<string>;
  /** The same name at the registry itself. */
  direct(name: string): string;
}

/** `folder`: of the file's own (`fileFolder`). */
export function imageRegistry(folder: string, options?: DockerRegistryOptions): ImageRegistry {
  let registry: DockerRegistry;
  let proxy: FaultProxy;
  let number = 0;
  beforeAll(async () => {
    registry = await startRegistry(join(folder, 'registry'), options);
    proxy = await startProxy(registry.host);
  });
  beforeEach(() => {
    proxy.fault = () => undefined;
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
  });
  return {
    get registry() {
      return registry;
    },
    get proxy() {
      return proxy;
    },
    async publish(...images) {
      const name = `image-${++number}:1`;
      const layout = await writeLayout(join(folder, `layout-${number}`), ...images);
      const user = [USER.username, USER.password].join(':');
      const credentials = options?.auth === 'htpasswd' ? ['--dest-creds', user] : [];
      const to = `docker://${registry.host}/${name}`;
      skopeoCopy(`oci:${layout}:base`, to, '--all', ...credentials);
      return `${proxy.host}/${name}`;
    },
    direct: (name) => name.replace(proxy.host, registry.host),
  };
}

/** To and from registries without TLS, by nobody's credentials unless `options` say so. */
export function skopeoCopy(from: string, to: string, ...options: string[]): void {
  execFileSync('skopeo', [
    ...['--insecure-policy', 'copy', '-q', '--src-tls-verify=false', '--dest-tls-verify=false'],
    ...[...options, from, to],
  ]);
}

/** The digest of what a name at a registry says. */
export function digestAt(name: string): string {
  const options = ['inspect', '--tls-verify=false', '--no-tags', '--format', '{{.Digest}}'];
  return execFileSync('skopeo', [...options, `docker://${name}`], { encoding: 'utf8' }).trim();
}

/** A fault for the blobs that are fetched, as often as `upTo` says. */
export const onBlobs =
  (fault: Fault, upTo = Infinity) =>
  (line: string, times: number): Fault | undefined =>
    line.startsWith('GET') && line.includes('/blobs/') && times <= upTo ? fault : undefined;

/** An archive of files (null: a folder), as GNU tar makes it of the paths `members`. */
export function gnuTar(
  folder: string,
  files: Readonly<Record<string, string | null>>,
  ...members: string[]
): Buffer {
  const root = mkdtempSync(join(folder, 'tree-'));
  for (const [path, text] of Object.entries(files)) {
    const made = join(root, path);
    mkdirSync(text === null ? made : join(made, '..'), { recursive: true });
    if (text !== null) writeFileSync(made, text);
  }
  return packed(root, ...members);
}

/** busybox, the names that tests call it by, and a /tmp. */
export function busyboxLayer(folder: string): Buffer {
  const root = mkdtempSync(join(folder, 'base-'));
  mkdirSync(join(root, 'bin'));
  copyFileSync(busybox() ?? '', join(root, 'bin/busybox'));
  for (const name of ['sh', 'cat', 'stat', 'ls']) {
    execFileSync('ln', ['-s', 'busybox', join(root, 'bin', name)]);
  }
  mkdirSync(join(root, 'tmp'));
  execFileSync('chmod', ['755', root]);
  execFileSync('chmod', ['1777', join(root, 'tmp')]);
  return packed(root, '.');
}

function packed(root: string, ...members: string[]): Buffer {
  const options = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
  const archive = execFileSync('tar', ['-C', root, ...options, '-c', ...members], {
    maxBuffer: 1 << 28,
  });
  rmSync(root, { recursive: true });
  return archive;
}
