import type { ImagesUsage } from '../image/usage.js';
import type { Labels } from './call.js';
import type { Mode } from './parts.js';

export interface RuntimeOptions {
  /**
   * Absolute path of the store: images, layers, containers. Made if it is missing.
   * @defaultValue `/var/lib/caisson`; as an ordinary user `$XDG_DATA_HOME/caisson`, or `~/.local/share/caisson`
   */
  root?: string;
  /**
   * Absolute path of what a reboot may forget: one folder a Runtime with its undo journal. Made if it is missing.
   * @defaultValue `/run/caisson`; as an ordinary user `$XDG_RUNTIME_DIR/caisson`, or `caisson-UID` in the temp
   * folder
   */
  runDir?: string;
  /** `'auto'` is root for root, and a user namespace for everybody else. @defaultValue `'auto'` */
  mode?: 'auto' | Mode;
  /** Not in this version. */
  registries?: RegistryConfig[];
  /**
   * Absolute path below which cgroups are made: in each hierarchy for root; for an ordinary user below the
   * program's own group, where that is delegated.
   * @defaultValue `/caisson`
   */
  cgroupParent?: string;
  /** Put on every container that is created with it; the container's own go before equal names. */
  labels?: Labels;
  /** `'process'`: containers end with this program. `'none'` is not in this version. @defaultValue `'process'` */
  lease?: 'process' | 'none';
  /** Gives up the opening, and ends what has begun. */
  signal?: AbortSignal;
}

/** Not in this version. */
export interface RegistryConfig {
  host: string;
  mirrors?: string[];
  insecure?: boolean;
}

export interface CloseOptions {
  /** `'stop'`: every container of this Runtime is removed. `'keep'` is not in this version. @defaultValue `'stop'` */
  containers?: 'keep' | 'stop';
}

/** Which events: those that match all that is said. */
export interface EventFilter {
  /** One of these types. */
  type?: string | string[];
  /** About this container, image or Runtime. */
  id?: string;
}

export interface EventsOptions {
  /** Not in this version. */
  since?: Date | string;
  filter?: EventFilter;
  /** Ends the iteration with an {@link AbortError}. */
  signal?: AbortSignal;
}

/** What a store takes on the disk, as far as it is kept account of. */
export interface DiskUsage {
  readonly images: ImagesUsage;
}
