// Debian's registry on loopback, and a proxy before it that does what networks do.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface DockerRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly host: string;
}

export async function startRegistry(folder: string): Promise<DockerRegistry> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'config.yml');
  await writeFile(
    file,
    JSON.stringify({
      version: '0.1',
      storage: { filesystem: { rootdirectory: join(folder, 'data') }, delete: { enabled: true } },
      http: { addr: '127.0.0.1:0' },
    }),
  );
  const server = spawn('docker-registry', ['serve', file], {
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

/** What becomes of an answer. */
export type Fault =
  | { readonly kind: 'status'; readonly status: number; readonly headers?: Record<string, string> }
  /** The connection breaks after so many bytes of the body. */
  | { readonly kind: 'cut'; readonly after: number }
  /** One byte of the body is another. */
  | { readonly kind: 'damage'; readonly at: number }
  /** Nothing more comes after so many bytes. */
  | { readonly kind: 'stall'; readonly after: number };

export interface FaultProxy extends AsyncDisposable {
  readonly host: string;
  /** Requests so far: method and path, and where a range begins. */
  readonly seen: readonly { readonly line: string; readonly from: number }[];
  /** Asked for each request; undefined: as it is. */
  fault: (line: string, times: number) => Fault | undefined;
}

export async function startProxy(upstream: string): Promise<FaultProxy> {
  const seen: { line: string; from: number }[] = [];
  const server = createServer((incoming, outgoing) => {
    const line = `${incoming.method ?? ''} ${incoming.url ?? ''}`;
    const from = Number(/^bytes=(\d+)-/.exec(incoming.headers.range ?? '')?.[1] ?? 0);
    seen.push({ line, from });
    const times = seen.filter((one) => one.line === line).length;
    forward(upstream, incoming, outgoing, proxy.fault(line, times));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy: FaultProxy = {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    fault: () => undefined,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return proxy;
}

function forward(
  upstream: string,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  fault: Fault | undefined,
): void {
  if (fault?.kind === 'status') {
    incoming.resume();
    outgoing.writeHead(fault.status, fault.headers ?? {}).end('{}');
    return;
  }
  const headers = { ...incoming.headers };
  const onward = request(
    `http://${upstream}${incoming.url ?? ''}`,
    { method: incoming.method ?? 'GET', headers, agent: false },
    (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      let sent = 0;
      answer.on('data', (chunk: Buffer) => {
        const begin = sent;
        sent += chunk.length;
        if (fault?.kind === 'damage' && fault.at >= begin && fault.at < sent) {
          chunk[fault.at - begin]! ^= 0xff;
        }
        if ((fault?.kind === 'cut' || fault?.kind === 'stall') && sent >= fault.after) {
          if (begin < fault.after) outgoing.write(chunk.subarray(0, fault.after - begin));
          if (fault.kind === 'cut') setImmediate(() => outgoing.destroy());
          return;
        }
        outgoing.write(chunk);
      });
      answer.on('end', () => {
        const stalls = fault?.kind === 'stall' && sent >= fault.after;
        if (!stalls && !outgoing.destroyed) outgoing.end();
      });
      answer.on('error', () => outgoing.destroy());
    },
  );
  onward.on('error', () => outgoing.destroy());
  incoming.pipe(onward);
}
