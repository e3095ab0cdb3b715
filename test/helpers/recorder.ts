import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { atEnd } from './at-end.js';

export interface Recorded {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

export type Handler = (
  request: Recorded,
  response: ServerResponse,
  raw: IncomingMessage,
) => void | Promise<void>;

/** A server on loopback that does what the test says, and remembers what it was asked. */
export interface Recorder {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  readonly url: string;
  readonly requests: Recorded[];
  /** The Authorization headers that it got. */
  readonly credentials: string[];
  handler: Handler;
  /** `GET /v2/` and the like, in order. */
  log(): string[];
}

/** Ends with the test. What `handler` does not answer is 404. */
export async function recorder(handler: Handler = () => undefined): Promise<Recorder> {
  const server = createServer();
  const made: Recorder = {
    host: '',
    url: '',
    requests: [],
    credentials: [],
    handler,
    log: () => made.requests.map(({ method, url }) => `${method} ${url}`),
  };
  server.on('request', (raw: IncomingMessage, response: ServerResponse) => {
    void answer(made, raw, response);
  });
  await listen(server);
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  atEnd(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return Object.assign(made, { host, url: `http://${host}` });
}

async function answer(
  made: Recorder,
  raw: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of raw as AsyncIterable<Buffer>) chunks.push(chunk);
  } catch {
    // The client broke off: what came is what there is.
  }
  const { method = '', url = '', headers } = raw;
  const request = { method, url, headers, body: Buffer.concat(chunks) };
  made.requests.push(request);
  if (headers.authorization !== undefined) made.credentials.push(headers.authorization);
  await made.handler(request, response, raw);
  if (!response.headersSent && !response.destroyed && !raw.socket.destroyed) {
    response.writeHead(404).end();
  }
}

async function listen(server: Server): Promise<void> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
}

/** JSON with a status. */
export function json(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(value));
}
