import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';

import { Image, type PullEvent } from '../../lib/index.js';
import { gnuTar, imageRegistry, onBlobs } from '../helpers/image-registry.js';
import { needs } from '../helpers/needs.js';
import { testRuntime } from '../helpers/runtime.js';
import { fileFolder } from '../helpers/temp.js';

// How layers come: in which order it is told, and how many at once.
const { test } = needs('registry', 'skopeo', 'busybox');
const folder = fileFolder('progress');
const r = imageRegistry(folder);
const t = testRuntime();

const ORDER = ['waiting', 'downloading', 'verifying', 'unpacking', 'done'];
/** Layers that do not compress. */
const layers = (count: number, bytes: number): Buffer[] =>
  Array.from({ length: count }, (_, i) =>
    gnuTar(folder, { [`f${i}`]: randomBytes(bytes / 2).toString('hex') }, `f${i}`),
  );

test('each layer goes forward, from waiting to done, and its bytes with it', async () => {
  const name = await r.publish({ layers: layers(6, 600_000) });
  const events: PullEvent[] = [];
  for await (const event of Image.pull(name, { runtime: t.runtime })) events.push(event);
  const digests = new Set(events.map(({ digest }) => digest));
  expect(digests.size).toBe(6);
  for (const digest of digests) {
    const own = events.filter((event) => event.digest === digest);
    const steps = own.map(({ status }) => ORDER.indexOf(status));
    expect(steps).toEqual([...steps].sort((a, b) => a - b));
    expect([own[0]?.status, own.at(-1)?.status]).toEqual(['waiting', 'done']);
    const bytes = own.map(({ currentBytes }) => currentBytes);
    expect(bytes).toEqual([...bytes].sort((a, b) => a - b));
    const total = own[0]?.totalBytes ?? 0;
    expect(total).toBeGreaterThan(100_000);
    expect(bytes.at(-1)).toBe(total);
    expect(own.every((one) => one.totalBytes === total && one.currentBytes <= total)).toBe(true);
    expect(own.every(({ layer }) => digest.startsWith(`sha256:${layer}`) && layer.length === 12)).toBe(true);
  }
  // Between the two ends something is told of most.
  const seen = new Set(events.map(({ status }) => status));
  expect(seen.has('downloading')).toBe(true);
}); // prettier-ignore

test('four layers come at once, no more', async () => {
  const name = await r.publish({ layers: layers(9, 1000) });
  r.proxy.fault = onBlobs({ kind: 'slow', ms: 200 });
  const now = new Map<string, string>();
  let most = 0;
  for await (const { digest, status } of Image.pull(name, { runtime: t.runtime })) {
    now.set(digest, status);
    most = Math.max(most, [...now.values()].filter((one) => one === 'downloading').length);
  }
  expect(most).toBe(4);
});
