import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { CaissonError } from '../errors/index.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { temporaryName } from '../store/files.js';
import { makeLayer } from '../store/skeleton.js';
import { SKELETON_LAYER } from '../store/store.js';
import type { ImageConfig } from './config.js';
import { mountedBelow, readHostPaths } from './host-facts.js';
import { planHost, type HostPlan } from './host-plan.js';
import { registerFolder, removeFolder } from './folders.js';
import type { HostRequest } from './request.js';
import type { ResolvedImage } from './resolved-image.js';

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** How long a look at this machine is good for, in milliseconds: a start looks every second at most. */
const FRESH_MS = 1000;

/** `Image.host()`: nothing but its options, until a container is to be started. */
export class HostImage {
  readonly id: `host:${string}`;
  readonly config: ImageConfig;
  readonly #request: HostRequest;

  constructor(request: HostRequest) {
    this.#request = request;
    this.id = `host:${digest(request)}`;
    this.config = hostConfig();
    // Throws now what is wrong with the options.
    planHost(readHostPaths(request), request.writable);
  }

  /** Looks at this machine and makes the layer of mount points where it is new. */
  async resolve(parts: RuntimeParts, cache: HostCache): Promise<ResolvedImage> {
    const cached = cache.get(this.id);
    if (cached !== undefined && Date.now() - cached.at < FRESH_MS) return cached.image;
    const plan = planHost(readHostPaths(this.#request), this.#request.writable);
    if (parts.mode === 'rootless') refuseMountsBelow(plan);
    const layer = await hostLayer(parts, plan);
    const image: ResolvedImage = {
      id: this.id,
      layers: [SKELETON_LAYER, layer],
      config: this.config,
      mounts: plan.mounts,
    };
    cache.set(this.id, { image, at: Date.now() });
    return image;
  }
}

/** As an overlay would show what they hide, the kernel refuses that to an ordinary user: EINVAL, without a word. */
function refuseMountsBelow({ mounts }: HostPlan): void {
  for (const { type, source } of mounts) {
    const mounted = type === 'overlay' ? mountedBelow(source) : undefined;
    if (mounted === undefined) continue;
    throw new CaissonError(
      'ERR_UNSUPPORTED',
      {
        what: `Image.host({ writable: [${JSON.stringify(source)}] })`,
        reason: `${mounted} is mounted below it, and an ordinary user's overlay may not show what a mount hides`,
      },
      { hint: 'Name a folder that has no mounts below it, or be root.' },
    );
  }
}

export type HostCache = Map<string, { readonly image: ResolvedImage; readonly at: number }>;

/** Named by what is in it, so that it is made once for each shape of a host. */
async function hostLayer(parts: RuntimeParts, plan: HostPlan): Promise<string> {
  const { store } = parts;
  const folder = `layers/host-${digest(plan.entries).slice(0, 32)}`;
  if (existsSync(store.path(folder))) return folder;

  const temporary = `layers/${temporaryName()}`;
  // Journalled: whoever dies now, it goes.
  await registerFolder(parts, temporary, 'make a layer');
  const made = makeLayer(store.path(folder), plan.entries, store.path(temporary));
  // It is not there any more: this forgets the journal's record.
  const forgotten = made.catch(() => undefined).then(() => removeFolder(parts, temporary));
  parts.background(forgotten);
  await made.catch(async (error: unknown) => {
    // Says so when the supervisor is gone, whose undo has taken the folder away under us.
    await forgotten;
    throw error;
  });
  return folder;
}

/** `node` is the one that runs here: where it has a folder of its own, that comes first. */
function hostConfig(): ImageConfig {
  const node = dirname(process.execPath);
  const path = PATH.split(':').includes(node) ? PATH : `${node}:${PATH}`;
  return Object.freeze({
    Env: Object.freeze([`PATH=${path}`]),
    Cmd: Object.freeze(['/bin/sh']),
  });
}

const digest = (value: unknown): string =>
  createHash('sha256').update(JSON.stringify(value)).digest('hex');
