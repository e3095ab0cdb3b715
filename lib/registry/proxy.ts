import { BlockList, isIP } from 'node:net';
import { isLoopback } from './endpoint.js';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy that the environment wants for a URL: HTTPS_PROXY and HTTP_PROXY by its scheme, unless NO_PROXY names its
 * host. This machine itself is never asked for through one.
 */
export function proxyFor(url: URL, environment: Environment): string | undefined {
  if (isLoopback(url.hostname)) return undefined;
  const of = (name: string): string | undefined =>
    environment[name.toLowerCase()] || environment[name] || undefined;
  const proxy = of(url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY');
  if (proxy === undefined || isExcepted(url, of('NO_PROXY') ?? '')) return undefined;
  return proxy.includes('://') ? proxy : `http://${proxy}`;
}

/**
 * `*`; `host`, `.suffix`, `*.suffix` or an address, each with a port or without; a network, `10.0.0.0/8`. A name stands
 * for what lies below it, too.
 */
function isExcepted(url: URL, list: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return list.split(/[\s,]+/).some((text) => {
    const entry = text.toLowerCase();
    if (entry === '*') return true;
    if (isIP(entry) > 0 || entry.includes('/')) return isWithin(host, entry);
    const [, address, name = '', own = port] =
      /^(?:\[([^\]]*)\]|(?:\*?\.)?([^:]*))(?::(\d+))?$/.exec(entry) ?? [];
    if (own !== port) return false;
    if (address !== undefined || isIP(name) > 0) return isWithin(host, address ?? name);
    return name !== '' && isIP(host) === 0 && (host === name || host.endsWith(`.${name}`));
  });
}

/** Whether `host` is an address of this network, `address/bits`, or is this address. */
function isWithin(host: string, network: string): boolean {
  const [address = '', bits] = network.split('/');
  const [family, longest] =
    isIP(address) === 6 ? (['ipv6', 128] as const) : (['ipv4', 32] as const);
  const length = bits === undefined ? longest : Number(bits || Number.NaN);
  if (isIP(address) === 0 || isIP(host) !== isIP(address)) return false;
  if (!(Number.isInteger(length) && length >= 0 && length <= longest)) return false;
  const block = new BlockList();
  block.addSubnet(address, length, family);
  return block.check(host, family);
}
