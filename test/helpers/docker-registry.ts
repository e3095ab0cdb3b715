// Debian's registry on loopback.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { atEnd } from './at-end.js';
import { tempFolder } from './temp.js';

export { startProxy, type Fault, type FaultProxy } from './fault-proxy.js';

/** The one user of a registry with `htpasswd`. */
export const USER = { username: 'user', password: 'pass:word' } as const;
/** bcrypt of the password above, as `htpasswd -B` makes it. */
const HTPASSWD = 'user:$2y$05$D5qECRHow/qNGKebQudBWuERLCIvNWKbBkx9NIPPnB.fPmz0TGfUe\n';

export interface DockerRegistryOptions {
  readonly auth?:
    | 'htpasswd'
    | {
        /** A token server, and the certificate (PEM) of who signs its tokens. */
        readonly realm: string;
        readonly certificate: string;
      };
  /** Paths of the server's own. */
  readonly tls?: {
    readonly certificate: string;
    readonly key: string;
    /** Who is let in alone: those with a certificate of these authorities. */
    readonly clientcas?: readonly string[];
  };
  readonly deletion?: boolean;
}

export interface DockerRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly host: string;
}

/** On a free port of loopback, with its store in `folder`. */
export async function startRegistry(
  folder: string,
  { auth, tls, deletion = true }: DockerRegistryOptions = {},
): Promise<DockerRegistry> {
  await mkdir(folder, { recursive: true });
  const at = (name: string): string => join(folder, name);
  await writeFile(at('htpasswd'), HTPASSWD);
  if (typeof auth === 'object') await writeFile(at('signer.pem'), auth.certificate);
  // JSON is YAML.
  const config = {
    version: 0.1,
    log: { accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: at('data') }, delete: { enabled: deletion } },
    http: { addr: '127.0.0.1:0', secret: 's', ...(tls && { tls }) },
    ...(auth === 'htpasswd' && { auth: { htpasswd: { realm: 'test', path: at('htpasswd') } } }),
    ...(typeof auth === 'object' && {
      auth: {
        token: {
          realm: auth.realm,
          service: 'registry',
          issuer: 'issuer',
          rootcertbundle: at('signer.pem'),
        },
      },
    }),
  };
  await writeFile(at('config.yml'), JSON.stringify(config));
  const server = spawn('docker-registry', ['serve', at('config.yml')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env['PATH'], OTEL_TRACES_EXPORTER: 'none' },
  });
  const ended = once(server, 'exit');
  let log = '';
  for await (const line of createInterface({ input: server.stderr })) {
    log += `${line}\n`;
    const port = /listening on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
    if (port === undefined) continue;
    server.stderr.resume();
    return {
      host: `127.0.0.1:${port}`,
      async [Symbol.asyncDispose]() {
        server.kill('SIGKILL');
        await ended;
      },
    };
  }
  throw new Error(`docker-registry does not start: ${log}`);
}

/** The same with a folder of its own, until the test ends. Its host. */
export async function dockerRegistry(options?: DockerRegistryOptions): Promise<string> {
  const folder = await tempFolder();
  atEnd(folder.remove);
  const registry = await startRegistry(folder.path, options);
  atEnd(async () => await registry[Symbol.asyncDispose]());
  return registry.host;
}

export interface Authority {
  /** PEM of the authority itself. */
  readonly ca: string;
  /** Paths of a server's certificate, and of its key. */
  readonly tls: { readonly certificate: string; readonly key: string };
  /** Path of `ca`. */
  readonly caFile: string;
  /** PEM of a user's certificate, and of its key. */
  readonly client: { readonly cert: string; readonly key: string };
}

/** An authority that nobody knows, and a server's certificate of its. */
export async function authority(names = 'IP:127.0.0.1,DNS:localhost'): Promise<Authority> {
  const folder = await tempFolder();
  atEnd(folder.remove);
  const at = (name: string): string => join(folder.path, name);
  const openssl = (...args: string[]): string =>
    execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...key,
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.pem'),
    '-subj',
    '/CN=test CA',
    '-days',
    '2',
  );
  openssl(
    'req',
    ...key,
    '-keyout',
    at('server.key'),
    '-out',
    at('server.csr'),
    '-subj',
    '/CN=test',
  );
  openssl('req', ...key, '-keyout', at('client.key'), '-out', at('client.csr'), '-subj', '/CN=me');
  openssl(
    ...['x509', '-req', '-in', at('client.csr'), '-CA', at('ca.pem'), '-CAkey', at('ca.key')],
    ...['-CAcreateserial', '-out', at('client.pem'), '-days', '2'],
  );
  writeFileSync(at('names'), `subjectAltName=${names}\n`);
  openssl(
    ...['x509', '-req', '-in', at('server.csr'), '-CA', at('ca.pem'), '-CAkey', at('ca.key')],
    ...['-CAcreateserial', '-out', at('server.pem'), '-days', '2', '-extfile', at('names')],
  );
  return {
    ca: openssl('x509', '-in', at('ca.pem')),
    tls: { certificate: at('server.pem'), key: at('server.key') },
    caFile: at('ca.pem'),
    client: {
      cert: readFileSync(at('client.pem'), 'utf8'),
      key: readFileSync(at('client.key'), 'utf8'),
    },
  };
}
