import type { Auth } from '../runtime/options.js';
import type { RegistrySettings } from '../runtime/registries-request.js';
import { DEFAULT_DOMAIN } from './reference.js';

export interface TlsSettings {
  /** Whether the certificate must be good. */
  readonly verify: boolean;
  /** Authorities besides the usual ones. */
  readonly ca: readonly string[];
  /** Who this program is, where somebody said so. */
  readonly own: OwnCertificate | undefined;
  /** Whose certificates Docker has stored, where nobody said anything of them: host and port. */
  readonly stored: string | undefined;
  /** Whether it hears who this program is. */
  readonly isTrusted: boolean;
}

/** PEM of both. */
export interface OwnCertificate {
  readonly certificate: string;
  readonly key: string;
}

/** For a server that the registry has named: it must be who it says, and is not told who we are. */
export const towardsOthers = (tls: TlsSettings): TlsSettings => ({
  ...tls,
  verify: true,
  isTrusted: false,
});

/** One server of the distribution API, and how it may be spoken to. */
export interface Endpoint {
  /** Host and port to connect to. */
  readonly host: string;
  /** Before the path of each repository; empty, or ends with a slash. */
  readonly prefix: string;
  /** Tried in this order. */
  readonly schemes: readonly ('https:' | 'http:')[];
  readonly tls: TlsSettings;
  readonly auth: Auth | undefined;
  readonly authHosts: readonly string[];
  /** Host of `/v1/search`. */
  readonly search: string;
  /** Under which Docker stores its credentials. */
  readonly server: string;
}

const HUB = {
  host: 'registry-1.docker.io',
  search: 'index.docker.io',
  server: 'https://index.docker.io/v1/',
};

/** Those that may answer for `domain`: its mirrors, then itself. */
export function endpointsOf(
  domain: string,
  settings: readonly RegistrySettings[],
): { readonly mirrors: readonly Endpoint[]; readonly origin: Endpoint } {
  const own = settingsOf(domain, settings);
  return {
    mirrors: (own?.mirrors ?? []).map(({ host, prefix }) => ({
      ...endpoint(host, settingsOf(host, settings)),
      prefix,
    })),
    origin: endpoint(domain, own),
  };
}

const settingsOf = (
  host: string,
  settings: readonly RegistrySettings[],
): RegistrySettings | undefined => settings.find((one) => one.host === host.toLowerCase());

function endpoint(domain: string, settings: RegistrySettings | undefined): Endpoint {
  const name = domain.toLowerCase();
  const { host, search, server } =
    name === DEFAULT_DOMAIN ? HUB : { host: name, search: name, server: name };
  const insecure = settings?.insecure ?? false;
  const mayBePlain = insecure || isLoopback(new URL(`https://${host}`).hostname);
  return {
    host,
    search,
    server,
    prefix: '',
    schemes:
      settings?.plainHttp === true ? ['http:'] : mayBePlain ? ['https:', 'http:'] : ['https:'],
    tls: {
      verify: !insecure,
      ca: settings?.ca ?? [],
      own: settings?.own,
      stored: settings?.own === undefined ? name : undefined,
      isTrusted: true,
    },
    auth: settings?.auth,
    authHosts: settings?.authHosts ?? [],
  };
}

/** By name alone: what DNS says of others is not believed. @param hostname - as `URL` has it */
export const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname);
