import type { Labels } from './call.js';
import type { Mode } from './parts.js';

export interface RuntimeOptions {
  /**
   * Folder of the store: images, layers, containers.
   * @defaultValue `/var/lib/caisson`; as an ordinary user `$XDG_DATA_HOME/caisson`
   */
  root?: string;
  /**
   * Folder of what a reboot may forget: one folder a Runtime with its undo journal.
   * @defaultValue `/run/caisson`; as an ordinary user `$XDG_RUNTIME_DIR/caisson`
   */
  runDir?: string;
  /** `'auto'` is root for root, and a user namespace for everybody else. @defaultValue `'auto'` */
  mode?: 'auto' | Mode;
  registries?: RegistryConfig[];
  /** Where containers' cgroups are made. @defaultValue `/caisson` */
  cgroupParent?: string;
  /** Shown with each of its events. */
  labels?: Labels;
  /** `'process'`: containers end with this program. @defaultValue `'process'` */
  lease?: 'process' | 'none';
  signal?: AbortSignal;
}

export interface RegistryConfig {
  host: string;
  mirrors?: string[];
  insecure?: boolean;
}

export interface CloseOptions {
  /** `'stop'`: every container of this Runtime is removed. @defaultValue `'stop'` */
  containers?: 'keep' | 'stop';
}

export interface EventFilter {
  type?: string | string[];
  id?: string;
}

export interface EventsOptions {
  since?: Date | string;
  filter?: EventFilter;
  signal?: AbortSignal;
}

export interface DiskUsage {
  bytes: number;
}
