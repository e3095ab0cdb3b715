import { loadNative } from '../native/load.js';
import type { StoreMode } from './identity.js';
import { Store } from './store.js';

/** The parts of a Runtime that say which store is meant; a Runtime keeps what was made for it. */
export interface StoreOwner {
  readonly root: string;
  readonly mode: StoreMode;
  slot<T>(key: symbol, make: () => T): T;
}

const STORE = Symbol('caisson.store');

/** The store of a Runtime, which has opened it. */
export function storeOf(owner: StoreOwner): Store {
  return owner.slot(
    STORE,
    () => new Store({ root: owner.root, mode: owner.mode, locker: loadNative().binding }),
  );
}
