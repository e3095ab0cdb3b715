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
  /** How to reach which registry: mirrors, certificates, credentials. */
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

/**
 * Who one is to a registry: a name and its password (or access token), a token that is sent as it is, or an identity
 * token, which is exchanged for others and which `docker login` stores for some registries.
 */
export type Auth =
  | { readonly username: string; readonly password: string }
  | { readonly token: string }
  | { readonly identityToken: string };

/** How to reach one registry. Without an entry: by HTTPS, or by HTTP on this machine itself, as Docker does. */
export interface RegistryConfig {
  /** Host and port as in names of images: `docker.io`, `registry.example:5000`. */
  host: string;
  /**
   * Registries that have the same and are asked first when pulling, in this order: `mirror.example`,
   * `mirror.example:5000/prefix`. They are given no credentials but their own: those of their own entry, or stored for
   * them.
   */
  mirrors?: string[];
  /** Take any certificate, and plain HTTP where there is no TLS: whoever is on the way reads and changes everything. */
  insecure?: boolean;
  /** HTTP without TLS. Credentials then travel in the clear. */
  plainHttp?: boolean;
  /** Certificates (PEM) of authorities that are trusted besides the usual ones. */
  ca?: string | string[];
  /**
   * Certificate (PEM) by which this program shows who it is, where the registry wants that, and its `key`.
   * Default of it and of `ca`, in addition: what Docker has in `certs.d` (`~/.config/docker`, `/etc/docker`).
   */
  cert?: string;
  /** Of `cert`, in PEM and without a passphrase. It never leaves this program. */
  key?: string;
  /** Default: what `docker login` or {@link Registry.login} has stored. */
  auth?: Auth;
  /**
   * Hosts whose token server may be given the credentials, besides the registry's own host and hosts beside or above it
   * (`gitlab.example` for `registry.gitlab.example`).
   */
  authHosts?: string[];
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
