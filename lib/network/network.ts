import { notYet } from '../errors/arguments.js';
import type { Container } from '../container/container.js';
import type { EgressPolicy } from '../container/later-options.js';
import type { Call, Labels } from '../runtime/call.js';

const SINCE = 'a later version';
const refuse = (what: string): Promise<never> => Promise.reject(notYet(what, SINCE));

export interface NetworkOptions extends Call {
  name?: string;
  subnet?: string;
  ipv6?: boolean;
  internal?: boolean;
  isolated?: boolean;
  mtu?: number;
  egress?: EgressPolicy;
  labels?: Labels;
}

export interface NetworkInfo {
  readonly id: string;
  readonly name: string;
}

/**
 * A network that containers share. Its names are fixed; every call rejects with `ERR_UNSUPPORTED`
 * until the version that brings it.
 */
export class Network implements AsyncDisposable {
  readonly id: string;
  readonly name: string;

  /** @internal */
  constructor(id: string, name: string) {
    this.id = id;
    this.name = name;
  }

  static create(_options?: NetworkOptions): Promise<Network> {
    return refuse('Network.create()');
  }

  static get(_name: string, _options?: Call): Promise<Network> {
    return refuse('Network.get()');
  }

  static list(_options?: Call): Promise<Network[]> {
    return refuse('Network.list()');
  }

  inspect(): Promise<NetworkInfo> {
    return refuse('network.inspect()');
  }

  connect(_container: Container, _options?: { aliases?: string[]; ip?: string }): Promise<void> {
    return refuse('network.connect()');
  }

  disconnect(_container: Container): Promise<void> {
    return refuse('network.disconnect()');
  }

  setEgress(_policy: EgressPolicy): Promise<void> {
    return refuse('network.setEgress()');
  }

  remove(): Promise<void> {
    return refuse('network.remove()');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove();
  }
}
