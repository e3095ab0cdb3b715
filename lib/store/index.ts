export type { BlobSink, NewBlob, PartialBlob } from './blobs.js';
export { ContainerRecords, type ContainerConfig, type StoredContainer } from './containers.js';
export { errnoOf, isAbsent, storeError, together } from './files.js';
export { bindIdMap, type IdMap } from './id-map.js';
export type { StoreMode } from './identity.js';
export {
  BLOB_ABSENT,
  CREATED,
  DOCKER_MEDIA_TYPES,
  MEDIA_TYPES,
  REF_NAME,
  type Descriptor,
  type Digest,
  type ImageIndex,
  type Platform,
} from './images.js';
export { isAlive, type Keeper } from './keeper.js';
export { Layers, type LayerFacts } from './layers.js';
export { IMAGES_LOCK } from './leases.js';
export { Locks, type Locker } from './locks.js';
export { isName } from './names.js';
export { makeLayer, type SkeletonEntry } from './skeleton.js';
export { storeOf, type StoreOwner } from './store-of.js';
export { admitStore, openStore, SKELETON_LAYER, Store, type StoreOptions } from './store.js';
export type { StoreTrial, Suitability } from './suitability.js';
export { sweep, type SweepHost } from './sweep.js';
