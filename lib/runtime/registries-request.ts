import {
  checkArray,
  checkBag,
  checkBoolean,
  checkName,
  checkString,
  invalid,
  kindOf,
  quote,
  type Bag,
} from '../errors/arguments.js';
import type { Auth, RegistryConfig } from './options.js';
import { isRegistryHost } from './registry-host.js';

/** A RegistryConfig that is whole and valid. */
export interface RegistrySettings {
  readonly host: string;
  /** Host, and a path before each repository's or none. */
  readonly mirrors: readonly { readonly host: string; readonly prefix: string }[];
  readonly insecure: boolean;
  readonly plainHttp: boolean;
  readonly ca: readonly string[];
  /** PEM of both. */
  readonly own: { readonly certificate: string; readonly key: string } | undefined;
  readonly auth: Auth | undefined;
  readonly authHosts: readonly string[];
}

const KEYS: ReadonlySet<string> = new Set(
  Object.keys({
    host: true,
    mirrors: true,
    insecure: true,
    plainHttp: true,
    ca: true,
    cert: true,
    key: true,
    auth: true,
    authHosts: true,
  } satisfies Record<keyof RegistryConfig, true>),
);

const SHAPES = [['username', 'password'], ['token'], ['identityToken']] as const;
const CERTIFICATE = '-----BEGIN CERTIFICATE-----';

export function parseRegistries(value: unknown, option: string): readonly RegistrySettings[] {
  const all = checkArray(value ?? [], option).map((one, i) =>
    parseRegistry(one, `${option}[${i}]`),
  );
  const twice = all.findIndex(({ host }, i) => all.findIndex((one) => one.host === host) < i);
  if (twice >= 0) throw invalid(`${option}[${twice}].host`, 'is there twice');
  return all;
}

export function parseRegistry(value: unknown, option: string): RegistrySettings {
  const bag = checkBag(value, option, KEYS);
  const path = (key: string): string => (option === 'options' ? key : `${option}.${key}`);
  const list = (key: string): readonly string[] =>
    checkArray(bag[key] ?? [], path(key)).map((one, i) => checkName(one, `${path(key)}[${i}]`));
  const flag = (key: string): boolean => checkBoolean(bag[key] ?? false, path(key));
  return {
    host: checkHost(bag['host'], path('host')),
    mirrors: list('mirrors').map((text, i) => parseMirror(text, `${path('mirrors')}[${i}]`)),
    insecure: flag('insecure'),
    plainHttp: flag('plainHttp'),
    ca: certificates(bag['ca'], path('ca')),
    own: ownCertificate(bag, path),
    auth: bag['auth'] === undefined ? undefined : parseAuth(bag['auth'], path('auth')),
    authHosts: list('authHosts').map((host, i) => checkHost(host, `${path('authHosts')}[${i}]`)),
  };
}

export function checkHost(value: unknown, option: string): string {
  const host = checkName(value, option);
  if (isRegistryHost(host)) return host.toLowerCase();
  throw invalid(
    option,
    `must be a host and its port, as 'registry.example:5000', not ${quote(host)}`,
  );
}

function parseMirror(text: string, option: string): { host: string; prefix: string } {
  const slash = text.indexOf('/');
  if (slash < 0) return { host: checkHost(text, option), prefix: '' };
  const prefix = text.slice(slash + 1);
  if (!/^[a-z0-9]+(?:[._/-]+[a-z0-9]+)*$/.test(prefix)) {
    throw invalid(option, `must be like 'mirror.example:5000/prefix', not ${quote(text)}`);
  }
  return { host: checkHost(text.slice(0, slash), option), prefix: `${prefix}/` };
}

function certificates(value: unknown, option: string): readonly string[] {
  const given = value === undefined ? [] : Array.isArray(value) ? value : [value];
  return given.map((one, i) => {
    const text = checkString(one, Array.isArray(value) ? `${option}[${i}]` : option);
    if (text.includes(CERTIFICATE)) return text;
    throw invalid(
      option,
      `must be a certificate itself (PEM, ${CERTIFICATE} …), not its file's name`,
    );
  });
}

function ownCertificate(bag: Bag, path: (key: string) => string): RegistrySettings['own'] {
  const { cert, key } = bag;
  if (cert === undefined && key === undefined) return undefined;
  if (key === undefined) throw invalid(path('key'), 'must be there with `cert`');
  const [certificate = ''] = certificates(checkString(cert, path('cert')), path('cert'));
  const text = checkString(key, path('key'));
  if (/-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----/.test(text)) return { certificate, key: text };
  throw invalid(path('key'), 'must be a private key itself (PEM), not its file’s name');
}

/** One of the three shapes, whole. */
export function parseAuth(value: unknown, option: string): Auth {
  if (typeof value !== 'object' || value === null) {
    throw invalid(option, `must be an object, not ${kindOf(value)}`);
  }
  const shape = SHAPES.find(([first]) => first in value);
  if (shape === undefined) {
    throw invalid(option, 'must have username and password, token, or identityToken');
  }
  const bag = checkBag(value, option, new Set<string>(shape));
  for (const key of shape) {
    const text = checkName(bag[key], `${option}.${key}`);
    if (key === 'username' && text.includes(':')) {
      throw invalid(`${option}.username`, 'must not contain a colon');
    }
    // It becomes part of a header as it is.
    if (key === 'token' && !/^[\x21-\x7e]+$/.test(text)) {
      throw invalid(`${option}.token`, 'must be visible ASCII characters');
    }
  }
  return Object.freeze({ ...bag }) as unknown as Auth;
}
