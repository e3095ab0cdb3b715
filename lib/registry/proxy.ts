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

/** `*`, `host`, `.suffix` or `*.suffix`, each with a port or without. A name stands for what lies below it, too. */
function isExcepted(url: URL, list: string): boolean {
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return list.split(/[\s,]+/).some((entry) => {
    if (entry === '*') return true;
    const match = /^(?:\*?\.)?(\[[^\]]*\]|[^:]+)(?::(\d+))?$/.exec(entry.toLowerCase());
    const name = match?.[1];
    if (name === undefined || (match?.[2] ?? port) !== port) return false;
    return url.hostname === name || url.hostname.endsWith(`.${name}`);
  });
}
