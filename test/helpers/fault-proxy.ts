// A proxy before a registry that does what networks do.
import { once } from 'node:events';
import {
  createServer,
  request,
  type ClientRequest,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

/** What becomes of a request and its answer. */
export type Fault =
  | { readonly kind: 'status'; readonly status: number; readonly headers?: Record<string, string> }
  /** The connection breaks after so many bytes of the body. */
  | { readonly kind: 'cut'; readonly after: number }
  /** One byte of the body is another. */
  | { readonly kind: 'damage'; readonly at: number }
  /** Nothing more comes after so many bytes. */
  | { readonly kind: 'stall'; readonly after: number }
  /** The answer ends in good order after so many bytes of the body, as if that had been all. */
  | { readonly kind: 'short'; readonly after: number }
  /** Nothing comes for so long. */
  | { readonly kind: 'slow'; readonly ms: number }
  /** The connection breaks before anybody has seen the request. */
  | { readonly kind: 'refuse' }
  /** It breaks when half of what is sent has got there. */
  | { readonly kind: 'halve' }
  /** What is read is elsewhere: at a place past all faults. */
  | { readonly kind: 'move' };

const PAST = '/past';

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
    if (incoming.url?.startsWith(PAST) === true) {
      forward(upstream, incoming, outgoing, undefined);
      return;
    }
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
  if (fault?.kind === 'refuse') {
    incoming.socket.destroy();
    return;
  }
  if (fault?.kind === 'status') {
    incoming.resume();
    outgoing.writeHead(fault.status, fault.headers ?? {}).end('{}');
    return;
  }
  const path = incoming.url?.replace(PAST, '') ?? '';
  const reads = incoming.method === 'GET' || incoming.method === 'HEAD';
  if (fault?.kind === 'move' && reads) {
    outgoing.writeHead(307, { location: `http://${incoming.headers.host}${PAST}${path}` }).end();
    return;
  }
  const headers = { ...incoming.headers };
  const onward = request(
    `http://${upstream}${path}`,
    { method: incoming.method ?? 'GET', headers, agent: false },
    (answer) => {
      if (fault?.kind === 'short') delete answer.headers['content-length'];
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
        if (fault?.kind === 'short') {
          if (begin < fault.after) outgoing.write(chunk.subarray(0, fault.after - begin));
          return;
        }
        outgoing.write(chunk);
      });
      answer.on('end', () => {
        const isCut = (fault?.kind === 'cut' || fault?.kind === 'stall') && sent >= fault.after;
        if (!isCut && !outgoing.destroyed) outgoing.end();
      });
      answer.on('error', () => outgoing.destroy());
    },
  );
  onward.on('error', () => outgoing.destroy());
  outgoing.on('close', () => {
    if (!outgoing.writableFinished) onward.destroy();
  });
  if (fault?.kind === 'slow') setTimeout(() => incoming.pipe(onward), fault.ms);
  else if (fault?.kind === 'halve') halve(incoming, onward);
  else incoming.pipe(onward);
}

function halve(incoming: IncomingMessage, onward: ClientRequest): void {
  let left = Math.floor(Number(incoming.headers['content-length'] ?? 0) / 2);
  const end = (): void => {
    incoming.socket.destroy();
    onward.destroy();
  };
  incoming.on('data', (chunk: Buffer) => {
    if (left <= 0) return;
    onward.write(chunk.subarray(0, left));
    if ((left -= chunk.length) <= 0) setTimeout(end, 10);
  });
  incoming.on('end', () => setTimeout(end, 10));
}
