import type { Dns } from './network-request.js';

/** A small file put over one of the root file system. */
export interface PlanFile {
  readonly path: string;
  readonly content: string;
  readonly mode: number;
}

export interface FilesAsked {
  readonly hostname: string;
  readonly ownNetwork: boolean;
  /** Those of the container whose network it has: how names are resolved belongs to that. */
  readonly peer: readonly PlanFile[] | undefined;
  readonly dns: Dns | undefined;
  readonly extraHosts: Readonly<Record<string, string>>;
  /** The host's own, which a container in its network namespace shares. */
  readonly host: { readonly hosts: string; readonly resolvConf: string };
}

const LOCALHOST = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
`;

const MODE = 0o644;

/** /etc/hostname, /etc/hosts and /etc/resolv.conf, as Docker gives them. */
export function planFiles(asked: FilesAsked): readonly PlanFile[] {
  const { peer } = asked;
  if (peer !== undefined) {
    const [, ...resolving] = peer;
    return [{ path: '/etc/hostname', content: `${asked.hostname}\n`, mode: MODE }, ...resolving];
  }
  return [
    { path: '/etc/hostname', content: `${asked.hostname}\n`, mode: MODE },
    { path: '/etc/hosts', content: hosts(asked), mode: MODE },
    { path: '/etc/resolv.conf', content: resolvConf(asked), mode: MODE },
  ];
}

function hosts({ hostname, ownNetwork, extraHosts, host }: FilesAsked): string {
  // Loopback only: the container's own name still has to lead somewhere.
  let text = ownNetwork ? `${LOCALHOST}127.0.1.1\t${hostname}\n` : withNewline(host.hosts);
  for (const [name, address] of Object.entries(extraHosts)) text += `${address}\t${name}\n`;
  return text;
}

function resolvConf({ ownNetwork, dns, host }: FilesAsked): string {
  if (dns === undefined) return ownNetwork ? '' : host.resolvConf;
  let text = '';
  for (const server of dns.servers) text += `nameserver ${server}\n`;
  if (dns.search.length > 0) text += `search ${dns.search.join(' ')}\n`;
  if (dns.options.length > 0) text += `options ${dns.options.join(' ')}\n`;
  return text;
}

const withNewline = (text: string): string =>
  text === '' || text.endsWith('\n') ? text : `${text}\n`;
