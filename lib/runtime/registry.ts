// The nouns a Runtime shows lie above it: each registers how its bound store is made, so that
// nothing here imports upward.
import type { ContainerStore } from '../container/container-store.js';
import type { ImageStore } from '../image/image-store.js';
import type { NetworkStore } from '../network/network-store.js';
import type { VolumeStore } from '../volume/volume-store.js';
import type { Runtime } from './runtime.js';

export interface Stores {
  images: ImageStore;
  containers: ContainerStore;
  networks: NetworkStore;
  volumes: VolumeStore;
}

type Makers = { [K in keyof Stores]?: (runtime: Runtime) => Stores[K] };

const makers: Makers = {};

export function registerStore<K extends keyof Stores>(
  noun: K,
  make: (runtime: Runtime) => Stores[K],
): void {
  makers[noun] = make as Makers[K];
}

export function makeStore<K extends keyof Stores>(noun: K, runtime: Runtime): Stores[K] {
  const make = makers[noun];
  if (make === undefined) throw new Error(`lib/${noun} was not loaded`);
  return make(runtime);
}
