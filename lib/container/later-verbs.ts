import type http from 'node:http';
import type net from 'node:net';
import { Readable } from 'node:stream';
import { notYet } from '../errors/arguments.js';
import type { Call } from '../runtime/call.js';
import type { Container } from './container.js';
import type {
  ContainerFs,
  CopyOptions,
  EgressPolicy,
  Forward,
  LogEntry,
  PublishedPort,
  PublishSpec,
  Snapshot,
  Stats,
  UpdateOptions,
  UpdatePlan,
} from './later-options.js';
import type { ContainerOptions } from './options.js';
import type { Ready } from './ready.js';

const LATER = 'a later version';
const ISOLATION = 'version 0.2';

const refuse = (what: string, since = LATER): Promise<never> =>
  Promise.reject(notYet(`container.${what}`, since));

/**
 * What a container will be able to do. The names are fixed; each of them fails with `ERR_UNSUPPORTED` until
 * the version that brings it, as it would then: a promise rejects, an iteration or a stream fails, the rest throws.
 */
export class LaterVerbs {
  ready(_ready?: Ready, _options?: Call): Promise<void> {
    return refuse('ready()');
  }

  logs(
    _options?: Call & { follow?: boolean; tail?: number; since?: Date; cursor?: string },
  ): AsyncIterable<LogEntry> {
    return failing('logs()');
  }

  stats(_options?: Call): Promise<Stats> {
    return refuse('stats()', ISOLATION);
  }

  statsStream(_options?: Call & { intervalMs?: number }): AsyncIterable<Stats> {
    return failing('statsStream()');
  }

  get fs(): ContainerFs {
    throw notYet('container.fs', LATER);
  }

  copyIn(_from: string | Readable, _to: string, _options?: CopyOptions): Promise<void> {
    return refuse('copyIn()');
  }

  copyOut(_from: string, _to: string, _options?: CopyOptions): Promise<void> {
    return refuse('copyOut()');
  }

  archive(_path: string): Readable {
    return new Readable({
      read() {
        this.destroy(notYet('container.archive()', LATER));
      },
    });
  }

  connect(_port: number | string, _options?: Call & { host?: string }): Promise<net.Socket> {
    return refuse('connect()');
  }

  dialer(_port: number | string, _options?: { host?: string }): () => net.Socket {
    throw notYet('container.dialer()', LATER);
  }

  serve(
    _port: number,
    _on: http.RequestListener | net.Server | { connection(socket: net.Socket): void },
    _options?: Call & { host?: string; names?: string[] },
  ): Promise<AsyncDisposable> {
    return refuse('serve()');
  }

  forward(_port: number, _listen?: number | string): Promise<Forward> {
    return refuse('forward()');
  }

  publish(_port: PublishSpec): Promise<PublishedPort> {
    return refuse('publish()');
  }

  unpublish(_port: PublishSpec): Promise<void> {
    return refuse('unpublish()');
  }

  /** Nothing can be published yet. */
  get ports(): readonly PublishedPort[] {
    return [];
  }

  setEgress(_policy: EgressPolicy): Promise<void> {
    return refuse('setEgress()');
  }

  update(_options: UpdateOptions, _how?: { dryRun?: boolean }): Promise<UpdatePlan> {
    return refuse('update()', ISOLATION);
  }

  snapshot(_options?: { name?: string }): Promise<Snapshot> {
    return refuse('snapshot()');
  }

  fork(_options?: Partial<ContainerOptions>): Promise<Container> {
    return refuse('fork()');
  }

  forkMany(
    _count: number,
    _options?: Partial<ContainerOptions>,
  ): Promise<PromiseSettledResult<Container>[]> {
    return refuse('forkMany()');
  }

  detach(): Promise<void> {
    return refuse('detach()');
  }
}

/** An iteration that fails at its first step. */
function failing(what: string): AsyncIterable<never> {
  return {
    [Symbol.asyncIterator]: () => ({ next: () => refuse(what) }),
  };
}
