import { Readable } from 'node:stream';
import { notYet } from '../errors/arguments.js';
import type { ContainerFs } from '../container/later-options.js';
import type { Call, Labels, Size } from '../runtime/call.js';

const SINCE = 'a later version';
const refuse = (what: string): Promise<never> => Promise.reject(notYet(what, SINCE));

/** Gives a path on the host. */
export interface VolumeDriver {
  create(name: string): Promise<string>;
  remove(name: string): Promise<void>;
}

export interface VolumeOptions extends Call {
  name?: string;
  quotaBytes?: Size;
  labels?: Labels;
  driver?: VolumeDriver;
  from?: Volume | Readable;
}

/**
 * A folder that outlives containers. Its names are fixed; every call rejects with `ERR_UNSUPPORTED`
 * until the version that brings it.
 */
export class Volume implements AsyncDisposable {
  readonly name: string;
  readonly path: string;

  /** @internal */
  constructor(name: string, path: string) {
    this.name = name;
    this.path = path;
  }

  static create(_options?: VolumeOptions): Promise<Volume> {
    return refuse('Volume.create()');
  }

  static get(_name: string, _options?: Call): Promise<Volume> {
    return refuse('Volume.get()');
  }

  static list(_options?: Call): Promise<Volume[]> {
    return refuse('Volume.list()');
  }

  get fs(): ContainerFs {
    throw notYet('volume.fs', SINCE);
  }

  usage(): Promise<{ usedBytes: number; quotaBytes: number | null }> {
    return refuse('volume.usage()');
  }

  clone(_name?: string): Promise<Volume> {
    return refuse('volume.clone()');
  }

  export(): Readable {
    return new Readable({
      read() {
        this.destroy(notYet('volume.export()', SINCE));
      },
    });
  }

  remove(_options?: { force?: boolean }): Promise<void> {
    return refuse('volume.remove()');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove();
  }
}
