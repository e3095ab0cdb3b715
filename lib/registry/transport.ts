import type { Readable } from 'node:stream';
import * as tls from 'node:tls';
import type { Dispatcher } from 'undici';
import { abortError, CaissonError, throwIfAborted } from '../errors/index.js';
import { storedCertificates } from './docker-certificates.js';
import type { TlsSettings } from './endpoint.js';
import { proxyFor } from './proxy.js';

/** Connections to one host. */
const CONNECTIONS = 6;
const CONNECT_TIMEOUT_MS = 15_000;
/** Without a byte. A server that stalls for longer is as good as gone. */
const IDLE_TIMEOUT_MS = 60_000;
/** What may come in while the one who reads is busy. */
const READ_AHEAD = 1 << 20;

export interface Exchange {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | Readable;
  readonly signal?: AbortSignal | undefined;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Readable;
  /** The whole body, where that was asked for. */
  readonly bytes?: Buffer;
  /** Whose answer it is. */
  readonly url: URL;
}

/** Of a header, the first. */
export function headerOf({ headers }: Pick<Answer, 'headers'>, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/**
 * HTTP, one request and its answer: no redirects, no second attempts, no credentials of its own. Its connections do
 * not keep the program alive, and end when they are idle for some seconds.
 */
export class Transport {
  readonly #dispatchers = new Map<string, Promise<Dispatcher>>();

  async exchange(
    { method, url, headers, body, signal }: Exchange,
    settings: TlsSettings,
  ): Promise<Answer> {
    throwIfAborted(signal);
    const dispatcher = await this.#dispatcher(url, settings);
    try {
      const answer = await dispatcher.request({
        origin: url.origin,
        path: url.pathname + url.search,
        method,
        headers: { 'user-agent': 'caisson', ...headers },
        body: (body as Buffer | Readable | undefined) ?? null,
        signal: signal ?? null,
        highWaterMark: READ_AHEAD,
      });
      return { status: answer.statusCode, headers: answer.headers, body: answer.body, url };
    } catch (error) {
      if (signal?.aborted === true) throw abortError(signal);
      throw error;
    }
  }

  /** Ends every connection. */
  async close(): Promise<void> {
    const all = [...this.#dispatchers.values()];
    this.#dispatchers.clear();
    await Promise.all(all.map(async (one) => await (await one).destroy()));
  }

  /** One for each way of connecting, made on first use. */
  async #dispatcher(url: URL, settings: TlsSettings): Promise<Dispatcher> {
    const proxy = proxyFor(url, process.env);
    if (proxy !== undefined && !isHttp(proxy)) {
      // Not shown: it may hold a password.
      throw new Error('the proxy that the environment names is no URL of HTTP or HTTPS');
    }
    const key = JSON.stringify([proxy, settings]);
    let dispatcher = this.#dispatchers.get(key);
    if (dispatcher === undefined) {
      dispatcher = makeDispatcher(proxy, settings);
      this.#dispatchers.set(key, dispatcher);
      // Certificates that could not be read may be mended.
      dispatcher.catch(() => this.#dispatchers.delete(key));
    }
    return await dispatcher;
  }
}

const isHttp = (url: string): boolean =>
  URL.canParse(url) && /^https?:$/.test(new URL(url).protocol);

async function makeDispatcher(
  proxy: string | undefined,
  settings: TlsSettings,
): Promise<Dispatcher> {
  const secureContext = await contextOf(settings);
  // Loaded here: it costs more than all of this package's own code.
  const { Agent, ProxyAgent } = await import('undici');
  const connect = {
    timeout: CONNECT_TIMEOUT_MS,
    rejectUnauthorized: settings.verify,
    ...(secureContext && { secureContext }),
  };
  const options = {
    connections: CONNECTIONS,
    headersTimeout: IDLE_TIMEOUT_MS,
    bodyTimeout: IDLE_TIMEOUT_MS,
    connect,
  };
  return proxy === undefined
    ? new Agent(options)
    : // Plain requests are the proxy's to make; only TLS needs a tunnel.
      new ProxyAgent({ ...options, uri: proxy, requestTls: connect, proxyTunnel: false });
}

/** Who is trusted besides those that this program trusts already, and who it is itself; undefined where nobody said. */
async function contextOf({
  ca,
  own,
  stored,
  isTrusted,
}: TlsSettings): Promise<tls.SecureContext | undefined> {
  const files = stored === undefined ? undefined : await storedCertificates(stored);
  const authorities = [...ca, ...(files?.ca ?? [])];
  const cert = own === undefined ? (files?.certificates ?? []) : [own.certificate];
  const key = own === undefined ? (files?.keys ?? []) : [own.key];
  const shows = isTrusted && cert.length > 0;
  if (authorities.length === 0 && !shows) return undefined;
  try {
    return tls.createSecureContext({
      ...(authorities.length > 0 && { ca: [...trusted(), ...authorities] }),
      ...(shows && { cert: [...cert], key: [...key] }),
    });
  } catch (error) {
    const source =
      own === undefined && stored !== undefined ? `certs.d/${stored}` : '`cert`, `key`';
    const reason = error instanceof Error ? error.message : String(error);
    throw new CaissonError('ERR_CREDENTIALS_FAILED', { source, reason }, { cause: error });
  }
}

function trusted(): readonly string[] {
  // Node 20 cannot say what NODE_EXTRA_CA_CERTS added: remove when 22.15 is the floor.
  const { getCACertificates } = tls as { getCACertificates?: (type: string) => string[] };
  return getCACertificates?.('default') ?? tls.rootCertificates;
}
