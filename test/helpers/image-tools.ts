// The tools of others that make and take images, each with a storage of its own.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { busybox } from './needs.js';

const execute = promisify(execFile);

/** Runs a program to its end; its stdout, or an error that has its stderr. */
export async function output(file: string, ...args: string[]): Promise<string> {
  const { stdout } = await execute(file, args, { maxBuffer: 64 << 20, timeout: 60_000 });
  return stdout;
}

/**
 * An image of two layers (busybox and `/second`) as umoci makes it: the path of an OCI layout in `folder` that calls it
 * `base`.
 */
export async function umociLayout(folder: string): Promise<string> {
  const root = join(folder, 'root');
  const layout = join(folder, 'layout');
  await mkdir(join(root, 'bin'), { recursive: true });
  await copyFile(busybox() ?? '', join(root, 'bin/busybox'));
  await writeFile(join(folder, 'second'), 'second\n');
  const image = `${layout}:base`;
  await output('umoci', 'init', '--layout', layout);
  await output('umoci', 'new', '--image', image);
  await output('umoci', 'insert', '--image', image, root, '/');
  await output('umoci', 'insert', '--image', image, join(folder, 'second'), '/second');
  await output('umoci', 'config', '--image', image, '--config.cmd', '/bin/busybox');
  return layout;
}

/** Runs a line of shell where podman and buildah leave nothing outside of `folder`; `$S` is for them. */
export async function withStorage(folder: string, line: string): Promise<string> {
  const script = `mount -t tmpfs run /run; cd "$0"
    S="--root $0/storage --runroot $0/run --storage-driver vfs"; ${line}`;
  const shell = ['--mount', '--propagation', 'private', 'sh', '-ec', script, folder];
  return await output('unshare', ...shell);
}

export interface DockerDaemon extends AsyncDisposable {
  /** The output of the client. */
  call(...args: string[]): Promise<string>;
}

/** A daemon without network, in mount and network namespaces of its own. */
export async function startDocker(folder: string): Promise<DockerDaemon> {
  await mkdir(folder, { recursive: true });
  const host = `unix://${folder}/sock`;
  let log = '';
  const daemon = spawn(
    'unshare',
    [
      ...['--net', '--mount', '--propagation', 'private', 'sh', '-c'],
      ...['mount -t tmpfs run /run && exec "$@"', 'sh', 'dockerd'],
      ...['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')],
      ...['--pidfile', join(folder, 'pid'), '--host', host, '--storage-driver', 'vfs'],
      ...['--iptables=false', '--ip6tables=false', '--bridge=none', '--log-level', 'warn'],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  daemon.stderr.on('data', (chunk) => (log = (log + String(chunk)).slice(-2000)));
  const ended = once(daemon, 'exit');
  // The client that came with the daemon, where another one is first in PATH.
  const client = existsSync('/usr/bin/docker') ? '/usr/bin/docker' : 'docker';
  const call = (...args: string[]): Promise<string> => output(client, '--host', host, ...args);
  for (let tries = 0; ; tries++) {
    if ((await call('version').catch(() => undefined)) !== undefined) break;
    if (daemon.exitCode !== null || tries === 100)
      throw new Error(`dockerd does not start: ${log}`);
    await sleep(200);
  }
  return {
    call,
    async [Symbol.asyncDispose]() {
      daemon.kill('SIGTERM');
      await ended;
    },
  };
}
