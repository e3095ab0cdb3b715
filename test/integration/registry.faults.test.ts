import { randomBytes, randomInt } from 'node:crypto';
import { expect } from 'vitest';
import { CaissonError } from '../../lib/index.js';
import { digestOf } from '../../lib/store/digest.js';
import { Registries } from '../../lib/registry/registries.js';
import { RETRY_POLICY } from '../../lib/registry/retry.js';
import { parseRegistries } from '../../lib/runtime/registries-request.js';
import { atEnd, undoAtEnd } from '../helpers/at-end.js';
import { dockerRegistry, USER } from '../helpers/docker-registry.js';
import { startProxy, type Fault, type FaultProxy } from '../helpers/fault-proxy.js';
import { blobSource, imageParts, pushParts, type ImageParts } from '../helpers/image-parts.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import type { RegistryClient } from '../../lib/registry/client.js';

const { describe, test } = needs('registry');

checkLeaks();
undoAtEnd();

const POLICY = { ...RETRY_POLICY, firstDelayMs: 1, longestDelayMs: 10 };
const FAULTS: Readonly<Record<string, Fault>> = {
  'refused connection': { kind: 'refuse' },
  'broken request': { kind: 'halve' },
  'broken answer': { kind: 'cut', after: 70_000 },
  'broken at once': { kind: 'cut', after: 1 },
  'short answer': { kind: 'short', after: 50_000 },
  'slow answer': { kind: 'slow', ms: 100 },
  'another place': { kind: 'move' },
  429: { kind: 'status', status: 429, headers: { 'retry-after': '0' } },
  500: { kind: 'status', status: 500 },
  503: { kind: 'status', status: 503 },
};
const DAMAGE: Fault = { kind: 'damage', at: 7 };

/** Of more than one chunk of a socket, so that half of one is not all. */
const SIZES = [400_000, 100, 200_000];

function clientOf(host: string): RegistryClient {
  const all = new Registries(parseRegistries([{ host, auth: USER }], 'registries'), POLICY);
  atEnd(async () => await all.close());
  return all.client(host);
}

async function proxied(registry: string): Promise<FaultProxy> {
  const proxy = await startProxy(registry);
  atEnd(async () => await proxy[Symbol.asyncDispose]());
  return proxy;
}

/** All of an image, each blob looked at. */
async function pull(
  client: RegistryClient,
  { manifest, config, layers }: ImageParts,
): Promise<void> {
  const fetched = await client.manifest('app', '1');
  expect(fetched.bytes.equals(manifest.bytes)).toBe(true);
  for (const blob of [config, ...layers]) {
    expect(digestOf(await client.smallBlob('app', blob))).toBe(blob.digest);
  }
}

/** That it went well, or the error that says why not. */
async function outcome(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'success';
  } catch (error) {
    if (CaissonError.is(error)) return error.code;
    throw error;
  }
}

const CLEAR = [
  'success',
  'ERR_REGISTRY_FAILED',
  'ERR_REGISTRY_UNREACHABLE',
  'ERR_REGISTRY_INVALID',
  'ERR_DIGEST_MISMATCH',
];

describe('each fault, once for every request of a pull', () => {
  test.each(Object.entries(FAULTS))('%s: it comes through', async (_name, fault) => {
    const registry = await dockerRegistry({ auth: 'htpasswd' });
    const proxy = await proxied(registry);
    const image = imageParts(undefined, SIZES);
    await pushParts(clientOf(registry), 'app', '1', image);
    let faults = 0;
    proxy.fault = (_line, times) => {
      if (times > 1) return undefined;
      faults += 1;
      return fault;
    };
    await pull(clientOf(proxy.host), image);
    // The ping, the manifest, the configuration, three layers.
    expect(faults).toBe(6);
  });

  test('another byte: found out', async () => {
    const registry = await dockerRegistry({ auth: 'htpasswd' });
    const proxy = await proxied(registry);
    const image = imageParts(undefined, SIZES);
    await pushParts(clientOf(registry), 'app', '1', image);
    for (const what of ['blobs', 'manifests']) {
      proxy.fault = (line) => (line.includes(what) ? DAMAGE : undefined);
      expect(await outcome(pull(clientOf(proxy.host), image))).toBe('ERR_DIGEST_MISMATCH');
    }
  });

  test('a manifest that is short each time: found out', async () => {
    const registry = await dockerRegistry({ auth: 'htpasswd' });
    const proxy = await proxied(registry);
    const image = imageParts(undefined, SIZES);
    await pushParts(clientOf(registry), 'app', '1', image);
    proxy.fault = (line) =>
      line.includes('manifests') ? { kind: 'short', after: 100 } : undefined;
    expect(await outcome(pull(clientOf(proxy.host), image))).toBe('ERR_DIGEST_MISMATCH');
  });
});

