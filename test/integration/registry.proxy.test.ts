import { readFileSync } from 'node:fs';
import { createServer as createHttp, request, type RequestListener, type Server } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { once } from 'node:events';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { inspect } from 'node:util';
import { afterEach, beforeEach, expect } from 'vitest';
import { Registry } from '../../lib/index.js';
import { atEnd, undoAtEnd } from '../helpers/at-end.js';
import { authority } from '../helpers/docker-registry.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';

const { describe, test } = needs('openssl');

checkLeaks();
undoAtEnd();

const before = process.env;
beforeEach(() => {
  const rest = Object.entries(before).filter(([name]) => !/^(?:https?|no)_proxy$/i.test(name));
  process.env = Object.fromEntries(rest);
});
afterEach(() => {
  process.env = before;
});

async function listen(server: Server): Promise<number> {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  atEnd(async () => {
    for (const socket of open) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return (server.address() as AddressInfo).port;
}

/** A proxy for whom every name is this port. */
async function proxy(
  port: number,
): Promise<{ readonly url: string; readonly asked: string[]; readonly credentials: unknown[] }> {
  const asked: string[] = [];
  const credentials: unknown[] = [];
  const server = createHttp((incoming, outgoing) => {
    asked.push(`${incoming.method} ${incoming.url}`);
    credentials.push(incoming.headers['proxy-authorization']);
    const { pathname } = new URL(incoming.url ?? '', 'http://x');
    const { method, headers } = incoming;
    const onward = request(
      { host: '127.0.0.1', port, path: pathname, method, headers, agent: false },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(outgoing);
      },
    );
    onward.end();
  });
  server.on('connect', (incoming, socket: Socket, head: Buffer) => {
    asked.push(`CONNECT ${incoming.url}`);
    credentials.push(incoming.headers['proxy-authorization']);
    const onward = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      onward.write(head);
      onward.pipe(socket).pipe(onward);
    });
    for (const one of [onward, socket])
      one.on('error', () => [onward, socket].forEach((each) => each.destroy()));
  });
  return { url: `http://127.0.0.1:${await listen(server)}`, asked, credentials };
}

function registry(...args: ConstructorParameters<typeof Registry>): Registry {
  const made = new Registry(...args);
  atEnd(async () => await made.close());
  return made;
}

describe('proxies of the environment', () => {
  test('TLS goes through a tunnel, to who the certificate says', async () => {
    const { ca, tls } = await authority('DNS:registry.example');
    const cert = { cert: readFileSync(tls.certificate), key: readFileSync(tls.key) };
    const server = createHttps(cert, (_request, response) => response.end('{}'));
    const { url, asked } = await proxy(await listen(server));
    process.env['HTTPS_PROXY'] = url;
    await registry('registry.example', { ca }).ping();
    expect(new Set(asked)).toEqual(new Set(['CONNECT registry.example:443']));
    await expect(registry('other.example', { ca }).ping()).rejects.toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
      cause: { code: 'ERR_TLS_CERT_ALTNAME_INVALID' },
    });
    await expect(registry('registry.example').ping()).rejects.toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
    });
  });

  test('plain HTTP is the proxy’s to ask; this machine itself is never asked through it', async () => {
    const server = createHttp((_request, response) => response.end('{}'));
    const port = await listen(server);
    const { url, asked } = await proxy(port);
    process.env['http_proxy'] = url;
    await registry('registry.example:5000', { plainHttp: true }).ping();
    // The first to see what it is, the second to ping it.
    expect(asked).toEqual(Array(2).fill('GET http://registry.example:5000/v2/'));
    await registry(`127.0.0.1:${port}`).ping();
    expect(asked).toHaveLength(2);
  });

  test('one that wants a name and a password, to whom alone they go', async () => {
    const { ca, tls } = await authority('DNS:registry.example');
    const cert = { cert: readFileSync(tls.certificate), key: readFileSync(tls.key) };
    const seen: unknown[] = [];
    const note: RequestListener = ({ headers }, response) => {
      seen.push(headers['proxy-authorization']);
      response.end('{}');
    };
    const BASIC = `Basic ${Buffer.from('user:p@ss').toString('base64')}`;
    const withUser = (url: string): string => url.replace('//', '//user:p%40ss@');

    const secure = await proxy(await listen(createHttps(cert, note)));
    process.env['HTTPS_PROXY'] = withUser(secure.url);
    await registry('registry.example', { ca }).ping();
    expect(new Set(secure.credentials)).toEqual(new Set([BASIC]));
    expect(new Set(seen)).toEqual(new Set([undefined]));

    const plain = await proxy(await listen(createHttp((_request, response) => response.end('{}'))));
    process.env['HTTP_PROXY'] = withUser(plain.url);
    await registry('registry.example', { plainHttp: true }).ping();
    expect(new Set(plain.credentials)).toEqual(new Set([BASIC]));
  });

  test.each(['socks5://user:secret@127.0.0.1:1', 'http://user:secret@:x'])(
    'one that cannot be one is an error, which does not show it: %s',
    async (url) => {
      process.env['HTTPS_PROXY'] = url;
      const error = await registry('registry.example')
        .ping()
        .catch((one: unknown) => one);
      expect(error).toMatchObject({
        code: 'ERR_REGISTRY_UNREACHABLE',
        details: { reason: expect.stringContaining('proxy') },
      });
      expect(inspect(error, { depth: 9 })).not.toContain('secret');
    },
  );
});
