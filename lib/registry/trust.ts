import { isLoopback } from './endpoint.js';

/**
 * Whether a token server may be asked at all, and be given the registry's credentials. Who can write one answer of a
 * registry must not get them by naming a server of his own. @param registry - who named it
 */
export function mayTrustRealm(
  realm: URL,
  registry: URL,
  authHosts: readonly string[],
): 'trusted' | 'anonymous' | 'refused' {
  if (realm.protocol !== 'https:' && realm.protocol !== 'http:') return 'refused';
  // Never a step down from TLS.
  if (realm.protocol === 'http:' && registry.protocol === 'https:') return 'refused';
  if (realm.host === registry.host || authHosts.includes(realm.host)) return 'trusted';
  if (realm.protocol === 'http:') return isLoopback(realm.hostname) ? 'anonymous' : 'refused';
  return realm.port === '' && isNeighbour(realm.hostname, registry.hostname)
    ? 'trusted'
    : 'anonymous';
}

/** `auth.docker.io` of `registry-1.docker.io`, `gitlab.com` of `registry.gitlab.com`. */
function isNeighbour(realm: string, registry: string): boolean {
  const site = siteOf(registry);
  return site !== undefined && (realm === site || realm.endsWith(`.${site}`));
}

/** What one owner has, as far as a name alone can say: two labels, three under `co.uk` and its like. */
function siteOf(hostname: string): string | undefined {
  const labels = hostname.split('.');
  if (hostname.startsWith('[') || /^\d+$/.test(labels.at(-1) ?? '')) return undefined;
  const [second = '', top = ''] = labels.slice(-2);
  const size = top.length === 2 && second.length <= 3 ? 3 : 2;
  return labels.length < size ? undefined : labels.slice(-size).join('.');
}
