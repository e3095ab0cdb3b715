import { isIP } from 'node:net';
import { checkArray, checkBag, checkName, invalid, kindOf, notYet } from '../errors/arguments.js';
import { containerOf } from './sharing-request.js';

export type NetworkAsked = 'none' | 'host' | `container:${string}`;

/** What /etc/resolv.conf says. */
export interface Dns {
  readonly servers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

const DNS_KEYS: ReadonlySet<string> = new Set(['servers', 'search', 'options']);

export function parseNetwork(value: unknown): NetworkAsked {
  if (value === undefined || value === 'none' || value === 'host') return value ?? 'none';
  if (Array.isArray(value)) {
    if (value.length === 0) return 'none';
    throw notYet('networks: a list of networks');
  }
  if (value === 'bridge') throw notYet("networks: 'bridge'");
  if (typeof value === 'string' && containerOf(value) !== undefined) return value as NetworkAsked;
  const shown = typeof value === 'string' ? JSON.stringify(value) : kindOf(value);
  throw invalid('networks', `must be 'none', 'host' or 'container:<id or name>', not ${shown}`);
}

export function parseDns(value: unknown): Dns | undefined {
  if (value === undefined) return undefined;
  const bag = checkBag(value, 'dns', DNS_KEYS);
  const words = (key: string): readonly string[] =>
    bag[key] === undefined
      ? []
      : checkArray(bag[key], `dns.${key}`).map((word, i) => checkWord(word, `dns.${key}[${i}]`));
  const servers = words('servers');
  for (const [index, server] of servers.entries()) checkAddress(server, `dns.servers[${index}]`);
  return { servers, search: words('search'), options: words('options') };
}

const NO_HOSTS: Readonly<Record<string, string>> = Object.freeze({});

export function parseExtraHosts(value: unknown): Readonly<Record<string, string>> {
  if (value === undefined) return NO_HOSTS;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid('extraHosts', `must be an object of names and addresses, not ${kindOf(value)}`);
  }
  for (const [name, address] of Object.entries(value)) {
    checkWord(name, 'extraHosts');
    checkAddress(checkWord(address, `extraHosts.${name}`), `extraHosts.${name}`);
  }
  return value as Readonly<Record<string, string>>;
}

/** One word of a line: a second line or a comment could be forged otherwise. */
function checkWord(value: unknown, option: string): string {
  const word = checkName(value, option);
  if (/[\s#]/.test(word)) throw invalid(option, 'must not contain white space or #');
  return word;
}

function checkAddress(address: string, option: string): void {
  if (isIP(address) === 0) {
    throw invalid(option, `must be an IPv4 or IPv6 address, not ${JSON.stringify(address)}`);
  }
}