describe('each fault, once for every request of a push', () => {
  test.each(Object.entries(FAULTS))('%s: it comes through', async (_name, fault) => {
    const registry = await dockerRegistry({ auth: 'htpasswd' });
    const proxy = await proxied(registry);
    const image = imageParts(undefined, SIZES);
    const known = new Set<string>();
    proxy.fault = (line) => {
      // Each upload has a name of its own.
      const kind = line.replace(/\?.*/, '').replace(/uploads\/.+/, 'uploads/…');
      if (known.has(kind)) return undefined;
      known.add(kind);
      return fault;
    };
    await pushParts(clientOf(proxy.host), 'app', '1', image);
    await pull(clientOf(registry), image);
  });
});

describe('a registry that takes no more than a chunk at once', () => {
  test.each([['no fault', undefined], ...Object.entries(FAULTS)] as [string, Fault | undefined][])(
    '%s, in the middle: it goes on, or begins again',
    async (_name, fault) => {
      const registry = await dockerRegistry({ auth: 'htpasswd' });
      const proxy = await proxied(registry);
      const blob = blobSource(randomBytes((16 << 20) + 300_000), 'application/octet-stream');
      const verbs: string[] = [];
      proxy.fault = (line) => {
        const verb = line.slice(0, line.indexOf(' '));
        verbs.push(verb);
        const times = verbs.filter((one) => one === verb).length;
        if (verb === 'PUT' && times === 1) return { kind: 'status', status: 413 };
        return verb === 'PATCH' && times === 2 ? fault : undefined;
      };
      await clientOf(proxy.host).pushBlob('app', blob);
      proxy.fault = () => undefined;
      expect(verbs.filter((verb) => verb === 'PATCH').length).toBeGreaterThanOrEqual(2);
      expect(await clientOf(proxy.host).pushBlob('app', blob)).toBe('exists');
    },
  );
});

test('faults at random: what succeeds is right, what fails says why', async () => {
  const registry = await dockerRegistry({ auth: 'htpasswd' });
  const proxy = await proxied(registry);
  const image = imageParts(undefined, SIZES);
  await pushParts(clientOf(registry), 'app', '1', image);
  const faults = [...Object.values(FAULTS), DAMAGE];
  const outcomes = new Map<string, number>();
  for (let round = 0; round < 40; round++) {
    // From hardly ever to nearly always.
    const often = (round % 10) + 1;
    proxy.fault = () => (randomInt(11) < often ? faults[randomInt(faults.length)] : undefined);
    const client = clientOf(proxy.host);
    const extra = blobSource(randomBytes(150_000), 'application/octet-stream');
    const pushed = async (): Promise<void> => {
      await client.pushBlob('app', extra);
      // Whatever happened on the way: what is said to be there is there.
      expect(digestOf(await clientOf(registry).smallBlob('app', extra))).toBe(extra.digest);
    };
    for (const code of await Promise.all([outcome(pull(client, image)), outcome(pushed())])) {
      expect(CLEAR).toContain(code);
      outcomes.set(code, (outcomes.get(code) ?? 0) + 1);
    }
  }
  expect(outcomes.get('success')).toBeGreaterThan(10);
});
